// The second stage of moments, for all kernels that leave those of parts of an image: (N, parts, 3, columns) of count, mean
// and sum of squared deviations, of which channels are looked at. Sums are in double, around the mean of the first part and
// in a fixed order. A block has 32 channels of an image, 16 threads for each and a share of the parts: it makes one part of
// them in out (N, gridDim.z, 3, columns) or, with pairs, mean and biased variance (N, channels, 2).
extern "C" __global__ void __launch_bounds__(512) join(const float *parts, float *out, int count, int channels, int columns, int pairs) {
  __shared__ double sums[3][16][32];
  int x = threadIdx.x, y = threadIdx.y, c = blockIdx.x * 32 + x; i64 n = blockIdx.y;
  int from = (i64)count * blockIdx.z / gridDim.z, to = (i64)count * (blockIdx.z + 1) / gridDim.z;
  const float *at = parts + (n * count * 3 + 1) * columns + c;
  double middle = c < channels ? at[(i64)from * 3 * columns] : 0, voxels = 0, sum = 0, squares = 0;
  if (c < channels)
#pragma unroll 4
    for (int k = from + y; k < to; k += 16) {
      const float *part = at + (i64)k * 3 * columns;
      double weight = part[-columns], d = part[0] - middle;
      voxels += weight; sum += weight * d; squares += weight * d * d + part[columns]; }
  sums[0][y][x] = voxels; sums[1][y][x] = sum; sums[2][y][x] = squares;
  __syncthreads();
  if (y || c >= channels) return;
  for (int k = 1; k < 16; k++) { voxels += sums[0][k][x]; sum += sums[1][k][x]; squares += sums[2][k][x]; }
  double mean = middle + sum / voxels, deviations = squares - sum * sum / voxels;
  if (deviations < 0) deviations = 0;
  if (pairs) { out[2 * (n * channels + c)] = mean; out[2 * (n * channels + c) + 1] = deviations / voxels; return; }
  out += (n * gridDim.z + blockIdx.z) * 3 * columns + c;
  out[0] = voxels; out[columns] = mean; out[2 * columns] = deviations; }
