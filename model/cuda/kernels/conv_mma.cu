// Convolutions, and what is a convolution in other clothes, on tensor cores: for each q of a lattice of voxels
//
//   out[q*step + phase] = bias + sum over taps t of in[q*stride + first + t] weight[t]
//
// where in is the channels of up to three views, one after another, each with its norm and leaky ReLU, and 0 outside of its
// grid. phase is one or, where phases has more, each of them with weights of its own (a transposed convolution).
//
// The product m16n8k16 has 16 voxels (MW along the width, 16/MW along the depth), 16 channels of in and 8 of out. A warp
// computes ROWS such groups, one below the other along the height, times TILES*8 channels of out; a block has
// WARPS_D * WARPS_H * WARPS_N warps along depth, height and channels of out. The input of a block comes 16 channels at a
// time through two stages of shared memory, [half of the channels][depth][row][column] of 8 channels, columns of one
// residue by the stride together, so that the 8 rows of every ldmatrix lie in different banks. A loaded row is multiplied
// with all taps along the height that it is under. Weights are read from global memory in the order of registers
// (conv_pack.cu), which deals the channels so that those of a lane follow one another.
#include "grad.cuh"
constexpr int MD = 16 / MW, WARPS = WARPS_D * WARPS_H * WARPS_N, THREADS = 32 * WARPS;
constexpr int rows_in = (WARPS_H * ROWS - 1) * SH + KH, columns_in = (MW - 1) * SW + KW;
constexpr int residue = (columns_in + SW - 1) / SW, pitch = SW * residue;
__host__ __device__ constexpr int least(int a, int b) { return a < b ? a : b; }
__host__ __device__ constexpr int padded(int n) { return (n + 3) / 8 * 8 + 4; } // to 4 mod 8: the other half of the channels, the next depth
constexpr int plane = MW < 8 ? padded(rows_in * pitch) : rows_in * pitch;
constexpr int GROUP = TILES < 4 ? TILES : 4, GROUPS = TILES / GROUP, COLUMNS = WARPS_N * TILES * 8;
__host__ __device__ constexpr int place(int column) { return column % SW * residue + column / SW; }
template <int N> struct alignas(4 * N) Words { unsigned w[N]; };
typedef Words<4> Unit; // 8 channels of a voxel

struct View { const T *x; const float *norm; float slope; int channels; };
static __device__ __forceinline__ float low(unsigned w) { return to_float(T{(u16)w}); }
static __device__ __forceinline__ float high(unsigned w) { return to_float(T{(u16)(w >> 16)}); }
// x/d by inverse = 2^32/d, rounded up, for numbers of 16 bits
static __device__ __forceinline__ int over(int x, unsigned inverse) { return inverse ? __umulhi(x, inverse) : x; }

