// The second stage of convolutions on tensor cores that are split over their input channels.
#include "grad.cuh"

// out[q*step + phase], for q of the lattice, = bias + the sum of partial (splits, N, lattice, columns) in the order of the
// splits, or is added to. A block has 64 voxels and 32 channels of an image; of_parts, where moments are wanted, gets the
// block's: count, mean and squared differences from it, (N, parts, 3, columns).
extern "C" __global__ void __launch_bounds__(256) splits(const float *partial, const float *bias, T *out, float *of_parts, int splits, int accumulate, int cout, int columns,
    i64 full_, i64 lattice_, i64 step_, i64 phase_) {
  __shared__ float of_threads[8][32];
  Grid full = grid_of(full_), lattice = grid_of(lattice_), step = grid_of(step_), phase = grid_of(phase_);
  int x = threadIdx.x, y = threadIdx.y, c = blockIdx.y * 32 + x, n = blockIdx.z, from = blockIdx.x * 64, channels = stride_of(cout), voxels = volume(lattice);
  float value[8], count = voxels - from < 64 ? voxels - from : 64, mean = 0;
#pragma unroll
  for (int k = 0; k < 8; k++) {
    int v = from + 8 * k + y;
    value[k] = 0;
    if (v >= voxels || c >= channels) continue;
    T *to = out + voxel_of(full, n, v / (lattice.h * lattice.w) * step.d + phase.d, v / lattice.w % lattice.h * step.h + phase.h, v % lattice.w * step.w + phase.w) * channels + c;
    float sum = accumulate ? to_float(*to) : 0.0f;
    if (bias && c < cout) sum += bias[c];
    for (int s = 0; s < splits; s++) sum += partial[(((i64)s * gridDim.z + n) * voxels + v) * columns + c];
    *to = stored<T>(sum);
    value[k] = to_float(*to); }
  if (!of_parts) return;
  for (int pass = 0; pass < 2; pass++) {
    float sum = 0;
#pragma unroll
    for (int k = 0; k < 8; k++) if (from + 8 * k + y < voxels) sum += pass ? (value[k] - mean) * (value[k] - mean) : value[k];
    __syncthreads();
    of_threads[y][x] = sum;
    __syncthreads();
    sum = 0;
    for (int k = 0; k < 8; k++) sum += of_threads[k][x];
    float *to = of_parts + ((i64)n * gridDim.x + blockIdx.x) * 3 * columns + c;
    if (pass == 0) mean = sum / count;
    else if (y == 0 && c < cout) { to[0] = count; to[columns] = mean; to[2 * columns] = sum; } } }
