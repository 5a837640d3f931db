// Convolutions by their definition, for float32 programs and what no other kernel takes: right, not fast.
#include "grad.cuh"

// out[o] = bias + sum over taps t of x[o*stride + first + t] weight[t], a launch for each view of the input, whose sums are
// handed on in partial (like out, but float32) unless it is both the first and the last. A thread computes an element.
// weight is (taps, cin, cout) of the view's channels, see grad_pack.cu; norm is (N, C, 2) or null.
extern "C" __global__ void __launch_bounds__(256) conv(const T *x, const float *norm, float slope, const float *weight, const float *bias,
    float *partial, int go_on, int last, T *out, int batch, int cin, int cout, i64 grid_, i64 full_, i64 taps_, i64 stride_, i64 first_) {
  Grid grid = grid_of(grid_), full = grid_of(full_), taps = grid_of(taps_), stride = grid_of(stride_), first = grid_of(first_);
  int channels = stride_of(cout);
  i64 n_out = (i64)batch * volume(full) * channels;
  for (i64 i = (i64)blockIdx.x * blockDim.x + threadIdx.x; i < n_out; i += (i64)gridDim.x * blockDim.x) {
    int c = i % channels; i64 r = i / channels; int w = r % full.w; r /= full.w; int h = r % full.h; r /= full.h; int d = r % full.d, n = r / full.d;
    if (c >= cout) { out[i] = stored<T>(0.0f); continue; }
    float sum = go_on ? partial[i] : 0.0f;
    for (int td = 0; td < taps.d; td++) for (int th = 0; th < taps.h; th++) for (int tw = 0; tw < taps.w; tw++) {
      int sd = d * stride.d + first.d + td, sh = h * stride.h + first.h + th, sw = w * stride.w + first.w + tw;
      if (!inside(grid, sd, sh, sw)) continue;
      const T *from = x + voxel_of(grid, n, sd, sh, sw) * stride_of(cin);
      const float *row = weight + (i64)((td * taps.h + th) * taps.w + tw) * cin * cout + c;
      float part = 0;
      for (int k = 0; k < cin; k++) {
        float v = to_float(from[k]);
        if (norm) { const float *map = norm + 2 * ((i64)n * cin + k); v = leaky(map[0] * v + map[1], slope); }
        part += v * row[(i64)k * cout]; }
      sum += part; }
    if (!last) { partial[i] = sum; continue; }
    out[i] = stored<T>(bias ? sum + bias[c] : sum); } }
