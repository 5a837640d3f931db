// What convolutions on tensor cores share: how the work is dealt to blocks and threads, and what becomes of sums.
//
// The product m16n8k16 has 16 voxels of a lattice (MW along the width, 16/MW along the depth) and 8 channels of out. A warp
// computes ROWS such groups of voxels, one below the other along the height, times TILES*8 channels; a block has WARPS_D *
// WARPS_H * WARPS_N warps along depth, height and channels. Channels are dealt so that those of a lane follow one another.
constexpr int MD = 16 / MW, WARPS = WARPS_D * WARPS_H * WARPS_N, THREADS = 32 * WARPS;
constexpr int rows_in = (WARPS_H * ROWS - 1) * SH + KH, columns_in = (MW - 1) * SW + KW; // of a block's input
constexpr int GROUP = TILES < 4 ? TILES : 4, GROUPS = TILES / GROUP, COLUMNS = WARPS_N * TILES * 8;
__host__ __device__ constexpr int least(int a, int b) { return a < b ? a : b; }
// x/d by inverse = 2^32/d, rounded up, for numbers of 16 bits
static __device__ __forceinline__ int over(int x, unsigned inverse) { return inverse ? __umulhi(x, inverse) : x; }

// What a thread has of the work: its warp's place in the block, the block's columns, image, part of the input channels,
// tile and first voxel q. It is computed wherever it is wanted, which costs less than the registers to keep it.
struct Share {
  int lane, warp, warp_n, warp_h, warp_d, column_block, tile, n, split;
  Grid q; };

// the lattice's voxel of one of 16 rows m of a product
static __device__ __forceinline__ Grid voxel_of(const Share &own, int row, int m) {
  return {own.q.d + own.warp_d * MD + m / MW, own.q.h + own.warp_h * ROWS + row, own.q.w + m % MW}; }

// Work is what a launch says, see conv_mma.go.
struct Work {
  T *out; const float *bias; float *moments, *partial; int accumulate, cout, stride_d;
  int column_blocks; unsigned over_column_blocks, over_depth; int batch; unsigned over_batch;
  i64 grid, full, lattice, step, phases, phase, first, tiles;

  __device__ __forceinline__ Share share() const {
    int thread = again((int)threadIdx.x), x = again((int)blockIdx.x), z = again((int)blockIdx.z), warp = thread >> 5;
    Grid of = grid_of(again(tiles));
    int w = over(x, over_column_blocks), image = over(z, over_depth), d = z - image * of.d, split = over(image, over_batch);
    return {thread & 31, warp, warp % WARPS_N, warp / WARPS_N % WARPS_H, warp / (WARPS_N * WARPS_H), x - w * column_blocks,
      (d * of.h + (int)blockIdx.y) * of.w + w, image - split * batch, split, {d * WARPS_D * MD, (int)blockIdx.y * WARPS_H * ROWS, w * MW}}; }

  // the first voxel of the block's input
  __device__ __forceinline__ Grid input(const Share &own) const {
    Grid at = grid_of(again(first));
    return {own.q.d * stride_d + at.d, own.q.h * SH + at.h, own.q.w * SW + at.w}; }

  // Stores sums, or hands them on in partial, and the block's part of the moments. Rows g and g + 8 of a product's result
  // are in registers 0, 1 and 2, 3, columns 2t and 2t + 1 of it.
  __device__ __forceinline__ void finish(float (&sum)[ROWS][TILES][4], float *of_warps) const {
    Share own = share();
    Grid of_phases = grid_of(phases);
    int blocks_of_phase = column_blocks / volume(of_phases), which = own.column_block / blocks_of_phase;
    int columns = blocks_of_phase * COLUMNS, column = ((own.column_block - which * blocks_of_phase) * WARPS_N + own.warp_n) * TILES * 8 + (own.lane & 3) * GROUP * 2;
    if (partial) hand_on(sum, own, column, columns);
    else {
      Grid at = grid_of(phase);
      store(sum, own, column, {at.d + which / (of_phases.h * of_phases.w), at.h + which / of_phases.w % of_phases.h, at.w + which % of_phases.w});
      if (moments) add_moments(sum, own, column, columns, of_warps); } }

