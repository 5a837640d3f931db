// What kernels share that treat each channel by itself. A thread owns WIDTH channels, one beside the other: 8, or 1
// where an activation (N, V, S) has one channel. Blocks are (channels, voxels), grids (chunks of voxels, channels, N).
typedef STORE T;
#define EACH(i, n) for (i64 i = (i64)blockIdx.x * blockDim.x + threadIdx.x; i < (n); i += (i64)gridDim.x * blockDim.x)

__device__ __forceinline__ void load(const float *p, float (&x)[1]) { x[0] = *p; }
__device__ __forceinline__ void store(float *p, const float (&x)[1]) { *p = x[0]; }
__device__ __forceinline__ void load(const float *p, float (&x)[8]) {
  float4 a = *(const float4 *)p, b = *((const float4 *)p + 1);
  x[0] = a.x; x[1] = a.y; x[2] = a.z; x[3] = a.w; x[4] = b.x; x[5] = b.y; x[6] = b.z; x[7] = b.w; }
__device__ __forceinline__ void store(float *p, const float (&x)[8]) {
  *(float4 *)p = {x[0], x[1], x[2], x[3]}; *((float4 *)p + 1) = {x[4], x[5], x[6], x[7]}; }

// of 16 bits each
template <class H> __device__ __forceinline__ float half_of(unsigned word, int high) { H h; h.bits = (u16)(word >> (16 * high)); return to_float(h); }
template <class H> __device__ __forceinline__ unsigned word_of(float low, float high) { return stored<H>(low).bits | (unsigned)stored<H>(high).bits << 16; }
template <class H> __device__ __forceinline__ void load(const H *p, float (&x)[1]) { x[0] = to_float(*p); }
template <class H> __device__ __forceinline__ void store(H *p, const float (&x)[1]) { *p = stored<H>(x[0]); }
template <class H> __device__ __forceinline__ void load(const H *p, float (&x)[8]) {
  uint4 w = *(const uint4 *)p;
  x[0] = half_of<H>(w.x, 0); x[1] = half_of<H>(w.x, 1); x[2] = half_of<H>(w.y, 0); x[3] = half_of<H>(w.y, 1);
  x[4] = half_of<H>(w.z, 0); x[5] = half_of<H>(w.z, 1); x[6] = half_of<H>(w.w, 0); x[7] = half_of<H>(w.w, 1); }
template <class H> __device__ __forceinline__ void store(H *p, const float (&x)[8]) {
  *(uint4 *)p = {word_of<H>(x[0], x[1]), word_of<H>(x[2], x[3]), word_of<H>(x[4], x[5]), word_of<H>(x[6], x[7])}; }

#ifdef WIDTH
// the voxels of a thread: from, from + step ... below to, and its first channel; none where it is behind the last one
struct Part { int c, n, from, to, step; };
__device__ __forceinline__ Part part_of(int voxels, int stride) {
  Part p;
  p.c = (blockIdx.y * blockDim.x + threadIdx.x) * WIDTH; p.n = blockIdx.z;
  p.from = (int)((i64)voxels * blockIdx.x / gridDim.x) + threadIdx.y; p.to = (int)((i64)voxels * (blockIdx.x + 1) / gridDim.x);
  p.step = blockDim.y;
  if (p.c >= stride) p.from = p.to;
  return p; }

// element which of the pairs (N, C, 2) of a thread's channels, 0 for padding
__device__ __forceinline__ void load_pairs(const float *pairs, Part p, int channels, int which, float (&x)[WIDTH]) {
#pragma unroll
  for (int k = 0; k < WIDTH; k++) x[k] = p.c + k < channels ? pairs[2 * ((i64)p.n * channels + p.c + k) + which] : 0; }
#endif

__device__ __forceinline__ float leaky(float v, float slope) { return v > 0 ? v : slope * v; }
