// The second stage of weight gradients: partial sums (splits, rows*taps*pitch + bias_parts*bias, rounded up to size) added
// in the order of their splits, in double, into the logical order (rows, row_length, taps) and the bias gradient. A row of
// columns is pitch long. A block has 32 elements, and eight threads for each, which take every eighth split.
extern "C" __global__ void __launch_bounds__(256) sum(const float *partial, float *dweight, float *dbias, int splits, i64 size,
    int rows, int taps, int columns, int pitch, int row_length, int bias, int bias_parts) {
  __shared__ double sums[8][32];
  int weights = rows * taps * pitch, e = blockIdx.x * 32 + threadIdx.x;
  bool of_bias = e >= weights, wanted = of_bias ? e < weights + bias : e % pitch < columns;
  double sum = 0;
  if (wanted)
    for (int part = 0; part < (of_bias ? bias_parts : 1); part++)
#pragma unroll 4
      for (int s = threadIdx.y; s < splits; s += 8) sum += partial[s * size + e + part * pitch];
  sums[threadIdx.y][threadIdx.x] = sum;
  __syncthreads();
  if (threadIdx.y || !wanted) return;
  for (int k = 1; k < 8; k++) sum += sums[k][threadIdx.x];
  if (of_bias) { dbias[e - weights] = sum; return; }
  int j = e % pitch, t = e / pitch % taps, i = e / pitch / taps;
  dweight[((i64)i * row_length + j) * taps + t] = sum; }
