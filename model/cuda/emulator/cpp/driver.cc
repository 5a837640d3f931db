// A stand-in libcuda.so.1: the entry points that package driver calls, memory from
// malloc full of NaN, and kernels that run under cuda_emu. An "image" is the path of
// a shared library that package emulator compiled from the kernel sources.
#include "cuda_emu.h"
#include <dlfcn.h>
#include <map>
enum { OK = 0, INVALID_VALUE = 1, NOT_FOUND = 500 };
static const size_t TOTAL = (size_t)1 << 30;
static std::map<void *, size_t> live;
static size_t used;
extern "C" {
int cuInit(unsigned) { return OK; }
int cuDriverGetVersion(int *v) { *v = 13000; return OK; }
int cuGetErrorName(int code, const char **name) {
  *name = code == INVALID_VALUE ? "CUDA_ERROR_INVALID_VALUE" : code == 2 ? "CUDA_ERROR_OUT_OF_MEMORY" : code == NOT_FOUND ? "CUDA_ERROR_NOT_FOUND" : "CUDA_ERROR_UNKNOWN";
  return OK; }
int cuDeviceGetCount(int *n) { *n = 1; return OK; }
int cuDeviceGet(int *d, int ordinal) { *d = ordinal; return ordinal == 0 ? OK : 101; }
int cuDeviceGetName(char *name, int length, int) { snprintf(name, length, "emulator of CUDA"); return OK; }
int cuDeviceTotalMem_v2(size_t *n, int) { *n = TOTAL; return OK; }
int cuDeviceGetAttribute(int *v, int a, int) {
  static const std::map<int, int> known = {{13, 1000000}, {16, 4}, {20, 0}, {36, 1000000}, {37, 128}, {38, 1 << 20}, {75, 9}, {76, 0}, {81, 233472}, {97, 232448}};
  if (!known.count(a)) return INVALID_VALUE;
  *v = known.at(a); return OK; }
int cuDevicePrimaryCtxRetain(void **c, int) { *c = (void *)1; return OK; }
int cuDevicePrimaryCtxRelease_v2(int) { return OK; }
int cuCtxSetCurrent(void *) { return OK; }
int cuStreamCreate(void **s, unsigned) { *s = (void *)2; return OK; }
int cuStreamDestroy_v2(void *) { return OK; }
int cuStreamSynchronize(void *) { return OK; }
int cuMemAlloc_v2(void **p, size_t n) {
  if (!n) return INVALID_VALUE;
  if (n > TOTAL - used) return 2;
  *p = aligned_alloc(512, (n + 511) & ~511ul); memset(*p, 0xff, n); live[*p] = n; used += n; return OK; }
int cuMemFree_v2(void *p) {
  auto at = live.find(p);
  if (at == live.end()) return INVALID_VALUE;
  used -= at->second; live.erase(at); free(p); return OK; }
int cuMemGetInfo_v2(size_t *unused, size_t *total) { *unused = TOTAL - used; *total = TOTAL; return OK; }
int cuMemHostAlloc(void **p, size_t n, unsigned) { *p = aligned_alloc(512, (n + 511) & ~511ul); return OK; }
int cuMemFreeHost(void *p) { free(p); return OK; }
int cuMemcpyHtoDAsync_v2(void *d, const void *s, size_t n, void *) { memcpy(d, s, n); return OK; }
int cuMemcpyDtoHAsync_v2(void *d, const void *s, size_t n, void *) { memcpy(d, s, n); return OK; }
int cuMemsetD32Async(void *d, unsigned v, size_t n, void *) { std::fill((unsigned *)d, (unsigned *)d + n, v); return OK; }
int cuModuleLoadData(void **m, const void *image) {
  *m = dlopen((const char *)image, RTLD_NOW | RTLD_LOCAL);
  if (!*m) { fprintf(stderr, "emulator: %s\n", dlerror()); return 200; }
  return OK; }
int cuModuleUnload(void *m) { return dlclose(m) ? INVALID_VALUE : OK; }
int cuModuleGetFunction(void **f, void *m, const char *name) {
  const emu::Entry *e = (const emu::Entry *)dlsym(m, "emu_entries");
  for (; e && e->name; e++) if (!strcmp(e->name, name)) { *f = (void *)e->run; return OK; }
  return NOT_FOUND; }
static std::map<void *, int> allowed; // dynamic shared memory, where it is not 48 KiB
int cuFuncSetAttribute(void *f, int attribute, int v) {
  if (attribute != 8 || v < 0 || v > 232448) return INVALID_VALUE;
  allowed[f] = v; return OK; }
int cuLaunchKernel(void *f, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz, unsigned shared, void *, void **args, void **) {
  if (!bx || !by || !bz || bx * by * bz > 1024 || bz > 64 || !gx || !gy || !gz || gx > 0x7fffffffu || gy > 65535 || gz > 65535 || shared > (allowed.count(f) ? allowed[f] : 48 << 10)) return INVALID_VALUE;
  std::vector<char> memory(shared + 1024);
  emu::dynamic_shared = (char *)(((uintptr_t)memory.data() + 1023) & ~(uintptr_t)1023);
  memset(emu::dynamic_shared, 0xff, shared);
  emu::launch(dim3(gx, gy, gz), dim3(bx, by, bz), [=] { ((emu::Trampoline)f)(args); });
  return OK; }
}
