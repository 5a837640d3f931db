// Weight gradients on tensor cores: for rows i, the channels of a, columns j, those of b, and taps t
//
//   partial[split][(i*taps + t)*pitch_c + j] = sum over the split's voxels v of a[v][i] b[v*stride - pad + t][j]
//
// after which come, where size has room for them, sums for a bias: of a's channels (BIAS 1) or, for each KD, of b's (BIAS 2).
//
// The product m16n8k16 has 16 channels of a, 8 of b and 16 voxels, which it sums over: MW along the width in each of 16/MW
// bands of ROWS rows, one below the other. A warp computes 16 x 16 channels for the KH*KW taps of one of KD planes, over
// the voxels of one of WARPS_V parts of the tile's height; a block has KD * WARPS_M * WARPS_N * WARPS_V warps. A block goes
// through tiles of HEIGHT x MW voxels, for each from one plane of a to the next; the planes of b lie in a ring in shared
// memory, where the next ones arrive during the product. A loaded row of b is multiplied with the rows of a of all taps
// along the height that it is under. Shared memory is [group of 8 channels][row][column] of units, columns of b of one
// residue by the stride together, so that 8 voxels of every ldmatrix lie in different banks.
//
// FIRST: b has one channel, columns are its taps, which are gathered into shared memory; KD, KH, KW, SH and SW are then 1.
#include "grad.cuh"
#include "units.cuh"
constexpr int BANDS = 16 / MW, HEIGHT = WARPS_V * ROWS * BANDS, THREADS = 32 * KD * WARPS_M * WARPS_N * WARPS_V;
constexpr int GROUPS_A = 2 * WARPS_M, GROUPS_B = 2 * WARPS_N; // of 8 channels
constexpr int rows_in = (HEIGHT - 1) * SH + KH, columns_in = (MW - 1) * SW + KW, residue = (columns_in + SW - 1) / SW, pitch = SW * residue;
__host__ __device__ constexpr int place(int column) { return column % SW * residue + column / SW; }
// units from one group to the next, so that all groups of 8/groups voxels lie in different banks
__host__ __device__ constexpr int padded(int n, int groups) { return n + (8 / groups + 8 - n % 8) % 8; }
constexpr int plane_a = padded(HEIGHT * MW, GROUPS_A), plane_b = padded(rows_in * pitch, GROUPS_B);
constexpr int slot_a = GROUPS_A * plane_a, slot_b = GROUPS_B * plane_b;

struct Tile { int n, h, w; }; // its image and first voxel of a

// an operand as a thread brings it: channel is the first of its group
struct Side {
  const T *x; const float *norm; float slope; int channels, channel;

  __device__ __forceinline__ void bring(Unit *to, bool in, i64 voxel) const {
    in &= channel < stride_of(channels);
    cp_async(to, in ? x + voxel * stride_of(channels) + channel : x, in); } };

// the map of a norm for the channels of a group; what is padding becomes 0
struct Norm {
  float scale[8], shift[8], slope;

  __device__ __forceinline__ Norm(const Side &s, int n) : slope(s.slope) {
#pragma unroll
    for (int k = 0; k < 8; k++) {
      const float *map = s.norm + 2 * ((i64)n * s.channels + s.channel + k);
      bool known = s.channel + k < s.channels;
      scale[k] = known ? map[0] : 0.0f; shift[k] = known ? map[1] : 0.0f; } }

  __device__ __forceinline__ void apply(Unit *at) const {
    Unit u = *at;
#pragma unroll
    for (int k = 0; k < 4; k++)
      u.w[k] = pair(T(), leaky(scale[2 * k] * low(u.w[k]) + shift[2 * k], slope), leaky(scale[2 * k + 1] * high(u.w[k]) + shift[2 * k + 1], slope));
    *at = u; } };

// f of each unit of a plane that this thread brings: its place in the slot, whether it is in the grid, its voxel
template <class F> static __device__ __forceinline__ void each_of_a(Grid grid, Tile tile, int d, F f) {
#pragma unroll 1
  for (int i = threadIdx.x / GROUPS_A; i < HEIGHT * MW; i += THREADS / GROUPS_A) {
    int h = tile.h + i / MW, w = tile.w + i % MW;
    f(threadIdx.x % GROUPS_A * plane_a + i, h < grid.h && w < grid.w, voxel_of(grid, tile.n, d, h, w)); } }
template <class F> static __device__ __forceinline__ void each_of_b(Grid grid, int n, int d, int h, int w, F f) {
#pragma unroll 1
  for (int i = threadIdx.x / GROUPS_B; i < rows_in * columns_in; i += THREADS / GROUPS_B) {
    int row = i / columns_in, column = i % columns_in;
    f(threadIdx.x % GROUPS_B * plane_b + row * pitch + place(column), inside(grid, d, h + row, w + column), voxel_of(grid, n, d, h + row, w + column)); } }

