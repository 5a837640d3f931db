// What the kernels of convolutions' gradients share. T is STORE.
typedef STORE T;
struct Grid { int d, h, w; };

// three numbers of 20 bits, the lowest first: one argument for what has three axes
__device__ __forceinline__ int part(i64 packed, int at) { return (int)((i64)((unsigned long long)packed << (44 - 20 * at)) >> 44); }
__device__ __forceinline__ Grid grid_of(i64 packed) { return {part(packed, 0), part(packed, 1), part(packed, 2)}; }
__device__ __forceinline__ i64 grid_in(i64 d, i64 h, i64 w) { return d | h << 20 | w << 40; }
__device__ __forceinline__ int volume(Grid g) { return g.d * g.h * g.w; }

__device__ __forceinline__ bool inside(Grid g, int d, int h, int w) { return (unsigned)d < (unsigned)g.d && (unsigned)h < (unsigned)g.h && (unsigned)w < (unsigned)g.w; }
__device__ __forceinline__ i64 voxel_of(Grid g, int n, int d, int h, int w) { return (((i64)n * g.d + d) * g.h + h) * g.w + w; }

// elements from one voxel to the next
__device__ __forceinline__ int stride_of(int channels) { return channels == 1 ? 1 : (channels + 7) / 8 * 8; }

__device__ __forceinline__ float leaky(float v, float slope) { return v > 0 ? v : slope * v; }
