// A convolution of one channel on tensor cores: what is 16 channels elsewhere is 16 taps here, and the voxels under them are
// gathered from the block's input in shared memory, [depth][row][column]. The rest is as in conv_mma.cu.
#include "grad.cuh"
#include "units.cuh"
#include "conv.cuh"

extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS) first(
    const T *__restrict__ x, const float *__restrict__ norm, float slope, const Unit *__restrict__ weight, const float *__restrict__ bias, T *__restrict__ out,
    float *__restrict__ moments, int cout, int taps_d, int stride_d, int column_blocks, unsigned over_column_blocks, unsigned over_depth, int batch, unsigned over_batch,
    i64 grid_, i64 full_, i64 first_, i64 tiles_) {
  DYNAMIC_SHARED(shared);
  const i64 one = grid_in(1, 1, 1), zero = 0;
  Work work = {out, bias, moments, nullptr, 0, cout, stride_d, column_blocks, over_column_blocks, over_depth, batch, over_batch, grid_, full_, full_, one, one, zero, first_, tiles_};
  T *voxels = (T *)shared;
  int depths = (WARPS_D * MD - 1) * stride_d + taps_d, taps = taps_d * KH * KW, steps = (taps + 15) / 16;
  constexpr int plane = rows_in * columns_in;
  {
    Share own = work.share();
    Grid grid = grid_of(grid_), at = work.input(own);
    float scale = norm ? norm[2 * own.n] : 1.0f, shift = norm ? norm[2 * own.n + 1] : 0.0f;
    for (int i = threadIdx.x; i < depths * plane; i += THREADS) {
      int d = at.d + i / plane, h = at.h + i / columns_in % rows_in, w = at.w + i % columns_in;
      T v = {};
      if (inside(grid, d, h, w)) {
        v = x[voxel_of(grid, own.n, d, h, w)];
        if (norm) v = stored<T>(leaky(scale * to_float(v) + shift, slope)); }
      voxels[i] = v; } }
  __syncthreads();

  float sum[ROWS][TILES][4] = {};
  Share own = work.share();
  int g = own.lane >> 2, t = own.lane & 3;
  const Unit *w = weight + (i64)(own.column_block * WARPS_N + own.warp_n) * steps * (TILES / 2) * 32 + own.lane;
  const T *of_lane[2]; // the first row's voxel under the first tap, for rows g and g + 8 of the product
#pragma unroll
  for (int upper = 0; upper < 2; upper++) {
    int m = g + 8 * upper;
    of_lane[upper] = voxels + (own.warp_d * MD + m / MW) * stride_d * plane + own.warp_h * ROWS * SH * columns_in + m % MW * SW; }
#pragma unroll 1
  for (int s = 0; s < steps; s++, w += TILES / 2 * 32) {
    unsigned weights[TILES][2];
#pragma unroll
    for (int j = 0; j < TILES; j += 2) {
      Unit u = w[j / 2 * 32];
      weights[j][0] = u.w[0]; weights[j][1] = u.w[1]; weights[j + 1][0] = u.w[2]; weights[j + 1][1] = u.w[3]; }
    int to_tap[4];
#pragma unroll
    for (int e = 0; e < 4; e++) {
      int tap = s * 16 + t * 2 + (e >> 1) * 8 + (e & 1);
      to_tap[e] = tap < taps ? tap / (KH * KW) * plane + tap / KW % KH * columns_in + tap % KW : 0; } // its weight is 0
#pragma unroll
    for (int row = 0; row < ROWS; row++) {
      unsigned a[4];
#pragma unroll
      for (int k = 0; k < 4; k++) {
        const T *v = of_lane[k & 1] + row * SH * columns_in;
        a[k] = v[to_tap[k & 2]].bits | (unsigned)v[to_tap[k | 1]].bits << 16; }
#pragma unroll
      for (int j = 0; j < TILES; j++) mma_m16n8k16(T(), sum[row][j], a, weights[j]); } }
  __syncthreads();
  work.finish(sum, (float *)shared); }
