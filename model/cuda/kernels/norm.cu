// Instance norm: moments, the affine map, its materialised form and its gradient. See channels.cuh for the tiling.
#include "channels.cuh"

// (count, mean, sum of squared deviations) of two sets as those of their union: Chan, Golub, LeVeque 1979
struct Spread { float count, mean, m2; };
__device__ __forceinline__ void join(Spread &a, Spread b) {
  float n = a.count + b.count;
  if (n == 0) return;
  float delta = b.mean - a.mean, share = b.count / n;
  a.mean += delta * share; a.m2 += b.m2 + delta * delta * a.count * share; a.count = n; }

// partial (N, chunks, 3, S): count, mean and sum of squared deviations of a chunk's voxels, for moments.cu. A thread
// takes sums around its first value, so that a mean far from zero costs no digits.
extern "C" __global__ void __launch_bounds__(256) moments(const T *x, float *partial, int voxels, int stride) {
  __shared__ float waiting[2][WIDTH][256]; __shared__ int counts[256];
  Part p = part_of(voxels, stride);
  const T *at = x + ((i64)p.n * voxels * stride + p.c);
  float first[WIDTH] = {}, sum[WIDTH] = {}, squares[WIDTH] = {}; int count = 0;
  if (p.from < p.to) load(at + (i64)p.from * stride, first);
#pragma unroll 4
  for (int v = p.from; v < p.to; v += p.step, count++) {
    float now[WIDTH]; load(at + (i64)v * stride, now);
#pragma unroll
    for (int k = 0; k < WIDTH; k++) { float d = now[k] - first[k]; sum[k] += d; squares[k] += d * d; } }
  float mean[WIDTH], m2[WIDTH], inverse = count ? 1.0f / count : 0;
#pragma unroll
  for (int k = 0; k < WIDTH; k++) { float d = sum[k] * inverse; mean[k] = first[k] + d; m2[k] = squares[k] - sum[k] * d; }
  int me = threadIdx.y * blockDim.x + threadIdx.x;
  for (int left = blockDim.y; left > 1;) { // the upper half gives to the lower one
    int half = (left + 1) / 2;
    if (threadIdx.y >= half && threadIdx.y < left) {
      counts[me] = count;
#pragma unroll
      for (int k = 0; k < WIDTH; k++) { waiting[0][k][me] = mean[k]; waiting[1][k][me] = m2[k]; } }
    __syncthreads();
    if (threadIdx.y + half < left) {
      int other = me + half * blockDim.x;
#pragma unroll
      for (int k = 0; k < WIDTH; k++) {
        Spread a = {(float)count, mean[k], m2[k]};
        join(a, {(float)counts[other], waiting[0][k][other], waiting[1][k][other]});
        mean[k] = a.mean; m2[k] = a.m2; }
      count += counts[other]; }
    left = half; }
  if (threadIdx.y || p.c >= stride) return;
  float *out = partial + ((i64)p.n * gridDim.x + blockIdx.x) * 3 * stride + p.c;
#pragma unroll
  for (int k = 0; k < WIDTH; k++) { out[k] = count; out[stride + k] = mean[k]; out[2 * stride + k] = fmaxf(m2[k], 0.0f); } }

// scale and shift (pairs, 2)
extern "C" __global__ void __launch_bounds__(256) norm_scale(const float *moments, const float *gamma, const float *beta, float *out, float eps, int pairs, int channels) {
  EACH(i, pairs) {
    double scale = gamma[i % channels] / sqrt((double)moments[2 * i + 1] + eps);
    out[2 * i] = scale; out[2 * i + 1] = beta[i % channels] - moments[2 * i] * scale; } }

// leakyReLU(scale*x + shift), or x where norm is null
extern "C" __global__ void __launch_bounds__(256) norm_act(const T *x, const float *norm, T *out, float slope, int voxels, int channels, int stride) {
  Part p = part_of(voxels, stride);
  float scale[WIDTH], shift[WIDTH];
  if (norm) { load_pairs(norm, p, channels, 0, scale); load_pairs(norm, p, channels, 1, shift); }
  i64 start = (i64)p.n * voxels * stride + p.c;
#pragma unroll 4
  for (int v = p.from; v < p.to; v += p.step) {
    float now[WIDTH]; load(x + start + (i64)v * stride, now);
    if (norm)
#pragma unroll
      for (int k = 0; k < WIDTH; k++) now[k] = leaky(scale[k] * now[k] + shift[k], slope);
    store(out + start + (i64)v * stride, now); } }

