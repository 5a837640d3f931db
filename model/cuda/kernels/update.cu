// What happens to gradients after the backward pass, for all parameters in one launch: a block takes a piece of one
// of them, from a table.
#include "channels.cuh"

// out = weighted sum of up to four vectors, all but the first of which may be null, and of what out held unless first
extern "C" __global__ void __launch_bounds__(256) weighted_sum(const float *a, float wa, const float *b, float wb, const float *c, float wc, const float *d, float wd, float *out, int first, int n) {
  EACH(i, n) {
    float sum = first ? 0 : out[i];
    sum += wa * a[i];
    if (b) sum += wb * b[i];
    if (c) sum += wc * c[i];
    if (d) sum += wd * d[i];
    out[i] = sum; } }

__device__ __forceinline__ double warp_sum(double x) {
  for (int o = 16; o; o /= 2) x += __shfl_xor_sync(0xffffffffu, x, o);
  return x; }

// of 256 threads, for the first of them
__device__ __forceinline__ double block_sum(double x) {
  __shared__ double warps[8];
  x = warp_sum(x);
  if (threadIdx.x % 32 == 0) warps[threadIdx.x / 32] = x;
  __syncthreads();
  if (threadIdx.x == 0) for (int k = 1; k < 8; k++) x += warps[k];
  return x; }

struct Values { const float *at; i64 n; };

// sum of squares of each piece
extern "C" __global__ void __launch_bounds__(256) squares(const Values *pieces, double *sums) {
  Values p = pieces[blockIdx.x];
  double sum = 0;
  for (int i = threadIdx.x; i < p.n / 4; i += blockDim.x) {
    float4 g = ((const float4 *)p.at)[i];
    sum += ((double)g.x * g.x + (double)g.y * g.y) + ((double)g.z * g.z + (double)g.w * g.w); }
  int rest = p.n / 4 * 4 + threadIdx.x;
  if (rest < p.n) sum += (double)p.at[rest] * p.at[rest];
  sum = block_sum(sum);
  if (threadIdx.x == 0) sums[blockIdx.x] = sum; }

// out: norm = sqrt(sum)/seed and min(1, bound/norm)/seed, bound 0: no bound; one block
extern "C" __global__ void __launch_bounds__(256) grad_norm(const double *sums, int pieces, const float *seed, float *out, float bound) {
  double sum = 0;
  for (int i = threadIdx.x; i < pieces; i += blockDim.x) sum += sums[i];
  sum = block_sum(sum);
  if (threadIdx.x) return;
  double norm = sqrt(sum) / seed[0], factor = bound > 0 ? bound / (norm + 1e-6) : 1;
  if (factor > 1) factor = 1; // and not a number stays so
  out[0] = norm; out[1] = factor / seed[0]; }

struct Learning { float *param; const float *grad; float *state[2]; i64 n; };

struct SGD {
  static constexpr int states = 1;
  float lr, momentum, decay, factor;
  __device__ SGD(const float *h, float factor) : lr(h[0]), momentum(h[1]), decay(h[2]), factor(factor) {}
  __device__ __forceinline__ void step(float &p, float g, float &velocity, float &) const {
    g = g * factor + decay * p;
    velocity = momentum * velocity + g;
    p -= lr * (g + momentum * velocity); } };

struct AdamW {
  static constexpr int states = 2;
  float lr, beta1, beta2, eps, decay, correct1, correct2, factor;
  __device__ AdamW(const float *h, float factor) : lr(h[0]), beta1(h[1]), beta2(h[2]), eps(h[3]), decay(h[4]), correct1(h[5]), correct2(sqrtf(h[6])), factor(factor) {}
  __device__ __forceinline__ void step(float &p, float g, float &first, float &second) const {
    g *= factor;
    first = beta1 * first + (1 - beta1) * g;
    second = beta2 * second + (1 - beta2) * g * g;
    p = p * (1 - lr * decay) - lr * (first / correct1 / (sqrtf(second) / correct2 + eps)); } };

// norm is that of grad_norm: where it is not finite nothing changes
template <class Rule> __device__ __forceinline__ void learn(const Learning &l, const float *hyper, const float *norm) {
  if (!(norm[0] - norm[0] == 0)) return;
  Rule rule(hyper, norm[1]);
  for (int i = threadIdx.x; i < l.n / 4; i += blockDim.x) {
    float4 p = ((float4 *)l.param)[i], g = ((const float4 *)l.grad)[i], a = ((float4 *)l.state[0])[i], b = Rule::states > 1 ? ((float4 *)l.state[1])[i] : a;
    rule.step(p.x, g.x, a.x, b.x); rule.step(p.y, g.y, a.y, b.y); rule.step(p.z, g.z, a.z, b.z); rule.step(p.w, g.w, a.w, b.w);
    ((float4 *)l.param)[i] = p; ((float4 *)l.state[0])[i] = a;
    if (Rule::states > 1) ((float4 *)l.state[1])[i] = b; }
  int rest = l.n / 4 * 4 + threadIdx.x; float none = 0;
  if (rest < l.n) rule.step(l.param[rest], l.grad[rest], l.state[0][rest], Rule::states > 1 ? l.state[1][rest] : none); }

extern "C" __global__ void __launch_bounds__(256) sgd(const Learning *pieces, const float *hyper, const float *norm) { learn<SGD>(pieces[blockIdx.x], hyper, norm); }
extern "C" __global__ void __launch_bounds__(256) adamw(const Learning *pieces, const float *hyper, const float *norm) { learn<AdamW>(pieces[blockIdx.x], hyper, norm); }