  // (splits, N, lattice, columns)
  __device__ __forceinline__ void hand_on(float (&sum)[ROWS][TILES][4], const Share &own, int column, int columns) const {
    Grid of = grid_of(lattice);
#pragma unroll
    for (int i = 0; i < 2 * ROWS; i++) {
      Grid p = voxel_of(own, i / 2, (own.lane >> 2) + 8 * (i & 1));
      if (!inside(of, p.d, p.h, p.w)) continue;
      float *to = partial + voxel_of(of, own.split * batch + own.n, p.d, p.h, p.w) * columns + column;
#pragma unroll
      for (int j = 0; j < TILES; j++)
        *(float2 *)(to + j / GROUP * GROUP * 8 + j % GROUP * 2) = make_float2(sum[i / 2][j][i % 2 * 2], sum[i / 2][j][i % 2 * 2 + 1]); } }

  // sums become what is stored, whose moments are wanted
  __device__ __forceinline__ void store(float (&sum)[ROWS][TILES][4], const Share &own, int column, Grid at) const {
    Grid of = grid_of(lattice), by = grid_of(step), all = grid_of(full);
    int channels = stride_of(cout);
#pragma unroll
    for (int group = 0; group < GROUPS; group++) {
      int channel = column + group * GROUP * 8;
      float shift[GROUP * 2];
#pragma unroll
      for (int k = 0; k < GROUP * 2; k++) shift[k] = bias && channel + k < cout ? bias[channel + k] : 0.0f;
#pragma unroll
      for (int i = 0; i < 2 * ROWS; i++) {
        Grid p = voxel_of(own, i / 2, (own.lane >> 2) + 8 * (i & 1));
        if (!inside(of, p.d, p.h, p.w) || channel >= channels) continue;
        T *to = out + voxel_of(all, own.n, p.d * by.d + at.d, p.h * by.h + at.h, p.w * by.w + at.w) * channels + channel;
        Words<GROUP> u = {};
        if (accumulate && channels > 1) u = *(const Words<GROUP> *)to;
        if (accumulate && channels == 1) u.w[0] = to->bits;
#pragma unroll
        for (int k = 0; k < GROUP; k++) {
          float *v = sum[i / 2][group * GROUP + k] + i % 2 * 2;
          u.w[k] = pair(T(), v[0] + shift[2 * k] + low(u.w[k]), v[1] + shift[2 * k + 1] + high(u.w[k]));
          v[0] = low(u.w[k]); v[1] = high(u.w[k]); }
        if (channels > 1) *(Words<GROUP> *)to = u;
        else if (channel == 0) to->bits = u.w[0]; } } }

  // mean and squared differences from it of the block's voxels, (N, tiles, 3, columns) as moments.cu wants them; of_warps is (WARPS, TILES*8) of shared memory
  __device__ __forceinline__ void add_moments(float (&sum)[ROWS][TILES][4], const Share &own, int column, int columns, float *of_warps) const {
    Grid of = grid_of(lattice), part = {least(WARPS_D * MD, of.d - own.q.d), least(WARPS_H * ROWS, of.h - own.q.h), least(MW, of.w - own.q.w)};
    float count = volume(part), mean[TILES][2] = {};
    bool first_lane = own.lane < 4;
    int at = (own.lane & 3) * TILES * 2;
#pragma unroll
    for (int pass = 0; pass < 2; pass++) {
      __syncthreads();
#pragma unroll
      for (int j = 0; j < TILES; j++)
#pragma unroll
        for (int e = 0; e < 2; e++) {
          float total = 0;
#pragma unroll
          for (int i = 0; i < 2 * ROWS; i++) {
            Grid p = voxel_of(own, i / 2, (own.lane >> 2) + 8 * (i & 1));
            float v = sum[i / 2][j][i % 2 * 2 + e] - mean[j][e];
            if (inside(of, p.d, p.h, p.w)) total += pass ? v * v : v; }
#pragma unroll
          for (int o = 4; o < 32; o *= 2) total += __shfl_xor_sync(0xffffffffu, total, o);
          if (first_lane) of_warps[own.warp * TILES * 8 + at + j * 2 + e] = total; }
      __syncthreads();
#pragma unroll
      for (int j = 0; j < TILES; j++)
#pragma unroll
        for (int e = 0; e < 2; e++) {
          float total = 0;
          for (int w = own.warp_n; w < WARPS; w += WARPS_N) total += of_warps[w * TILES * 8 + at + j * 2 + e];
          if (pass == 0) mean[j][e] = total / count;
          else if (own.warp < WARPS_N && first_lane) {
            float *to = moments + ((i64)own.n * volume(grid_of(tiles)) + own.tile) * 3 * columns + column + j / GROUP * GROUP * 8 + j % GROUP * 2 + e;
            to[0] = count; to[columns] = mean[j][e]; to[2 * columns] = total; } } } } };
