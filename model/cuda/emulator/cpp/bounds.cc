// The checks are calls that g++ -fsanitize=kernel-address puts before each access of a kernel.
#include "bounds.h"
#include "cuda_emu.h"
#include <map>
#include <mutex>
#include <sys/mman.h>
namespace emu {
static const size_t SPACE = (size_t)4 << 30, GAP = 1 << 16;
static char *const space = (char *)mmap(nullptr, SPACE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
static std::map<char *, size_t> taken;
static std::mutex mutex;
static const char *low, *high; // of the piece that was touched last
static bool wrong;

char *take(size_t bytes) {
  std::lock_guard<std::mutex> held(mutex);
  size_t room = (bytes + 4095 & ~(size_t)4095) + GAP;
  char *at = space + GAP;
  for (auto &[start, size] : taken) {
    if (at + room <= start) break;
    at = start + (size + 4095 & ~(size_t)4095) + GAP; }
  if (at + room > space + SPACE) return nullptr;
  taken[at] = bytes;
  memset(at, 0xff, bytes);
  return at; }
bool give(char *at) {
  std::lock_guard<std::mutex> held(mutex);
  auto piece = taken.find(at);
  if (piece == taken.end()) return false;
  madvise(at, piece->second, MADV_DONTNEED);
  taken.erase(piece); low = high = nullptr;
  return true; }
static bool find(const char *at, size_t bytes) {
  std::lock_guard<std::mutex> held(mutex);
  auto next = taken.upper_bound((char *)at);
  if (next == taken.begin()) return false;
  auto [start, size] = *std::prev(next);
  if ((size_t)(at - start) + bytes > size) return false;
  low = start; high = start + size;
  return true; }
bool inside(const void *at, size_t bytes) { return find((const char *)at, bytes); }
bool astray() { bool w = wrong; wrong = false; return w; }

static void touch(const char *at, size_t bytes, const char *how) {
  if ((size_t)(at - space) >= SPACE || at >= low && at + bytes <= high || find(at, bytes)) return;
  if (!wrong) fprintf(stderr, "emu: thread %u,%u,%u of block %u,%u,%u %s %zu bytes outside of what is taken\n",
    cur->tid.x, cur->tid.y, cur->tid.z, bI.x, bI.y, bI.z, how, bytes);
  wrong = true; }
}
#define CHECK(n) \
  extern "C" void __asan_load##n##_noabort(const char *at) { emu::touch(at, n, "reads"); } \
  extern "C" void __asan_store##n##_noabort(const char *at) { emu::touch(at, n, "writes"); }
CHECK(1) CHECK(2) CHECK(4) CHECK(8) CHECK(16)
extern "C" void __asan_loadN_noabort(const char *at, size_t n) { emu::touch(at, n, "reads"); }
extern "C" void __asan_storeN_noabort(const char *at, size_t n) { emu::touch(at, n, "writes"); }
extern "C" void __asan_handle_no_return() {}
extern "C" void __asan_before_dynamic_init(const char *) {}
extern "C" void __asan_after_dynamic_init() {}