#if FIRST
// 8 taps of the one channel of b, for each voxel of a tile, through its norm
static __device__ __forceinline__ void gather_taps(const Side &b, Unit *slot, Grid grid, Tile tile, int d, Grid taps, Grid stride, Grid pad) {
  float scale = b.norm ? b.norm[2 * tile.n] : 1.0f, shift = b.norm ? b.norm[2 * tile.n + 1] : 0.0f;
  int td[8], th[8], tw[8];
#pragma unroll
  for (int k = 0; k < 8; k++) {
    int t = b.channel + k;
    td[k] = t < volume(taps) ? t / (taps.h * taps.w) - pad.d : -(1 << 20); // which is in no grid
    th[k] = t / taps.w % taps.h - pad.h; tw[k] = t % taps.w - pad.w; }
#pragma unroll 1
  for (int i = threadIdx.x / GROUPS_B; i < HEIGHT * MW; i += THREADS / GROUPS_B) {
    int h = (tile.h + i / MW) * stride.h, w = (tile.w + i % MW) * stride.w;
    T v[8];
#pragma unroll
    for (int k = 0; k < 8; k++) {
      v[k] = T{};
      if (!inside(grid, d * stride.d + td[k], h + th[k], w + tw[k])) continue;
      v[k] = b.x[voxel_of(grid, tile.n, d * stride.d + td[k], h + th[k], w + tw[k])];
      if (b.norm) v[k] = stored<T>(leaky(scale * to_float(v[k]) + shift, b.slope)); }
    Unit u;
#pragma unroll
    for (int k = 0; k < 4; k++) u.w[k] = v[2 * k].bits | (unsigned)v[2 * k + 1].bits << 16;
    slot[threadIdx.x % GROUPS_B * plane_b + i] = u; } }
#endif

extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS) products(
    const T *__restrict__ a_, const float *__restrict__ norm_a, float slope_a, int rows, const T *__restrict__ b_, const float *__restrict__ norm_b, float slope_b, int columns,
    float *__restrict__ partial, i64 size, int row_blocks, int batch, i64 grid_a, i64 grid_b, i64 taps_, i64 stride_, i64 pad_) {
  DYNAMIC_SHARED(shared);
  Grid ga = grid_of(grid_a), gb = grid_of(grid_b), stride = grid_of(stride_), pad = grid_of(pad_);
  int row_block = blockIdx.x % row_blocks, column_block = blockIdx.x / row_blocks;
  Side a = {a_, norm_a, slope_a, rows, (row_block * GROUPS_A + (int)threadIdx.x % GROUPS_A) * 8};
  Side b = {b_, norm_b, slope_b, columns, (column_block * GROUPS_B + (int)threadIdx.x % GROUPS_B) * 8};
  int advance = stride.d < KD ? stride.d : KD, ring = KD + advance; // planes of b: new ones of a step, slots
  Unit *stage_a = (Unit *)shared, *stage_b = stage_a + 2 * slot_a;
  auto slot_of_b = [&](int d, int kd) { return stage_b + (d * advance + kd) % ring * slot_b; };

  // plane d of a and those of b from kd on that it is multiplied with
  auto bring = [&](Tile tile, int d, int kd) {
    each_of_a(ga, tile, d, [&](int unit, bool in, i64 voxel) { a.bring(stage_a + (d & 1) * slot_a + unit, in, voxel); });
#if FIRST
    gather_taps(b, slot_of_b(d, 0), gb, tile, d, grid_of(taps_), stride, pad);
#else
    for (; kd < KD; kd++) {
      Unit *slot = slot_of_b(d, kd);
      each_of_b(gb, tile.n, d * stride.d - pad.d + kd, tile.h * SH - pad.h, tile.w * SW - pad.w, [&](int unit, bool in, i64 voxel) { b.bring(slot + unit, in, voxel); }); }
#endif
  };
  // of what this thread has brought; what is outside of the grid stays 0
  auto normalise = [&](Tile tile, int d, int kd) {
    if (a.norm) {
      Norm norm(a, tile.n);
      each_of_a(ga, tile, d, [&](int unit, bool in, i64) { if (in) norm.apply(stage_a + (d & 1) * slot_a + unit); }); }
    if (FIRST || !b.norm) return;
    Norm norm(b, tile.n);
    for (; kd < KD; kd++) {
      Unit *slot = slot_of_b(d, kd);
      each_of_b(gb, tile.n, d * stride.d - pad.d + kd, tile.h * SH - pad.h, tile.w * SW - pad.w, [&](int unit, bool in, i64) { if (in) norm.apply(slot + unit); }); } };

  int lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
  int warp_m = warp % WARPS_M, warp_n = warp / WARPS_M % WARPS_N, warp_v = warp / (WARPS_M * WARPS_N) % WARPS_V, kd = warp / (WARPS_M * WARPS_N * WARPS_V);
  bool with_bias = size > (i64)rows * KD * KH * KW * ((columns + 7) / 8 * 8) && (BIAS == 1 ? !kd && !warp_n && !column_block : !warp_m && !row_block);
  unsigned ones = lane < 4 ? pair(T(), 1.0f, 1.0f) : 0;
  float sum[KH][KW][2][4] = {}, of_bias[2][4] = {};
  auto multiply = [&](int d) {
    // of the four matrices of an ldmatrix: which channels, which voxels
    int k = (lane >> 4) * 8 + (lane & 7), band = warp_v * BANDS + k / MW;
    const Unit *rows_a = stage_a + (d & 1) * slot_a + (warp_m * 2 + (lane >> 3 & 1)) * plane_a + band * ROWS * MW + k % MW;
    k = (lane >> 3 & 1) * 8 + (lane & 7), band = warp_v * BANDS + k / MW;
    const Unit *rows_b = slot_of_b(d, kd) + (warp_n * 2 + (lane >> 4)) * plane_b + band * ROWS * SH * pitch + k % MW;
    unsigned of_a[ROWS][4];
#pragma unroll
    for (int row = 0; row < (ROWS - 1) * SH + KH; row++) {
      if (row % SH == 0 && row / SH < ROWS) {
        ldmatrix_x4_trans(of_a[row / SH], rows_a + row / SH * MW);
        if (BIAS == 1 && with_bias) mma_m16n8k16(T(), of_bias[0], of_a[row / SH], {ones, ones}); }
      if (KH < SH && row % SH >= KH) continue;
#pragma unroll
      for (int kw = 0; kw < KW; kw++) {
        unsigned both[4];
        ldmatrix_x4_trans(both, rows_b + row * pitch + place(kw));
        unsigned of_b[2][2] = {{both[0], both[1]}, {both[2], both[3]}};
#pragma unroll
        for (int j = 0; j < 2; j++) {
          if (BIAS == 2 && with_bias) mma_m16n8k16(T(), of_bias[j], {ones, 0, ones, 0}, of_b[j]);
#pragma unroll
          for (int kh = 0; kh < KH; kh++)
            if (row >= kh && (row - kh) % SH == 0 && (row - kh) / SH < ROWS) mma_m16n8k16(T(), sum[kh][kw][j], of_a[(row - kh) / SH], of_b[j]); } } } };

  int tiles_h = (ga.h + HEIGHT - 1) / HEIGHT, tiles_w = (ga.w + MW - 1) / MW;
  i64 steps = (i64)batch * tiles_h * tiles_w * ga.d;
  int from = steps * blockIdx.y / gridDim.y, to = steps * (blockIdx.y + 1) / gridDim.y;
  Tile tile = {};
#pragma unroll 1
  for (int step = from; step < to; step++) {
    int d = step % ga.d, which = step / ga.d;
    bool fresh = step == from || d == 0;
    if (fresh) {
      tile = {which / (tiles_h * tiles_w), which / tiles_w % tiles_h * HEIGHT, which % tiles_w * MW};
      bring(tile, d, 0);
      cp_async_commit(); }
    if (step + 1 < to && d + 1 < ga.d) bring(tile, d + 1, KD - advance);
    cp_async_commit();
    cp_async_wait<1>();
    normalise(tile, d, fresh ? 0 : KD - advance);
    __syncthreads();
    multiply(d);
    __syncthreads(); }

  // rows g and g + 8 of a product's result are in registers 0, 1 and 2, 3, columns 2t and 2t + 1 of it
  int taps = KD * KH * KW, pitch_c = (columns + 7) / 8 * 8, row = (row_block * WARPS_M + warp_m) * 16 + (lane >> 2), column = (column_block * WARPS_N + warp_n) * 16 + (lane & 3) * 2;
  partial += (blockIdx.y * WARPS_V + warp_v) * size;
#pragma unroll
  for (int kh = 0; kh < KH; kh++)
#pragma unroll
    for (int kw = 0; kw < KW; kw++)
#pragma unroll
      for (int e = 0; e < 4; e++) {
        int i = row + e / 2 * 8, j = column + e % 2 * 8;
        if (i < rows && j < pitch_c)
          *(float2 *)(partial + ((i64)i * taps + (kd * KH + kh) * KW + kw) * pitch_c + j) = make_float2(sum[kh][kw][e % 2][e / 2 * 2], sum[kh][kw][e % 2][e / 2 * 2 + 1]); }
  partial += (i64)rows * taps * pitch_c;
  if (BIAS == 1 && with_bias && (lane & 3) == 0) {
    if (row < rows) partial[row] = of_bias[0][0];
    if (row + 8 < rows) partial[row + 8] = of_bias[0][2]; }
  if (BIAS == 2 && with_bias && lane < 4)
    for (int j = 0; j < 2; j++)
      if (column + j * 8 < pitch_c) *(float2 *)(partial + kd * pitch_c + column + j * 8) = make_float2(of_bias[j][0], of_bias[j][1]); }
