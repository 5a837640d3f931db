// cuda_emu.h - run a CUDA C++ kernel source on the CPU with plain g++ (no GPU, no CUDA toolkit).
// Every thread of a block is a fiber (ucontext switched by hand-written code on x86-64); a block runs on one OS thread.
// __syncthreads and the warp collectives are rendezvous points; a lane that misses one is reported as a deadlock,
// and lanes reaching different collectives are reported as divergence.
#pragma once
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <vector>
#include <algorithm>
#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __restrict__
#define __launch_bounds__(...)
#define __align__(n) __attribute__((aligned(n)))
#define __shared__ static thread_local   // one block at a time per OS thread
struct dim3 { unsigned x, y, z; dim3(unsigned a = 1, unsigned b = 1, unsigned c = 1) : x(a), y(b), z(c) {} };
struct float2 { float x, y; }; struct alignas(16) float4 { float x, y, z, w; }; struct alignas(16) uint4 { unsigned x, y, z, w; };
static inline float2 make_float2(float a, float b) { return {a, b}; }
namespace emu {
struct Fiber { void *sp = nullptr; char *stack = nullptr; bool done = false; int wait = 0; const char *at = nullptr; dim3 tid; };
extern thread_local Fiber *cur; extern thread_local void *sched_sp; extern thread_local dim3 gD, bD, bI;
extern thread_local std::vector<Fiber> fibers; extern thread_local std::function<void()> *body;
extern thread_local uint64_t slot[2][1024]; extern thread_local int nswitch;
extern "C" void emu_switch(void **save, void *to);
void block(const char *where);             // __syncthreads rendezvous
void warp(unsigned mask, const char *where); // warp rendezvous
void launch(dim3 grid, dim3 blk, std::function<void()> f);
static inline int flat() { return cur->tid.x + bD.x * (cur->tid.y + bD.y * cur->tid.z); }
// the last lane to arrive runs f for the whole warp; buffers are double (parity), since no lane can be two collectives ahead
template <class F> void collect(unsigned mask, const char *w, F f);
bool arrive(unsigned mask, const char *w); void release(); void await(unsigned gen); unsigned gen();
template <class F> void collect(unsigned mask, const char *w, F f) { unsigned g = gen(); if (arrive(mask, w)) { f(); release(); } else await(g); }
template <class T> T exchange(unsigned mask, T v, int src, const char *w) {
  static_assert(sizeof(T) <= 8); int me = flat(), base = me & ~31, par = gen() & 1;
  if (!((mask >> src) & 1)) { fprintf(stderr, "emu: %s reads lane %d outside its mask\n", w, src); abort(); }
  memcpy(&slot[par][me], &v, sizeof(T)); collect(mask, w, [] {}); T r; memcpy(&r, &slot[par][base + src], sizeof(T)); return r; }
}
#define threadIdx (emu::cur->tid)
#define blockIdx (emu::bI)
#define blockDim (emu::bD)
#define gridDim (emu::gD)
#define EMU_S2(x) #x
#define EMU_S(x) EMU_S2(x)
#define __syncthreads() emu::block("__syncthreads:" EMU_S(__LINE__))
#define __syncwarp(...) emu::warp(0xffffffffu, "__syncwarp:" EMU_S(__LINE__))
#define __shfl_xor_sync(m, v, o) emu::exchange((m), (v), ((emu::flat() & 31) ^ (o)), "shfl_xor:" EMU_S(__LINE__))
#define __shfl_down_sync(m, v, o) emu::exchange((m), (v), ((emu::flat() & 31) + (o)) > 31 ? (emu::flat() & 31) : ((emu::flat() & 31) + (o)), "shfl_down:" EMU_S(__LINE__))
#define __shfl_sync(m, v, l) emu::exchange((m), (v), (l), "shfl:" EMU_S(__LINE__))
static inline float atomicAdd(float *p, float v) { float o = *p; *p = o + v; return o; } // blocks run one at a time per buffer in this prototype
// --- the tensor-core instruction, by its PTX fragment layout (m16n8k16, fp16 in, fp32 accumulate) ---
template <class Value> static inline void mma_m16n8k16(Value value, float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
  struct Frag { unsigned a[4], b[2]; float c[4]; }; static thread_local Frag F[2][1024];
  int me = emu::flat(), base = me & ~31; Frag *f = F[emu::gen() & 1];
  memcpy(f[me].a, a, 16); memcpy(f[me].b, b, 8); memcpy(f[me].c, d, 16);
  emu::collect(0xffffffffu, "mma.sync", [=] {
    float A[16][16], B[16][8], C[16][8];
    auto h = [=](unsigned w, int hi) { return value((unsigned short)(w >> (16 * hi))); };
    for (int l = 0; l < 32; l++) { const Frag &q = f[base + l]; int g = l / 4, t = l % 4 * 2;
      for (int i = 0; i < 2; i++) {
        A[g][t + i] = h(q.a[0], i); A[g + 8][t + i] = h(q.a[1], i); A[g][t + 8 + i] = h(q.a[2], i); A[g + 8][t + 8 + i] = h(q.a[3], i);
        B[t + i][g] = h(q.b[0], i); B[t + 8 + i][g] = h(q.b[1], i); C[g][t + i] = q.c[i]; C[g + 8][t + i] = q.c[2 + i]; } }
    for (int m = 0; m < 16; m++) for (int k = 0; k < 16; k++) for (int n = 0; n < 8; n++) C[m][n] += A[m][k] * B[k][n];
    for (int l = 0; l < 32; l++) { Frag &q = f[base + l]; int g = l / 4, t = l % 4 * 2;
      for (int i = 0; i < 2; i++) { q.c[i] = C[g][t + i]; q.c[2 + i] = C[g + 8][t + i]; } } });
  memcpy(d, f[me].c, 16); }
