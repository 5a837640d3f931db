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
// the same number, but what is computed from it is computed again, not kept in registers
__device__ __forceinline__ int again(int v) { asm volatile("" : "+r"(v)); return v; }
__device__ __forceinline__ i64 again(i64 v) { asm volatile("" : "+l"(v)); return v; }
// two numbers in a word, the first in its low half
__device__ __forceinline__ unsigned pair(f16, float low, float high) { unsigned w; asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(w) : "f"(high), "f"(low)); return w; }
__device__ __forceinline__ unsigned pair(bf16, float low, float high) { unsigned w; asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(w) : "f"(high), "f"(low)); return w; }
// 16 bytes from global to shared memory that arrive at a wait, zeros unless wanted; waits are for all but the newest groups
__device__ __forceinline__ void cp_async(void *to, const void *from, bool wanted) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" :: "r"((unsigned)__cvta_generic_to_shared(to)), "l"(from), "r"(wanted ? 16 : 0) : "memory"); }
__device__ __forceinline__ void cp_async_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }
template <int Newest> __device__ __forceinline__ void cp_async_wait() { asm volatile("cp.async.wait_group %0;" :: "n"(Newest) : "memory"); }
__device__ __forceinline__ void ldmatrix_x4_trans(unsigned (&r)[4], const void *row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3},[%4];" : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"((unsigned)__cvta_generic_to_shared(row))); }
#define DYNAMIC_SHARED(name) extern __shared__ __align__(16) char name[]
#else
#define EMULATED 1
static inline float to_float(f16 h) { return emu_f16_to_float(h.bits); }
static inline float to_float(bf16 h) { return emu_bf16_to_float(h.bits); }
static inline void from_float(f16 &h, float f) { h.bits = emu_float_to_f16(f); }
static inline void from_float(bf16 &h, float f) { h.bits = emu_float_to_bf16(f); }
static inline void mma_m16n8k16(f16, float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2]) { mma_m16n8k16(emu_f16_to_float, d, a, b); }
static inline void mma_m16n8k16(bf16, float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2]) { mma_m16n8k16(emu_bf16_to_float, d, a, b); }
static inline int again(int v) { return v; }
static inline i64 again(i64 v) { return v; }
static inline unsigned pair(f16, float low, float high) { return emu_float_to_f16(low) | (unsigned)emu_float_to_f16(high) << 16; }
static inline unsigned pair(bf16, float low, float high) { return emu_float_to_bf16(low) | (unsigned)emu_float_to_bf16(high) << 16; }
static inline void cp_async(void *to, const void *from, bool wanted) { emu_cp_async(to, from, wanted); }
static inline void cp_async_commit() { emu_cp_async_commit(); }
template <int Newest> static inline void cp_async_wait() { emu_cp_async_wait(Newest); }
#define DYNAMIC_SHARED(name) char *name = emu::dynamic_shared
#endif
__device__ __forceinline__ float to_float(float f) { return f; }
__device__ __forceinline__ void from_float(float &h, float f) { h = f; }
template <class T> __device__ __forceinline__ T stored(float f) { T h; from_float(h, f); return h; }
