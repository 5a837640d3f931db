// The channels of a voxel, eight to a thread: a team of lanes that lie side by side in a warp, a power of two, has a voxel
// at a time. All lanes of a warp take part in what a team does together, also those that have no voxel left.
struct Team {
  int lanes, c, first, step; // c is a thread's first channel; its voxels are first, first + step ... in a block's share
  __device__ __forceinline__ Team(int lanes) : lanes(lanes), c(8 * (threadIdx.x % lanes)), first(threadIdx.x / lanes), step(blockDim.x / lanes) {}
  __device__ __forceinline__ float sum(float x) const {
    for (int o = lanes / 2; o; o /= 2) x += __shfl_xor_sync(0xffffffffu, x, o);
    return x; }
  __device__ __forceinline__ float most(float x) const {
    for (int o = lanes / 2; o; o /= 2) x = fmaxf(x, __shfl_xor_sync(0xffffffffu, x, o));
    return x; }
};

// a thread's channels; top and sum are softmax's
struct Channels { float p[8], top, sum; };

// zeros where not wanted and behind the last channel
template <class H> __device__ __forceinline__ void load(const H *voxel, const Team &team, int stride, bool wanted, Channels &v) {
  if (wanted && team.c < stride) load(voxel + team.c, v.p);
  else
#pragma unroll
    for (int k = 0; k < 8; k++) v.p[k] = 0; }

// probabilities in place of logits, 0 for padding; top is the largest logit, sum that of exponentials below it
__device__ __forceinline__ void softmax(Channels &v, const Team &team, int classes) {
  v.top = -3e38f; v.sum = 0;
#pragma unroll
  for (int k = 0; k < 8; k++) if (team.c + k < classes) v.top = fmaxf(v.top, v.p[k]);
  v.top = team.most(v.top);
#pragma unroll
  for (int k = 0; k < 8; k++) { v.p[k] = team.c + k < classes ? expf(v.p[k] - v.top) : 0; v.sum += v.p[k]; }
  v.sum = team.sum(v.sum);
  float inverse = 1 / v.sum;
#pragma unroll
  for (int k = 0; k < 8; k++) v.p[k] *= inverse; }
