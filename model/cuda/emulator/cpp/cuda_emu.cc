#include "cuda_emu.h"
namespace emu {
thread_local Fiber *cur; thread_local void *sched_sp; thread_local dim3 gD, bD, bI; thread_local std::vector<Fiber> fibers;
thread_local std::function<void()> *body; thread_local uint64_t slot[2][1024]; thread_local int nswitch; thread_local char *dynamic_shared;
// save callee-saved registers and swap stacks (System V x86-64)
asm(R"(
.text
.globl emu_switch
emu_switch:
  pushq %rbp; pushq %rbx; pushq %r12; pushq %r13; pushq %r14; pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15; popq %r14; popq %r13; popq %r12; popq %rbx; popq %rbp
  ret
)");
static void yield() { nswitch++; emu_switch(&cur->sp, sched_sp); }
static void entry() { (*body)(); cur->done = true; yield(); abort(); }
static thread_local int arrived, generation, live; 
struct W { int arrived, gen; const char *at; }; static thread_local W w[32];
static thread_local const char *bar_at;
void block(const char *where) {
  if (arrived && bar_at != where) { fprintf(stderr, "emu: divergent barrier: %s while others wait at %s\n", where, bar_at); abort(); }
  bar_at = where; cur->at = where; int g = generation; if (++arrived == live) { arrived = 0; generation++; bar_at = nullptr; return; }
  while (generation == g) yield(); }
unsigned gen() { return w[flat() / 32].gen; }
bool arrive(unsigned mask, const char *where) {
  int me = flat(); W &x = w[me / 32];
  if (!((mask >> (me & 31)) & 1)) { fprintf(stderr, "emu: lane %d calls %s outside its mask\n", me & 31, where); abort(); }
  if (x.arrived && strcmp(x.at, where)) { fprintf(stderr, "emu: divergent warp collective: %s while others wait at %s\n", where, x.at); abort(); }
  x.at = where; cur->at = where; return ++x.arrived == __builtin_popcount(mask); }
void release() { W &x = w[flat() / 32]; x.arrived = 0; x.gen++; }
void await(unsigned g) { W &x = w[flat() / 32]; while ((unsigned)x.gen == g) yield(); }
void warp(unsigned mask, const char *where) { collect(mask, where, [] {}); }
static const size_t STK = 64 << 10;
static uint64_t schedule = 88172645463325252ull; // one kernel runs at a time
void reseed(uint64_t seed) { schedule = seed * 2654435761u + 88172645463325252ull; }
void launch(dim3 grid, dim3 blk, std::function<void()> f) {
  int n = blk.x * blk.y * blk.z; gD = grid; bD = blk; body = &f;
  while ((int)fibers.size() < n) { Fiber x; x.stack = (char *)aligned_alloc(64, STK); fibers.push_back(x); }
  for (unsigned z = 0; z < grid.z; z++) for (unsigned y = 0; y < grid.y; y++) for (unsigned x = 0; x < grid.x; x++) {
    bI = dim3(x, y, z); arrived = 0; live = n; bar_at = nullptr; memset(w, 0, sizeof w);
    for (int i = 0; i < n; i++) { Fiber &q = fibers[i]; q.done = false; q.tid = dim3(i % blk.x, i / blk.x % blk.y, i / (blk.x * blk.y));
      void **sp = (void **)(q.stack + STK) - 1; *sp = nullptr; *--sp = (void *)entry; for (int r = 0; r < 6; r++) *--sp = nullptr; q.sp = sp; }
    // schedule: each pass takes the warps in a random order and lets each run a random number of rounds before the next one
    // starts, so that warps drift apart as far as barriers allow; reseed picks the schedule
    auto rnd = [](uint64_t m) { uint64_t &rs = schedule; rs ^= rs << 13; rs ^= rs >> 7; rs ^= rs << 17; return rs % m; };
    int nw = (n + 31) / 32; std::vector<int> order(nw); for (int i = 0; i < nw; i++) order[i] = i;
    int left = n; while (left) { int gen = generation, prog = 0, wg = 0; for (auto &v : w) wg += v.gen;
      for (int i = nw - 1; i > 0; i--) std::swap(order[i], order[rnd(i + 1)]);
      for (int o : order) for (uint64_t rounds = rnd(4) ? 1 + rnd(64) : 100000; rounds; rounds--) {
        int before = w[o].gen, fin = 0, g0 = generation;
        for (int i = o * 32; i < std::min(n, o * 32 + 32); i++) if (!fibers[i].done) { cur = &fibers[i]; emu_switch(&sched_sp, cur->sp);
          if (cur->done) { fin++; left--; live--; prog++; if (arrived && arrived == live) { arrived = 0; generation++; bar_at = nullptr; } } }
        if (w[o].gen == before && !fin && generation == g0) break; }
      int wg2 = 0; for (auto &v : w) wg2 += v.gen;
      if (left && !prog && gen == generation && wg == wg2) { fprintf(stderr, "emu: deadlock in block %u,%u,%u; a thread waits at %s\n", x, y, z, cur->at); abort(); } } } }
}
