// Softmax cross-entropy minus soft Dice, and the gradient by the logits (N, V, STRIDE). A thread has a voxel at a time,
// see voxel.cuh. Grids are (chunks of voxels, N).
#include "channels.cuh"
#include "voxel.cuh"

__device__ __forceinline__ int first_of(int voxels) { return (int)((i64)voxels * blockIdx.x / gridDim.x) + threadIdx.x; }
__device__ __forceinline__ int end_of(int voxels) { return (int)((i64)voxels * (blockIdx.x + 1) / gridDim.x); }

// partial (N, 3*STRIDE + 2, chunks): intersection, sum of predictions and sum of references of each class, the weighted
// entropies and their weights
extern "C" __global__ void __launch_bounds__(128) dice_ce_sums(const T *logits, const u8 *labels, const float *weights, float *partial, int ignore, int voxels, int classes) {
  __shared__ float warps[4][3 * STRIDE + 2];
  float sums[3][STRIDE] = {}, entropy = 0, weight = 0;
  i64 start = (i64)blockIdx.y * voxels;
  for (int v = first_of(voxels); v < end_of(voxels); v += blockDim.x) {
    int label = labels[start + v];
    if (label == ignore) continue;
    Voxel x; load(logits + (start + v) * STRIDE, x);
    float own = 0, w = weights ? weights[label] : 1;
#pragma unroll
    for (int c = 0; c < STRIDE; c++) if (c == label) own = x.p[c];
    softmax(x, classes);
    entropy += w * (x.top - own + logf(x.sum)); weight += w;
#pragma unroll
    for (int c = 0; c < STRIDE; c++) {
      sums[1][c] += x.p[c];
      if (c == label) { sums[0][c] += x.p[c]; sums[2][c] += 1; } } }
  int lane = threadIdx.x % 32; float *own = warps[threadIdx.x / 32];
  auto add = [&](float x, int at) {
#pragma unroll
    for (int o = 16; o; o /= 2) x += __shfl_xor_sync(0xffffffffu, x, o);
    if (lane == 0) own[at] = x; };
#pragma unroll
  for (int c = 0; c < STRIDE; c++) { add(sums[0][c], 3 * c); add(sums[1][c], 3 * c + 1); add(sums[2][c], 3 * c + 2); }
  add(entropy, 3 * STRIDE); add(weight, 3 * STRIDE + 1);
  __syncthreads();
  float *out = partial + (i64)blockIdx.y * (3 * STRIDE + 2) * gridDim.x + blockIdx.x;
  for (int i = threadIdx.x; i < 3 * STRIDE + 2; i += blockDim.x) out[(i64)i * gridDim.x] = (warps[0][i] + warps[1][i]) + (warps[2][i] + warps[3][i]); }

__device__ __forceinline__ double warp_sum(double x) {
  for (int o = 16; o; o /= 2) x += __shfl_xor_sync(0xffffffffu, x, o);
  return x; }

// the soft Dice of class c in image n, or in all where n < 0
struct Overlap { float intersection, total; };
__device__ __forceinline__ Overlap overlap(const float *sums, int n, int c, int batch, int classes) {
  const float smooth = 1e-5f;
  Overlap o = {smooth, smooth};
  for (int b = n < 0 ? 0 : n; b < (n < 0 ? batch : n + 1); b++) {
    const float *s = sums + 3 * (b * classes + c);
    o.intersection += 2 * s[0]; o.total += s[1] + s[2]; }
  return o; }

// sums (N*classes*3 + 1) and out: loss, Dice term, cross-entropy; one block
extern "C" __global__ void __launch_bounds__(512) dice_ce(const float *partial, float *sums, float *out, int batch_dice, int batch, int chunks, int classes) {
  __shared__ double entropy;
  int lane = threadIdx.x % 32, count = batch * classes * 3;
  for (int i = threadIdx.x / 32; i < count + 2; i += blockDim.x / 32) { // a warp for a value
    bool own = i < count; // by one image
    double sum = 0;
    for (int n = own ? i / (3 * classes) : 0; n < (own ? i / (3 * classes) + 1 : batch); n++) {
      const float *at = partial + (i64)(n * (3 * STRIDE + 2) + (own ? i % (3 * classes) : 3 * STRIDE + i - count)) * chunks;
#pragma unroll 8
      for (int k = lane; k < chunks; k += 32) sum += at[k]; }
    sum = warp_sum(sum);
    if (lane) continue;
    if (own) sums[i] = sum;
    else if (i == count) entropy = sum;
    else sums[count] = sum; }
  __syncthreads();
  if (threadIdx.x >= 32) return;
  int groups = (batch_dice ? 1 : batch) * (classes - 1);
  double dice = 0;
  for (int g = lane; g < groups; g += 32) {
    Overlap o = overlap(sums, batch_dice ? -1 : g / (classes - 1), 1 + g % (classes - 1), batch, classes);
    dice -= (double)o.intersection / o.total / groups; }
  dice = warp_sum(dice);
  if (lane) return;
  double mean = sums[count] > 0 ? entropy / sums[count] : entropy;
  out[0] = mean + dice; out[1] = dice; out[2] = mean; }

// dlogits = factor * d loss/d logits, factor = seed[0] * weight
extern "C" __global__ void __launch_bounds__(128) dice_ce_grad(const T *logits, const u8 *labels, const float *weights, const float *sums, const float *seed, T *dlogits,
    float weight, int ignore, int batch_dice, int batch, int voxels, int classes) {
  __shared__ float outside[STRIDE], inside[STRIDE]; // d loss/d p by the Dice term of a voxel that has another label, and what its own adds
  int groups = (batch_dice ? 1 : batch) * (classes - 1);
  for (int c = threadIdx.x; c < STRIDE; c += blockDim.x) {
    outside[c] = inside[c] = 0;
    if (c == 0 || c >= classes) continue;
    Overlap o = overlap(sums, batch_dice ? -1 : blockIdx.y, c, batch, classes);
    outside[c] = o.intersection / o.total / o.total / groups; inside[c] = -2 / o.total / groups; }
  __syncthreads();
  float factor = seed[0] * weight, weight_sum = sums[batch * classes * 3];
  i64 start = (i64)blockIdx.y * voxels;
  for (int v = first_of(voxels); v < end_of(voxels); v += blockDim.x) {
    int label = labels[start + v];
    Voxel x;
    if (label == ignore) {
#pragma unroll
      for (int c = 0; c < STRIDE; c++) x.p[c] = 0; }
    else {
      load(logits + (start + v) * STRIDE, x); softmax(x, classes);
      float w = weight_sum > 0 ? (weights ? weights[label] : 1) / weight_sum : 0, own = inside[label], mean = 0;
#pragma unroll
      for (int c = 0; c < STRIDE; c++) mean += x.p[c] * (outside[c] + (c == label ? own : 0));
#pragma unroll
      for (int c = 0; c < STRIDE; c++) {
        bool here = c == label;
        x.p[c] = factor * (x.p[c] * (outside[c] + (here ? own : 0) - mean + w) - (here ? w : 0)); } }
    store(dlogits + (start + v) * STRIDE, x); } }
