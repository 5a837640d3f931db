// Copies between logical order and the device's layout, and sums. STORE is the type of an activation:
// (N, D, H, W, S) with S = 1 for one channel, else the channels rounded up to 8, the rest zero.
#include "channels.cuh"

// planes of an activation, from float32 (C, H, W) each; voxels = H*W
extern "C" __global__ void __launch_bounds__(256) pack(const float *src, T *dst, i64 planes, int depth, int voxels, int channels, int stride) {
  EACH(i, planes * voxels * stride) {
    int c = i % stride; i64 v = i / stride, plane = v / voxels; int at = v % voxels;
    i64 n = plane / depth, d = plane % depth; // src is (N, C, D, H, W)
    dst[i] = stored<T>(c < channels ? src[((n * channels + c) * depth + d) * voxels + at] : 0.0f); } }

// float32 (C, H, W) of planes first to first+planes, or with depth > 0 (N, C, D, H, W) of all
extern "C" __global__ void __launch_bounds__(256) unpack(const T *src, float *dst, i64 first, i64 planes, int depth, int voxels, int channels, int stride) {
  EACH(i, planes * voxels * channels) {
    int at = i % voxels; i64 r = i / voxels, n, c, d;
    if (depth) { d = r % depth; r /= depth; c = r % channels; n = r / channels; d += n * depth; }
    else { c = r % channels; d = first + r / channels; }
    dst[i] = to_float(src[(d * voxels + at) * stride + c]); } }

// n elements, eight at once, and the rest one by one
extern "C" __global__ void __launch_bounds__(256) add(const T *a, const T *b, T *out, i64 n) {
  EACH(i, n / 8) {
    float x[8], y[8]; load(a + 8 * i, x); load(b + 8 * i, y);
#pragma unroll
    for (int k = 0; k < 8; k++) x[k] += y[k];
    store(out + 8 * i, x); }
  EACH(i, n % 8) { i64 at = n / 8 * 8 + i; out[at] = stored<T>(to_float(a[at]) + to_float(b[at])); } }

extern "C" __global__ void __launch_bounds__(256) add_vectors(const float *a, const float *b, float *out, i64 n) { EACH(i, n) out[i] = a[i] + b[i]; }

// width channels of out from first on are those of x through its norm, where there is one, and zeros behind them
extern "C" __global__ void __launch_bounds__(256) copy_channels(const T *x, const float *norm, float slope, T *out,
    int batch, int voxels, int channels, int stride, int width, int first, int out_stride) {
  EACH(i, (i64)batch * voxels * width) {
    int c = i % width; i64 voxel = i / width, n = voxel / voxels;
    T *to = out + voxel * out_stride + first + c;
    if (c >= channels) { *to = stored<T>(0.0f); continue; }
    T v = x[voxel * stride + c];
    if (norm) { const float *map = norm + 2 * (n * channels + c); v = stored<T>(leaky(map[0] * to_float(v) + map[1], slope)); }
    *to = v; } }

// PyTorch's nearest-exact: along each axis source = floor((o + 0.5) * in/out)
extern "C" __global__ void __launch_bounds__(256) labels_nearest(const u8 *src, u8 *dst, int batch, int in_d, int in_h, int in_w, int d, int h, int w) {
  EACH(i, (i64)batch * d * h * w) {
    i64 r = i; int x = r % w; r /= w; int y = r % h; r /= h; int z = r % d; i64 n = r / d;
    z = (2 * z + 1) * in_d / (2 * d); y = (2 * y + 1) * in_h / (2 * h); x = (2 * x + 1) * in_w / (2 * w);
    dst[i] = src[((n * in_d + z) * in_h + y) * in_w + x]; } }
