// Convolutions, and what is a convolution in other clothes, on tensor cores: for each q of a lattice of voxels
//
//   out[q*step + phase] = bias + sum over taps t of in[q*stride + first + t] weight[t]
//
// where in is the channels of up to three views, one after another, each with its norm and leaky ReLU, and 0 outside of its
// grid. phase is one or, where phases has more, each of them with weights of its own (a transposed convolution).
//
// The input of a block comes 16 channels at a time through two stages of shared memory, [half of the channels][depth][row]
// [column] of 8 channels, columns of one residue by the stride together, so that the 8 rows of every ldmatrix lie in
// different banks. A loaded row is multiplied with all taps along the height that it is under. Weights are read from global
// memory in the order of registers (conv_pack.cu). How work is shared: conv.cuh.
#include "grad.cuh"
#include "units.cuh"
#include "conv.cuh"
constexpr int residue = (columns_in + SW - 1) / SW, pitch = SW * residue;
__host__ __device__ constexpr int padded(int n) { return (n + 3) / 8 * 8 + 4; } // to 4 mod 8: the other half of the channels, the next depth
constexpr int plane = MW < 8 ? padded(rows_in * pitch) : rows_in * pitch;
__host__ __device__ constexpr int place(int column) { return column % SW * residue + column / SW; }

struct View { const T *x; const float *norm; float slope; int channels; };

// f of each unit that this thread brings: its place in shared memory, whether it is in the grid, and where
template <class F> static __device__ __forceinline__ void each_unit(int depths, Grid grid, Grid at, F f) {
#pragma unroll 1
  for (int i = threadIdx.x / 2; i < depths * rows_in * columns_in; i += THREADS / 2) {
    int column = i % columns_in, r = i / columns_in, row = r % rows_in, depth = r / rows_in;
    int d = at.d + depth, h = at.h + row, w = at.w + column;
    f(depth * plane + row * pitch + place(column), inside(grid, d, h, w), d, h, w); } }

extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS) tiled(
    const T *__restrict__ x0, const float *__restrict__ norm0, float slope0, int channels0, int start1, const T *__restrict__ x1, const float *__restrict__ norm1, float slope1, int channels1,
    int start2, const T *__restrict__ x2, const float *__restrict__ norm2, float slope2, int channels2, const Unit *__restrict__ weight, const float *__restrict__ bias, T *__restrict__ out,
    float *__restrict__ moments, float *__restrict__ partial, int accumulate, int cout, int taps_d, int stride_d, int chunks, int split_chunks,
    int column_blocks, unsigned over_column_blocks, unsigned over_depth, int batch, unsigned over_batch,
    i64 grid_, i64 full_, i64 lattice_, i64 step_, i64 phases_, i64 phase_, i64 first_, i64 tiles_) {
  DYNAMIC_SHARED(shared);
  Work work = {out, bias, moments, partial, accumulate, cout, stride_d, column_blocks, over_column_blocks, over_depth, batch, over_batch, grid_, full_, lattice_, step_, phases_, phase_, first_, tiles_};
  int from = work.share().split * split_chunks, to = least(from + split_chunks, chunks);
  int depths = (WARPS_D * MD - 1) * stride_d + taps_d, half = padded(depths * plane);
  Unit *stages = (Unit *)shared;

  auto view_of = [&](int &chunk) { // which becomes one of the view
    if (chunk < start1) return View{x0, norm0, slope0, channels0};
    if (chunk < start2) { chunk -= start1; return View{x1, norm1, slope1, channels1}; }
    chunk -= start2;
    return View{x2, norm2, slope2, channels2}; };
  auto bring = [&](int chunk) {
    Share own = work.share();
    Grid grid = grid_of(again(grid_));
    Unit *stage = stages + chunk % 2 * 2 * half + (own.lane & 1) * half;
    View v = view_of(chunk);
    int channel = chunk * 16 + (own.lane & 1) * 8, channels = stride_of(v.channels);
    each_unit(depths, grid, work.input(own), [&](int unit, bool in, int d, int h, int w) {
      in &= channel < channels;
      cp_async(stage + unit, in ? v.x + voxel_of(grid, own.n, d, h, w) * channels + channel : v.x, in); }); };
  auto normalise = [&](int chunk) { // what this thread has brought; what is outside of the grid stays 0
    Share own = work.share();
    Unit *stage = stages + chunk % 2 * 2 * half + (own.lane & 1) * half;
    View v = view_of(chunk);
    if (!v.norm) return;
    int channel = chunk * 16 + (own.lane & 1) * 8;
    float scale[8], shift[8];
#pragma unroll
    for (int k = 0; k < 8; k++) {
      const float *map = v.norm + 2 * ((i64)own.n * v.channels + channel + k);
      bool known = channel + k < v.channels; // a padding channel stays 0
      scale[k] = known ? map[0] : 0.0f; shift[k] = known ? map[1] : 0.0f; }
    each_unit(depths, grid_of(again(grid_)), work.input(own), [&](int unit, bool in, int, int, int) {
      if (!in) return;
      Unit u = stage[unit];
#pragma unroll
      for (int k = 0; k < 4; k++)
        u.w[k] = pair(T(), leaky(scale[2 * k] * low(u.w[k]) + shift[2 * k], v.slope), leaky(scale[2 * k + 1] * high(u.w[k]) + shift[2 * k + 1], v.slope));
      stage[unit] = u; }); };

  float sum[ROWS][TILES][4] = {};
  auto multiply = [&](int chunk) {
    Share own = work.share();
    const Unit *x = stages + (chunk % 2 * 2 + (own.lane >> 4)) * half + (own.warp_d * MD + (own.lane & 15) / MW) * stride_d * plane + own.warp_h * ROWS * SH * pitch + (own.lane & 15) % MW;
    const Unit *w = weight + ((i64)(own.column_block * WARPS_N + own.warp_n) * chunks + chunk) * taps_d * KW * KH * (TILES / 2) * 32 + own.lane;
#pragma unroll 1
    for (int kd = 0; kd < taps_d; kd++, x += plane) {
#pragma unroll
      for (int kw = 0; kw < KW; kw++, w += KH * (TILES / 2) * 32) {
        unsigned taps[KH][TILES][2];
#pragma unroll
        for (int k = 0; k < KH * (TILES / 2); k++) {
          Unit u = w[k * 32];
          int kh = k / (TILES / 2), j = k % (TILES / 2) * 2;
          taps[kh][j][0] = u.w[0]; taps[kh][j][1] = u.w[1]; taps[kh][j + 1][0] = u.w[2]; taps[kh][j + 1][1] = u.w[3]; }
#pragma unroll
        for (int row = 0; row < (ROWS - 1) * SH + KH; row++) {
          if (KH < SH && row % SH >= KH) continue;
          unsigned voxels[4];
          ldmatrix_x4(voxels, x + row * pitch + place(kw));
#pragma unroll
          for (int kh = 0; kh < KH; kh++) if (row >= kh && (row - kh) % SH == 0 && (row - kh) / SH < ROWS)
#pragma unroll
            for (int j = 0; j < TILES; j++) mma_m16n8k16(T(), sum[(row - kh) / SH][j], voxels, taps[kh][j]); } } } };

  bring(from);
  cp_async_commit();
  if (from + 1 < to) bring(from + 1);
  cp_async_commit();
  for (int chunk = from; chunk < to; chunk++) {
    cp_async_wait<1>();
    normalise(chunk);
    __syncthreads();
    multiply(chunk);
    __syncthreads();
    if (chunk + 2 < to) bring(chunk + 2);
    cp_async_commit(); }

  work.finish(sum, (float *)shared); }
