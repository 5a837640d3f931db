// Weights for conv_mma.cu, whenever parameters have changed: the operand of each product in the order of registers,
// (columns/(TILES*8), chunks of 16 channels, KD, KW, KH, TILES/2, 32 lanes) of 8 numbers, those of two tiles.
#include "grad.cuh"
constexpr int GROUP = TILES < 4 ? TILES : 4;

// the channels of one view: chunks of them from first_chunk on, of chunks in all; steps are those of weight in elements
extern "C" __global__ void __launch_bounds__(256) pack(const float *weight, T *packed, int cin, int cout, int columns, int first_chunk, int chunks,
    int step_in, int step_out, i64 taps_, i64 step_taps) {
  Grid taps = grid_of(taps_), step = grid_of(step_taps);
  i64 chunk_size = (i64)volume(taps) * TILES * 128;
  int own = (cin + 15) / 16;
  for (i64 i = (i64)blockIdx.x * blockDim.x + threadIdx.x; i < columns / (TILES * 8) * own * chunk_size; i += (i64)gridDim.x * blockDim.x) {
    int e = i & 7, lane = i >> 3 & 31, two = i / 256 % (TILES / 2); i64 r = i / (TILES * 128);
    int kh = r % taps.h; r /= taps.h; int kw = r % taps.w; r /= taps.w; int kd = r % taps.d; r /= taps.d; int chunk = r % own, block = r / own;
    int tile = two * 2 + e / 4, n = lane >> 2, k = (lane & 3) * 2 + (e >> 1 & 1) * 8 + (e & 1);
    int in = chunk * 16 + k, channel = ((block * (TILES / GROUP) + tile / GROUP) * 4 + n / 2) * GROUP * 2 + tile % GROUP * 2 + n % 2;
    float v = in < cin && channel < cout ? weight[(i64)in * step_in + (i64)channel * step_out + kd * step.d + kh * step.h + kw * step.w] : 0.0f;
    packed[((i64)block * chunks + first_chunk) * chunk_size + i % (own * chunk_size)] = stored<T>(v); } }
