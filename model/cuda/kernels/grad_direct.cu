// Gradients of convolutions by their definition, for float32 programs: right, not fast.
#include "grad.cuh"
#define EACH(i, n) for (i64 i = (i64)blockIdx.x * blockDim.x + threadIdx.x; i < (n); i += (i64)gridDim.x * blockDim.x)

// channel c of a voxel of image n, through its norm (N, C, 2) where there is one
static __device__ __forceinline__ float seen(const T *x, i64 voxel, int n, int c, int channels, const float *norm, float slope) {
  float v = to_float(x[voxel * stride_of(channels) + c]);
  if (!norm) return v;
  const float *map = norm + 2 * ((i64)n * channels + c);
  return leaky(map[0] * v + map[1], slope); }

// out[q*step + phase] = bias + sum over taps t of source[q*stride + first + t] weight[t], for q in lattice; a thread
// computes an element. weight is (taps, cin, cout), see grad_pack.cu.
extern "C" __global__ void __launch_bounds__(256) gather(const T *source, const float *norm, float slope, const float *weight, const float *bias, T *out, int accumulate,
    int batch, int cin, int cout, i64 lattice_, i64 step_, i64 phase_, i64 full_, i64 grid_, i64 taps_, i64 stride_, i64 first_) {
  Grid lattice = grid_of(lattice_), step = grid_of(step_), phase = grid_of(phase_), full = grid_of(full_);
  Grid grid = grid_of(grid_), taps = grid_of(taps_), stride = grid_of(stride_), first = grid_of(first_);
  int channels = stride_of(cout);
  EACH(i, (i64)batch * volume(lattice) * channels) {
    int c = i % channels; i64 r = i / channels; int w = r % lattice.w; r /= lattice.w; int h = r % lattice.h; r /= lattice.h; int d = r % lattice.d, n = r / lattice.d;
    T *to = out + voxel_of(full, n, d * step.d + phase.d, h * step.h + phase.h, w * step.w + phase.w) * channels + c;
    if (c >= cout) { *to = stored<T>(0.0f); continue; }
    float sum = 0;
    for (int td = 0; td < taps.d; td++) for (int th = 0; th < taps.h; th++) for (int tw = 0; tw < taps.w; tw++) {
      int sd = d * stride.d + first.d + td, sh = h * stride.h + first.h + th, sw = w * stride.w + first.w + tw;
      if (!inside(grid, sd, sh, sw)) continue;
      i64 voxel = voxel_of(grid, n, sd, sh, sw);
      const float *row = weight + (i64)((td * taps.h + th) * taps.w + tw) * cin * cout + c;
      float part = 0;
      for (int k = 0; k < cin; k++) part += seen(source, voxel, n, k, cin, norm, slope) * row[(i64)k * cout];
      sum += part; }
    if (bias) sum += bias[c];
    *to = stored<T>(accumulate ? to_float(*to) + sum : sum); } }

// partial[split][(i*taps + t)*columns + j] = sum over voxels v of a[v][i] b[v*stride - pad + t][j]; after these come the
// bias' sums: of a's channels (bias 1) or of b's (bias 2). A thread computes an element over the voxels of split blockIdx.y.
extern "C" __global__ void __launch_bounds__(256) products(const T *a, const float *norm_a, const T *b, const float *norm_b, float slope, float *partial, int size, int bias,
    int batch, int rows, int columns, i64 grid_a, i64 grid_b, i64 taps_, i64 stride_, i64 pad_) {
  Grid ga = grid_of(grid_a), gb = grid_of(grid_b), taps = grid_of(taps_), stride = grid_of(stride_), pad = grid_of(pad_);
  int weights = rows * volume(taps) * columns;
  i64 voxels = (i64)batch * volume(ga);
  int from = voxels * blockIdx.y / gridDim.y, to = voxels * (blockIdx.y + 1) / gridDim.y;
  for (int e = blockIdx.x * blockDim.x + threadIdx.x; e < size; e += gridDim.x * blockDim.x) {
    bool weight = e < weights;
    int j = weight ? e % columns : e - weights, t = e / columns % volume(taps), i = weight ? e / columns / volume(taps) : j;
    int td = t / (taps.h * taps.w), th = t / taps.w % taps.h, tw = t % taps.w;
    double sum = 0;
    for (int v = from; v < to; v++) {
      int r = v, w = r % ga.w; r /= ga.w; int h = r % ga.h; r /= ga.h; int d = r % ga.d, n = r / ga.d;
      if (!weight && bias == 1) sum += seen(a, v, n, i, rows, norm_a, slope);
      else if (weight) {
        int sd = d * stride.d - pad.d + td, sh = h * stride.h - pad.h + th, sw = w * stride.w - pad.w + tw;
        if (inside(gb, sd, sh, sw)) sum += (double)seen(a, v, n, i, rows, norm_a, slope) * seen(b, voxel_of(gb, n, sd, sh, sw), n, j, columns, norm_b, slope); }
      else
#pragma unroll 1
        for (int s = 0; s < volume(taps); s++) // pad 0, and each voxel of b is below one tap
        sum += seen(b, voxel_of(gb, n, d * stride.d + s / (taps.h * taps.w), h * stride.h + s / taps.w % taps.h, w * stride.w + s % taps.w), n, j, columns, norm_b, slope); }
    partial[(i64)blockIdx.y * size + e] = sum; } }
