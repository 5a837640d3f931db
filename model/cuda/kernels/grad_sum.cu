// The second stage of weight gradients: partial sums (splits, rows*taps*columns + bias) added in the order of their
// splits, in double, into the logical order (rows, row_length, taps) and the bias gradient. A block has 32 elements, and
// eight threads for each, which take every eighth split.
extern "C" __global__ void __launch_bounds__(256) sum(const float *partial, float *dweight, float *dbias, int splits, int rows, int taps, int columns, int row_length, int bias) {
  __shared__ double sums[8][32];
  i64 weights = (i64)rows * taps * columns, all = weights + bias, e = (i64)blockIdx.x * 32 + threadIdx.x;
  double sum = 0;
  if (e < all)
#pragma unroll 4
    for (int s = threadIdx.y; s < splits; s += 8) sum += partial[s * all + e];
  sums[threadIdx.y][threadIdx.x] = sum;
  __syncthreads();
  if (threadIdx.y || e >= all) return;
  for (int k = 1; k < 8; k++) sum += sums[k][threadIdx.x];
  if (e >= weights) { dbias[e - weights] = sum; return; }
  i64 j = e % columns, t = e / columns % taps, i = e / columns / taps;
  dweight[(i * row_length + j) * taps + t] = sum; }
