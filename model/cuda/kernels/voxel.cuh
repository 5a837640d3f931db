// All channels of a voxel (STRIDE of them, those from classes on are padding) in a thread's registers. More than some
// forty classes go through local memory.
struct Voxel { float p[STRIDE], top, sum; }; // top and sum are softmax's

template <class H> __device__ __forceinline__ void load(const H *at, Voxel &v) {
#pragma unroll
  for (int k = 0; k < STRIDE; k += 8) load(at + k, *(float (*)[8])(v.p + k)); }
template <class H> __device__ __forceinline__ void store(H *at, const Voxel &v) {
#pragma unroll
  for (int k = 0; k < STRIDE; k += 8) store(at + k, *(const float (*)[8])(v.p + k)); }

// probabilities in place of logits, 0 for padding; top is the largest logit, sum that of exponentials below it
__device__ __forceinline__ void softmax(Voxel &v, int classes) {
  v.top = v.p[0]; v.sum = 0;
#pragma unroll
  for (int c = 1; c < STRIDE; c++) if (c < classes) v.top = fmaxf(v.top, v.p[c]);
#pragma unroll
  for (int c = 0; c < STRIDE; c++) { v.p[c] = c < classes ? expf(v.p[c] - v.top) : 0; v.sum += v.p[c]; }
  float inverse = 1 / v.sum;
#pragma unroll
  for (int c = 0; c < STRIDE; c++) v.p[c] *= inverse; }