// What a thread has of the work: its warp's place in the block, the block's columns, image, part of the chunks and first
// voxel q. It is computed wherever it is wanted, which costs less than the registers to keep it.
struct Share {
  int lane, warp, warp_n, warp_h, warp_d, column_block, tile, n, split;
  Grid q;
  __device__ __forceinline__ Share(int column_blocks, unsigned over_column_blocks, Grid tiles, unsigned over_depth, int batch, unsigned over_batch) {
    int thread = again((int)threadIdx.x), x = again((int)blockIdx.x), z = again((int)blockIdx.z);
    lane = thread & 31; warp = thread >> 5; warp_n = warp % WARPS_N; warp_h = warp / WARPS_N % WARPS_H; warp_d = warp / (WARPS_N * WARPS_H);
    int w = over(x, over_column_blocks), image = over(z, over_depth), d = z - image * tiles.d;
    column_block = x - w * column_blocks;
    split = over(image, over_batch);
    n = image - split * batch;
    tile = (d * tiles.h + blockIdx.y) * tiles.w + w;
    q = {d * WARPS_D * MD, (int)blockIdx.y * WARPS_H * ROWS, w * MW}; } };

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
  auto share = [&] { return Share(column_blocks, over_column_blocks, grid_of(again(tiles_)), over_depth, batch, over_batch); };
  int from = share().split * split_chunks, to = least(from + split_chunks, chunks);
  int depths = (WARPS_D * MD - 1) * stride_d + taps_d, half = padded(depths * plane);
  Unit *stages = (Unit *)shared;

  auto view_of = [&](int &chunk) { // which becomes one of the view
    if (chunk < start1) return View{x0, norm0, slope0, channels0};
    if (chunk < start2) { chunk -= start1; return View{x1, norm1, slope1, channels1}; }
    chunk -= start2;
    return View{x2, norm2, slope2, channels2}; };
  auto input = [&](const Share &own) { // the first voxel of the block's input
    Grid first = grid_of(again(first_));
    return Grid{own.q.d * stride_d + first.d, own.q.h * SH + first.h, own.q.w * SW + first.w}; };
  auto bring = [&](int chunk) {
    Share own = share();
    Grid grid = grid_of(again(grid_));
    Unit *stage = stages + chunk % 2 * 2 * half + (own.lane & 1) * half;
    View v = view_of(chunk);
    int channel = chunk * 16 + (own.lane & 1) * 8, channels = stride_of(v.channels);
    each_unit(depths, grid, input(own), [&](int unit, bool in, int d, int h, int w) {
      in &= channel < channels;
      cp_async(stage + unit, in ? v.x + voxel_of(grid, own.n, d, h, w) * channels + channel : v.x, in); }); };
  auto normalise = [&](int chunk) { // what this thread has brought; what is outside of the grid stays 0
    Share own = share();
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
    each_unit(depths, grid_of(again(grid_)), input(own), [&](int unit, bool in, int, int, int) {
      if (!in) return;
      Unit u = stage[unit];
#pragma unroll
      for (int k = 0; k < 4; k++)
        u.w[k] = pair(T(), leaky(scale[2 * k] * low(u.w[k]) + shift[2 * k], v.slope), leaky(scale[2 * k + 1] * high(u.w[k]) + shift[2 * k + 1], v.slope));
      stage[unit] = u; }); };

  float sum[ROWS][TILES][4] = {};
  auto multiply = [&](int chunk) {
    Share own = share();
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

  // rows g and g + 8 of a product's result are in registers 0, 1 and 2, 3, columns 2t and 2t + 1 of it
  Grid tiles = grid_of(tiles_), phases = grid_of(phases_);
  Share own = share();
  Grid lattice = grid_of(lattice_), full = grid_of(full_), step = grid_of(step_), phase = grid_of(phase_);
  int g = own.lane >> 2, t = own.lane & 3, blocks_of_phase = column_blocks / volume(phases), block_of_phase = own.column_block % blocks_of_phase, which = own.column_block / blocks_of_phase;
  phase = {phase.d + which / (phases.h * phases.w), phase.h + which / phases.w % phases.h, phase.w + which % phases.w};
  int columns = blocks_of_phase * COLUMNS;
  auto place_of = [&](int row, int upper) {
    int m = g + 8 * upper;
    return Grid{own.q.d + own.warp_d * MD + m / MW, own.q.h + own.warp_h * ROWS + row, own.q.w + m % MW}; };
  auto channel_of = [&](int group) { return ((block_of_phase * WARPS_N + own.warp_n) * GROUPS + group) * GROUP * 8 + t * GROUP * 2; };
  if (partial) { // (splits, lattice, columns)
#pragma unroll
    for (int row = 0; row < ROWS; row++)
#pragma unroll
      for (int upper = 0; upper < 2; upper++) {
        Grid p = place_of(row, upper);
        if (!inside(lattice, p.d, p.h, p.w)) continue;
        float *to = partial + (((i64)own.split * batch * volume(lattice)) + voxel_of(lattice, own.n, p.d, p.h, p.w)) * columns;
#pragma unroll
        for (int j = 0; j < TILES; j++) {
          to[channel_of(j / GROUP) + j % GROUP * 2] = sum[row][j][2 * upper];
          to[channel_of(j / GROUP) + j % GROUP * 2 + 1] = sum[row][j][2 * upper + 1]; } }
    return; }

  int channels = stride_of(cout);
#pragma unroll
  for (int group = 0; group < GROUPS; group++) {
    int channel = channel_of(group);
    float shift[GROUP * 2];
#pragma unroll
    for (int k = 0; k < GROUP * 2; k++) shift[k] = bias && channel + k < cout ? bias[channel + k] : 0.0f;
#pragma unroll
    for (int row = 0; row < ROWS; row++)
#pragma unroll
      for (int upper = 0; upper < 2; upper++) {
        Grid p = place_of(row, upper);
        if (!inside(lattice, p.d, p.h, p.w) || channel >= channels) continue;
        T *to = out + voxel_of(full, own.n, p.d * step.d + phase.d, p.h * step.h + phase.h, p.w * step.w + phase.w) * channels + channel;
        Words<GROUP> u = {};
        if (accumulate && channels > 1) u = *(const Words<GROUP> *)to;
        if (accumulate && channels == 1) u.w[0] = to->bits;
#pragma unroll
        for (int k = 0; k < GROUP; k++) {
          float *v = sum[row][group * GROUP + k] + 2 * upper;
          u.w[k] = pair(T(), v[0] + shift[2 * k] + low(u.w[k]), v[1] + shift[2 * k + 1] + high(u.w[k]));
          v[0] = low(u.w[k]); v[1] = high(u.w[k]); } // moments are those of what is stored
        if (channels > 1) *(Words<GROUP> *)to = u;
        else if (channel == 0) to->bits = u.w[0]; } }

  if (!moments) return;
  // mean and squared differences from it of the block's voxels, (N, parts, 3, columns), see conv_sum.cu: count, mean, squares
  Grid in = {least(WARPS_D * MD, lattice.d - own.q.d), least(WARPS_H * ROWS, lattice.h - own.q.h), least(MW, lattice.w - own.q.w)};
  float count = volume(in), mean[TILES][2] = {};
  float *of_warps = (float *)shared; // (WARPS, TILES*8)
  for (int pass = 0; pass < 2; pass++) {
    float total[TILES][2];
#pragma unroll
    for (int j = 0; j < TILES; j++)
#pragma unroll
      for (int e = 0; e < 2; e++) {
        float s = 0;
#pragma unroll
        for (int row = 0; row < ROWS; row++)
#pragma unroll
          for (int upper = 0; upper < 2; upper++) {
            Grid p = place_of(row, upper);
            float v = sum[row][j][2 * upper + e] - mean[j][e];
            if (inside(lattice, p.d, p.h, p.w)) s += pass ? v * v : v; }
#pragma unroll
        for (int o = 4; o < 32; o *= 2) s += __shfl_xor_sync(0xffffffffu, s, o);
        total[j][e] = s; }
    __syncthreads();
    if (g == 0)
#pragma unroll
      for (int j = 0; j < TILES; j++)
#pragma unroll
        for (int e = 0; e < 2; e++) of_warps[own.warp * TILES * 8 + t * TILES * 2 + j * 2 + e] = total[j][e];
    __syncthreads();
#pragma unroll
    for (int j = 0; j < TILES; j++)
#pragma unroll
      for (int e = 0; e < 2; e++) {
        float s = 0;
        for (int w = own.warp_n; w < WARPS; w += WARPS_N) s += of_warps[w * TILES * 8 + t * TILES * 2 + j * 2 + e];
        if (pass == 0) mean[j][e] = s / count;
        else if (own.warp < WARPS_N && g == 0) {
          float *to = moments + ((i64)own.n * volume(tiles) + own.tile) * 3 * columns + channel_of(j / GROUP) + j % GROUP * 2 + e;
          to[0] = count; to[columns] = mean[j][e]; to[2 * columns] = s; } } } }
