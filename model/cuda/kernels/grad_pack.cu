// Weights in the order in which gradients read them, whenever parameters have changed.
#include "grad.cuh"
#define EACH(i, n) for (i64 i = (i64)blockIdx.x * blockDim.x + threadIdx.x; i < (n); i += (i64)gridDim.x * blockDim.x)

// (taps, cin, cout) float32 of a weight whose steps along cin, cout and the taps' axes are given
extern "C" __global__ void __launch_bounds__(256) plain(const float *weight, float *packed, int cin, int cout, int step_in, int step_out, i64 taps_, i64 step_taps) {
  Grid taps = grid_of(taps_), step = grid_of(step_taps);
  EACH(i, (i64)volume(taps) * cin * cout) {
    int c = i % cout, k = i / cout % cin, t = i / cout / cin;
    packed[i] = weight[(i64)k * step_in + (i64)c * step_out + t / (taps.h * taps.w) * step.d + t / taps.w % taps.h * step.h + t % taps.w * step.w]; } }
