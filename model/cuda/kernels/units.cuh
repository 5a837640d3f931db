// Units of 8 channels of 16 bits, or less of them, as words of two.
template <int N> struct alignas(4 * N) Words { unsigned w[N]; };
typedef Words<4> Unit; // 8 channels of a voxel, or of a weight

static __device__ __forceinline__ float low(unsigned w) { return to_float(T{(u16)w}); }
static __device__ __forceinline__ float high(unsigned w) { return to_float(T{(u16)(w >> 16)}); }
