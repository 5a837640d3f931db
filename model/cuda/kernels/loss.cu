// Softmax cross-entropy minus soft Dice, and the gradient by the logits (N, V, stride). A team of lanes has a voxel, see
// voxel.cuh. Grids are (chunks of voxels, N).
#include "channels.cuh"
#include "voxel.cuh"

__device__ __forceinline__ int chunk(int voxels, int k) { return (int)((i64)voxels * k / gridDim.x); }

// partial (N, 24*lanes + 2, chunks): intersection, sum of predictions and sum of references of each channel, the weighted
// entropies and their weights
extern "C" __global__ void __launch_bounds__(128) dice_ce_sums(const T *logits, const u8 *labels, const float *weights, float *partial, int ignore, int voxels, int classes, int stride, int lanes) {
  __shared__ float warps[4][24 * 32 + 2];
  Team team(lanes);
  float sums[3][8] = {}, entropy = 0, weight = 0;
  i64 start = (i64)blockIdx.y * voxels;
  int to = chunk(voxels, blockIdx.x + 1);
  for (int from = chunk(voxels, blockIdx.x); from < to; from += team.step) {
    int v = from + team.first, label = v < to ? labels[start + v] : ignore;
    bool counts = v < to && label != ignore;
    Channels x; load(logits + (start + v) * stride, team, stride, counts, x);
    float own = 0;
#pragma unroll
    for (int k = 0; k < 8; k++) if (team.c + k == label) own = x.p[k];
    softmax(x, team, classes);
    if (!counts) continue;
    if (label / 8 == team.c / 8) { // the thread that has the label's logit
      float w = weights ? weights[label] : 1;
      entropy += w * (x.top - own + logf(x.sum)); weight += w; }
#pragma unroll
    for (int k = 0; k < 8; k++) {
      sums[1][k] += x.p[k];
      if (team.c + k == label) { sums[0][k] += x.p[k]; sums[2][k] += 1; } } }
  int lane = threadIdx.x % 32; float *own = warps[threadIdx.x / 32];
  auto add = [&](float x, int least, int at) {
    for (int o = 16; o >= least; o /= 2) x += __shfl_xor_sync(0xffffffffu, x, o);
    if (lane < least) own[at] = x; };
#pragma unroll
  for (int k = 0; k < 8; k++)
#pragma unroll
    for (int j = 0; j < 3; j++) add(sums[j][k], lanes, 3 * (team.c + k) + j);
  add(entropy, 1, 24 * lanes); add(weight, 1, 24 * lanes + 1);
  __syncthreads();
  float *out = partial + (i64)blockIdx.y * (24 * lanes + 2) * gridDim.x + blockIdx.x;
  for (int i = threadIdx.x; i < 24 * lanes + 2; i += blockDim.x) out[(i64)i * gridDim.x] = (warps[0][i] + warps[1][i]) + (warps[2][i] + warps[3][i]); }

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
extern "C" __global__ void __launch_bounds__(512) dice_ce(const float *partial, float *sums, float *out, int batch_dice, int batch, int chunks, int classes, int lanes) {
  __shared__ double entropy;
  int lane = threadIdx.x % 32, count = batch * classes * 3;
  for (int i = threadIdx.x / 32; i < count + 2; i += blockDim.x / 32) { // a warp for a value
    bool own = i < count; // by one image
    double sum = 0;
    for (int n = own ? i / (3 * classes) : 0; n < (own ? i / (3 * classes) + 1 : batch); n++) {
      const float *at = partial + (i64)(n * (24 * lanes + 2) + (own ? i % (3 * classes) : 24 * lanes + i - count)) * chunks;
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
    float weight, int ignore, int batch_dice, int batch, int voxels, int classes, int stride, int lanes) {
  __shared__ float outside[256], inside[256]; // d loss/d p by the Dice term of a voxel that has another label, and what its own adds
  int groups = (batch_dice ? 1 : batch) * (classes - 1);
  for (int c = threadIdx.x; c < 256; c += blockDim.x) {
    outside[c] = inside[c] = 0;
    if (c == 0 || c >= classes) continue;
    Overlap o = overlap(sums, batch_dice ? -1 : blockIdx.y, c, batch, classes);
    outside[c] = o.intersection / o.total / o.total / groups; inside[c] = -2 / o.total / groups; }
  __syncthreads();
  Team team(lanes);
  float slope[8], factor = seed[0] * weight, weight_sum = sums[batch * classes * 3];
#pragma unroll
  for (int k = 0; k < 8; k++) slope[k] = outside[team.c + k];
  i64 start = (i64)blockIdx.y * voxels;
  int to = chunk(voxels, blockIdx.x + 1);
  for (int from = chunk(voxels, blockIdx.x); from < to; from += team.step) {
    int v = from + team.first, label = v < to ? labels[start + v] : ignore;
    bool counts = v < to && label != ignore;
    Channels x; load(logits + (start + v) * stride, team, stride, counts, x);
    softmax(x, team, classes);
    float w = counts && weight_sum > 0 ? (weights ? weights[label] : 1) / weight_sum : 0, own = counts ? inside[label] : 0, mean = 0;
#pragma unroll
    for (int k = 0; k < 8; k++) mean += x.p[k] * (slope[k] + (team.c + k == label ? own : 0));
    mean = team.sum(mean);
    if (v >= to || team.c >= stride) continue;
#pragma unroll
    for (int k = 0; k < 8; k++) {
      bool here = team.c + k == label;
      x.p[k] = counts ? factor * (x.p[k] * (slope[k] + (here ? own : 0) - mean + w) - (here ? w : 0)) : 0; }
    store(dlogits + (start + v) * stride + team.c, x.p); } }
