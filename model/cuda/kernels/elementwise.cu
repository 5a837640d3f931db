// Copies between logical order and the device's layout, and sums. STORE is the type of an activation:
// (N, D, H, W, S) with S = 1 for one channel, else the channels rounded up to 8, the rest zero.
typedef STORE T;
#define EACH(i, n) for (i64 i = (i64)blockIdx.x * blockDim.x + threadIdx.x; i < (n); i += (i64)gridDim.x * blockDim.x)

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

extern "C" __global__ void __launch_bounds__(256) add(const T *a, const T *b, T *out, i64 n) {
  EACH(i, n) out[i] = stored<T>(to_float(a[i]) + to_float(b[i])); }
