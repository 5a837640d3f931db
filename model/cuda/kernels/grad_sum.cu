// The second stage of weight gradients: partial sums (splits, rows*taps*pitch + bias_parts*pitch, or what size says) added
// in the order of their splits, in double, into the logical order (rows, row_length, taps) and the bias gradient. A row of
// columns is pitch long. A block has 32 columns and some taps of one row, or 32 of the bias behind the last row, and for
// each lanes of its eight lines of threads: eight, for one tap, where splits are many.
extern "C" __global__ void __launch_bounds__(256) sum(const float *partial, float *dweight, float *dbias, int splits, i64 size,
    int rows, int taps, int columns, int pitch, int row_length, int bias, int bias_parts, int lanes, int taps_of_block) {
  __shared__ double of_lanes[8][32];
  __shared__ float sums[32][33]; // of columns and taps
  int x = threadIdx.x, y = threadIdx.y, i = blockIdx.z, first_column = blockIdx.x * 32, first_tap = blockIdx.y * taps_of_block, parts = 1;
  float *to = dweight + ((i64)i * row_length + first_column) * taps;
  partial += (i64)i * taps * pitch + first_column + x;
  if (i == rows) {
    if (blockIdx.y) return;
    to = dbias + first_column; taps = 1; columns = bias; parts = bias_parts; }
  int count = taps - first_tap < taps_of_block ? taps - first_tap : taps_of_block;
  for (int t = y / lanes; t < count; t += 8 / lanes) {
    double sum = 0;
    if (first_column + x < columns)
      for (int part = 0; part < parts; part++) {
        const float *p = partial + (i64)(first_tap + t + part) * pitch;
#pragma unroll 4
        for (int s = y % lanes; s < splits; s += lanes) sum += p[s * size]; }
    if (lanes == 8) {
      of_lanes[y][x] = sum;
      __syncthreads();
      if (y == 0) for (int k = 1; k < 8; k++) sum += of_lanes[k][x]; }
    if (y % lanes == 0) sums[x][t] = sum; }
  __syncthreads();
  for (int e = y * 32 + x; e < 32 * count; e += 256)
    if (first_column + e / count < columns) to[e / count * taps + first_tap + e % count] = sums[e / count][e % count]; }