// partial (N, chunks, 2, S): sums of dy, the gradient below leaky ReLU, and of dy*xhat
extern "C" __global__ void __launch_bounds__(256, 3) norm_grad_sums(const T *raw, const float *moments, const float *norm, const T *dout, float *partial,
    float slope, float eps, int voxels, int channels, int stride) {
  __shared__ float waiting[2][WIDTH][256];
  Part p = part_of(voxels, stride);
  float mean[WIDTH], scale[WIDTH], shift[WIDTH], sum[WIDTH] = {}, products[WIDTH] = {};
  load_pairs(moments, p, channels, 0, mean); load_pairs(norm, p, channels, 0, scale); load_pairs(norm, p, channels, 1, shift);
  i64 start = (i64)p.n * voxels * stride + p.c;
#pragma unroll 2
  for (int v = p.from; v < p.to; v += p.step) {
    float x[WIDTH], dy[WIDTH]; load(raw + start + (i64)v * stride, x); load(dout + start + (i64)v * stride, dy);
#pragma unroll
    for (int k = 0; k < WIDTH; k++) {
      float d = scale[k] * x[k] + shift[k] > 0 ? dy[k] : slope * dy[k];
      sum[k] += d; products[k] += d * (x[k] - mean[k]); } }
  int me = threadIdx.y * blockDim.x + threadIdx.x;
  for (int left = blockDim.y; left > 1;) {
    int half = (left + 1) / 2;
    if (threadIdx.y >= half && threadIdx.y < left)
#pragma unroll
      for (int k = 0; k < WIDTH; k++) { waiting[0][k][me] = sum[k]; waiting[1][k][me] = products[k]; }
    __syncthreads();
    if (threadIdx.y + half < left)
#pragma unroll
      for (int k = 0; k < WIDTH; k++) { sum[k] += waiting[0][k][me + half * blockDim.x]; products[k] += waiting[1][k][me + half * blockDim.x]; }
    left = half; }
  if (threadIdx.y || p.c >= stride) return;
  float variance[WIDTH]; load_pairs(moments, p, channels, 1, variance);
  float *out = partial + ((i64)p.n * gridDim.x + blockIdx.x) * 2 * stride + p.c;
#pragma unroll
  for (int k = 0; k < WIDTH; k++) { out[k] = sum[k]; out[stride + k] = products[k] / sqrtf(variance[k] + eps); } }

// means (N, 2, S) over voxels of dy and dy*xhat, and their sums over everything, the gradients of beta and gamma; a block
// has 32 channels and 32 threads for each
extern "C" __global__ void __launch_bounds__(1024) norm_grad_means(const float *partial, float *means, float *dgamma, float *dbeta,
    int batch, int chunks, int voxels, int channels, int stride) {
  __shared__ double sums[2][32][32];
  int x = threadIdx.x, y = threadIdx.y, c = blockIdx.x * 32 + x;
  double all = 0, all_products = 0;
  for (i64 n = 0; n < batch; n++) {
    double sum = 0, products = 0;
    if (c < channels)
#pragma unroll 8
      for (int k = y; k < chunks; k += 32) {
        const float *at = partial + (n * chunks + k) * 2 * stride + c;
        sum += at[0]; products += at[stride]; }
    sums[0][y][x] = sum; sums[1][y][x] = products;
    __syncthreads();
    if (y == 0 && c < channels) {
      for (int k = 1; k < 32; k++) { sum += sums[0][k][x]; products += sums[1][k][x]; }
      means[n * 2 * stride + c] = sum / voxels; means[(n * 2 + 1) * stride + c] = products / voxels;
      all += sum; all_products += products; }
    __syncthreads(); }
  if (y || c >= channels) return;
  dbeta[c] = all; dgamma[c] = all_products; }

// din = gamma/sd * (dy - mean dy - xhat * mean dy*xhat); din may be dout
extern "C" __global__ void __launch_bounds__(256, 3) norm_grad(const T *raw, const float *moments, const float *norm, const float *gamma, const float *means,
    const T *dout, T *din, float slope, float eps, int voxels, int channels, int stride) {
  Part p = part_of(voxels, stride);
  float mean[WIDTH], scale[WIDTH], shift[WIDTH], factor[WIDTH], constant[WIDTH], linear[WIDTH];
  load_pairs(moments, p, channels, 0, mean); load_pairs(norm, p, channels, 0, scale); load_pairs(norm, p, channels, 1, shift);
  load_pairs(moments, p, channels, 1, factor); // the variance
#pragma unroll
  for (int k = 0; k < WIDTH; k++) {
    constant[k] = linear[k] = 0;
    if (p.c + k >= channels) { factor[k] = 0; continue; }
    const float *m = means + (i64)p.n * 2 * stride + p.c + k;
    float inverse = 1 / sqrtf(factor[k] + eps);
    factor[k] = gamma[p.c + k] * inverse;
    constant[k] = -factor[k] * m[0]; linear[k] = -factor[k] * inverse * m[stride]; }
  i64 start = (i64)p.n * voxels * stride + p.c;
#pragma unroll 2
  for (int v = p.from; v < p.to; v += p.step) {
    float x[WIDTH], dy[WIDTH]; load(raw + start + (i64)v * stride, x); load(dout + start + (i64)v * stride, dy);
#pragma unroll
    for (int k = 0; k < WIDTH; k++) {
      float d = scale[k] * x[k] + shift[k] > 0 ? dy[k] : slope * dy[k];
      dy[k] = factor[k] * d + (linear[k] * (x[k] - mean[k]) + constant[k]); }
    store(din + start + (i64)v * stride, dy); } }
