// Number formats and instructions that C++ has no word for. Each has a body for the
// card and one for the emulator, which defines EMULATED.
typedef unsigned char u8;
typedef unsigned short u16;
typedef long long i64;
struct f16 { u16 bits; };
struct bf16 { u16 bits; };
#ifdef __CUDACC_RTC__
typedef unsigned long long uintptr_t;
__device__ __forceinline__ float to_float(f16 h) { float f; asm("cvt.f32.f16 %0, %1;" : "=f"(f) : "h"(h.bits)); return f; }
__device__ __forceinline__ float to_float(bf16 h) { return __uint_as_float((unsigned)h.bits << 16); }
__device__ __forceinline__ void from_float(f16 &h, float f) { asm("cvt.rn.f16.f32 %0, %1;" : "=h"(h.bits) : "f"(f)); }
__device__ __forceinline__ void from_float(bf16 &h, float f) { asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(h.bits) : "f"(f)); }
__device__ __forceinline__ void mma_m16n8k16(f16, float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
  asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3},{%4,%5,%6,%7},{%8,%9},{%0,%1,%2,%3};"
    : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3]) : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1])); }
__device__ __forceinline__ void mma_m16n8k16(bf16, float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
  asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3},{%4,%5,%6,%7},{%8,%9},{%0,%1,%2,%3};"
    : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3]) : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1])); }
__device__ __forceinline__ void ldmatrix_x4(unsigned (&r)[4], const void *row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3},[%4];" : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"((unsigned)__cvta_generic_to_shared(row))); }
#define DYNAMIC_SHARED(name) extern __shared__ __align__(16) char name[]
#else
#define EMULATED 1
static inline float to_float(f16 h) { return emu_f16_to_float(h.bits); }
static inline float to_float(bf16 h) { return emu_bf16_to_float(h.bits); }
static inline void from_float(f16 &h, float f) { h.bits = emu_float_to_f16(f); }
static inline void from_float(bf16 &h, float f) { h.bits = emu_float_to_bf16(f); }
static inline void mma_m16n8k16(f16, float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2]) { mma_m16n8k16(emu_f16_to_float, d, a, b); }
static inline void mma_m16n8k16(bf16, float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2]) { mma_m16n8k16(emu_bf16_to_float, d, a, b); }
#define DYNAMIC_SHARED(name) char *name = emu::dynamic_shared
#endif
__device__ __forceinline__ float to_float(float f) { return f; }
__device__ __forceinline__ void from_float(float &h, float f) { h = f; }
template <class T> __device__ __forceinline__ T stored(float f) { T h; from_float(h, f); return h; }