// ldmatrix x4: lane l supplies the address of row l%8 of matrix l/8; thread t receives words t%4 of row t/4 of each matrix
static inline void ldmatrix_x4(unsigned (&r)[4], const void *row) {
  static thread_local const void *p[1024]; int me = emu::flat(), base = me & ~31, lane = me & 31;
  if ((uintptr_t)row & 15) { fprintf(stderr, "emu: ldmatrix row not 16-byte aligned\n"); abort(); }
  p[me] = row; emu::warp(0xffffffffu, "ldmatrix"); 
  for (int m = 0; m < 4; m++) memcpy(&r[m], (const char *)p[base + m * 8 + lane / 4] + (lane % 4) * 4, 4);
  emu::warp(0xffffffffu, "ldmatrix"); }
// the same with each matrix transposed: thread t receives column t/4, of rows t%4*2 and the next
static inline void ldmatrix_x4_trans(unsigned (&r)[4], const void *row) {
  static thread_local const void *p[1024]; int me = emu::flat(), base = me & ~31, lane = me & 31;
  if ((uintptr_t)row & 15) { fprintf(stderr, "emu: ldmatrix.trans row not 16-byte aligned\n"); abort(); }
  p[me] = row; emu::warp(0xffffffffu, "ldmatrix.trans");
  for (int m = 0; m < 4; m++) { uint16_t lo, hi; int c = lane / 4, k = (lane % 4) * 2;
    memcpy(&lo, (const char *)p[base + m * 8 + k] + c * 2, 2); memcpy(&hi, (const char *)p[base + m * 8 + k + 1] + c * 2, 2); r[m] = lo | (unsigned)hi << 16; }
  emu::warp(0xffffffffu, "ldmatrix.trans"); }
// cp.async: a thread's copies are done when it waits for their group, the latest time that the card may take. A block
// that ends leaves nothing behind.
struct EmuCopies { void *to; const void *from; bool wanted; int group; };
static thread_local std::vector<EmuCopies> emu_copies[1024];
static thread_local int emu_group[1024];
static inline void emu_cp_async(void *to, const void *from, bool wanted) {
  if (((uintptr_t)to | (wanted ? (uintptr_t)from : 0)) & 15) { fprintf(stderr, "emu: cp.async not 16-byte aligned\n"); abort(); }
  emu_copies[emu::flat()].push_back({to, from, wanted, emu_group[emu::flat()]}); }
static inline void emu_cp_async_commit() { emu_group[emu::flat()]++; }
static inline void emu_cp_async_wait(int newest) {
  auto &list = emu_copies[emu::flat()]; int upto = emu_group[emu::flat()] - newest;
  auto late = std::stable_partition(list.begin(), list.end(), [=](const EmuCopies &c) { return c.group < upto; });
  for (auto c = list.begin(); c != late; c++) if (c->wanted) memcpy(c->to, c->from, 16); else memset(c->to, 0, 16);
  list.erase(list.begin(), late); }

static inline unsigned __umulhi(unsigned a, unsigned b) { return (uint64_t)a * b >> 32; }

// --- number formats: the bodies of ptx.cuh's instructions ---
static inline float emu_f16_to_float(unsigned short b) { _Float16 v; memcpy(&v, &b, 2); return (float)v; }
static inline unsigned short emu_float_to_f16(float f) { _Float16 v = (_Float16)f; unsigned short b; memcpy(&b, &v, 2); return b; }
static inline float emu_bf16_to_float(unsigned short b) { unsigned u = (unsigned)b << 16; float f; memcpy(&f, &u, 4); return f; }
static inline unsigned short emu_float_to_bf16(float f) { // round to nearest even
  unsigned u; memcpy(&u, &f, 4);
  if ((u & 0x7fffffff) > 0x7f800000) return 0x7fff;
  return (u + 0x7fff + (u >> 16 & 1)) >> 16; }
// Kernels are found by name and unpack their arguments by their own signature.
#include <type_traits>
#include <utility>
constexpr unsigned emu_bound(unsigned threads, unsigned = 0) { return threads; } // of __launch_bounds__
namespace emu {
typedef void (*Trampoline)(void **);
struct Parameter { size_t bytes; bool pointer; };
struct Entry { const char *name; Trampoline run; std::vector<Parameter> parameters; unsigned bound; }; // 0: none
template <auto K> struct Call;
template <class... A, void (*K)(A...)> struct Call<K> {
  static void run(void **p) { go(p, std::index_sequence_for<A...>{}); }
  static std::vector<Parameter> parameters() { return {{sizeof(A), std::is_pointer_v<A>}...}; }
  template <size_t... I> static void go(void **p, std::index_sequence<I...>) { K(*(std::remove_const_t<A> *)p[I]...); } };
extern thread_local char *dynamic_shared;
void reseed(uint64_t seed); // picks the order in which warps run from now on
}
