// A stand-in libcuda.so.1: one card, contexts, memory and modules. Memory is full of NaN, and at most TOTAL.
// An "image" is the path of a shared library that package emulator compiled from the kernel sources. What a program
// must not do is refused with a line on stderr. The functions emu_... are for tests.
#include "standin.h"
#include <dlfcn.h>
static const size_t TOTAL = (size_t)256 << 20;
std::recursive_mutex mutex;
std::map<char *, size_t> device, host;
std::map<void *, std::unique_ptr<Module>> modules;
std::map<void *, std::unique_ptr<Function>> functions;
static int retained;                   // times that the context was taken and not given back
static thread_local void *bound;       // the thread's context
static char context;                   // its address is the context
static std::string failing;            // a call, or "" for any
static int left, failure, came, version = 13000, exclusive;
static std::string calls;              // since tracing began
static bool tracing;

int entered(const char *call) {
  Lock lock;
  if (tracing) calls += std::string(call) + " ";
  if (!left || !(failing.empty() || failing == call) || --left) return OK;
  came = 1; return failure; }
bool current() { return bound == &context && retained > 0; }
int wrong(const char *text) { fprintf(stderr, "emulator of libcuda: %s\n", text); return INVALID_VALUE; }
bool inside(const std::map<char *, size_t> &memory, const void *at, size_t bytes) {
  auto next = memory.upper_bound((char *)at);
  if (next == memory.begin()) return false;
  auto [start, size] = *std::prev(next);
  return (size_t)((char *)at - start) + bytes <= size; }

extern "C" {
// the n-th call from now of that name, or of any for "", returns code; 0 for n: none
void emu_fail(const char *call, int n, int code) { Lock lock; failing = call; left = n; failure = code; came = 0; }
// whether the failure that was asked for has come
int emu_failed() { Lock lock; return came; }
// begins to note the calls, or ends it and returns their names
const char *emu_trace(int begin) { Lock lock; tracing = begin; if (begin) calls.clear(); return calls.c_str(); }
// what CUDA the driver is of (12040 is 12.4), and its compute mode: 3 with another process on the card
void emu_card(int driver, int mode) { Lock lock; version = driver; exclusive = mode; }
// what is alive: contexts, streams, modules, memory, memory of the host, graphs, events
int emu_alive(int what) {
  Lock lock;
  size_t all[] = {(size_t)retained, streams.size(), modules.size(), device.size(), host.size(), graphs.size(), events.size()};
  return what < (int)(sizeof all / sizeof *all) ? all[what] : -1; }

int cuInit(unsigned) { CALL("cuInit"); return OK; }
int cuDriverGetVersion(int *v) { CALL("cuDriverGetVersion"); *v = version; return OK; }
int cuGetErrorName(int code, const char **name) {
  static const std::map<int, const char *> names = {{1, "CUDA_ERROR_INVALID_VALUE"}, {2, "CUDA_ERROR_OUT_OF_MEMORY"}, {46, "CUDA_ERROR_DEVICE_UNAVAILABLE"},
    {100, "CUDA_ERROR_NO_DEVICE"}, {101, "CUDA_ERROR_INVALID_DEVICE"}, {200, "CUDA_ERROR_INVALID_IMAGE"}, {201, "CUDA_ERROR_INVALID_CONTEXT"}, {500, "CUDA_ERROR_NOT_FOUND"}, {700, "CUDA_ERROR_ILLEGAL_ADDRESS"}};
  auto at = names.find(code);
  if (at == names.end()) return INVALID_VALUE;
  *name = at->second; return OK; }

int cuDeviceGetCount(int *n) { CALL("cuDeviceGetCount"); *n = 1; return OK; }
int cuDeviceGet(int *d, int ordinal) { CALL("cuDeviceGet"); *d = ordinal; return ordinal == 0 ? OK : 101; }
int cuDeviceGetName(char *name, int length, int) { CALL("cuDeviceGetName"); snprintf(name, length, "emulator of CUDA"); return OK; }
int cuDeviceGetPCIBusId(char *text, int length, int) { CALL("cuDeviceGetPCIBusId"); snprintf(text, length, "0000:01:00.0"); return OK; }
int cuDeviceTotalMem_v2(size_t *n, int) { CALL("cuDeviceTotalMem"); *n = TOTAL; return OK; }
int cuDeviceGetAttribute(int *v, int a, int) {
  CALL("cuDeviceGetAttribute");
  static const std::map<int, int> known = {{13, 1000000}, {16, 4}, {36, 1000000}, {37, 128}, {38, 1 << 20}, {75, 9}, {76, 0}, {81, 233472}, {97, 232448}};
  if (a == 20) { *v = exclusive; return OK; }
  if (!known.count(a)) return INVALID_VALUE;
  *v = known.at(a); return OK; }

int cuDevicePrimaryCtxRetain(void **c, int) {
  CALL("cuDevicePrimaryCtxRetain");
  if (exclusive) return 46; // another process has it
  retained++; *c = &context; return OK; }
int cuDevicePrimaryCtxRelease_v2(int) {
  RELEASE("cuDevicePrimaryCtxRelease");
  if (retained == 0) return INVALID_CONTEXT;
  retained--; return code; }
int cuCtxSetCurrent(void *c) { CALL("cuCtxSetCurrent"); bound = c; return current() ? OK : INVALID_CONTEXT; }

static size_t taken() { size_t sum = 0; for (auto &[at, n] : device) sum += n; return sum; }
int cuMemGetInfo_v2(size_t *unused, size_t *total) { IN_CONTEXT("cuMemGetInfo"); *unused = TOTAL - taken(); *total = TOTAL; return OK; }
int cuMemAlloc_v2(void **p, size_t n) {
  IN_CONTEXT("cuMemAlloc");
  if (!n) return INVALID_VALUE;
  if (n > TOTAL - taken() || !(*p = emu::take(n))) return OUT_OF_MEMORY;
  device[(char *)*p] = n; return OK; }
int cuMemFree_v2(void *p) {
  RELEASE("cuMemFree");
  finish();
  if (!device.erase((char *)p)) return wrong("memory given back that was not taken");
  emu::give((char *)p); return code; }
int cuMemHostAlloc(void **p, size_t n, unsigned) {
  IN_CONTEXT("cuMemHostAlloc");
  if (!n) return INVALID_VALUE;
  *p = aligned_alloc(512, (n + 511) & ~511ul); memset(*p, 0xff, n); host[(char *)*p] = n; return OK; }
int cuMemFreeHost(void *p) {
  RELEASE("cuMemFreeHost");
  finish();
  if (!host.erase((char *)p)) return wrong("memory given back that was not taken");
  free(p); return code; }

int cuModuleLoadData(void **m, const void *image) {
  IN_CONTEXT("cuModuleLoadData");
  void *library = dlopen((const char *)image, RTLD_NOW | RTLD_LOCAL);
  if (!library) { fprintf(stderr, "emulator of libcuda: %s\n", dlerror()); return 200; }
  auto module = std::make_unique<Module>(Module{library});
  *m = module.get(); modules[*m] = std::move(module); return OK; }
int cuModuleUnload(void *m) {
  RELEASE("cuModuleUnload");
  finish();
  if (!modules.count(m)) return INVALID_HANDLE;
  std::erase_if(functions, [=](auto &f) { return f.second->module == m; });
  dlclose(modules[m]->library); modules.erase(m); return code; }
int cuModuleGetFunction(void **f, void *m, const char *name) {
  IN_CONTEXT("cuModuleGetFunction");
  if (!modules.count(m)) return INVALID_HANDLE;
  for (auto &[at, old] : functions) if (old->module == m && !strcmp(old->entry->name, name)) { *f = at; return OK; }
  const emu::Entry *e = (const emu::Entry *)dlsym(modules[m]->library, "emu_entries");
  for (; e && e->name; e++) if (!strcmp(e->name, name)) {
    auto function = std::make_unique<Function>(Function{e, modules[m].get()});
    *f = function.get(); functions[*f] = std::move(function); return OK; }
  return NOT_FOUND; }
int cuFuncSetAttribute(void *f, int attribute, int value) {
  IN_CONTEXT("cuFuncSetAttribute");
  if (!functions.count(f)) return INVALID_HANDLE;
  if (attribute != 8 || value < 0 || value > 232448) return INVALID_VALUE;
  functions[f]->shared = value; return OK; }
int cuFuncGetParamInfo(void *f, size_t index, size_t *offset, size_t *size) {
  IN_CONTEXT("cuFuncGetParamInfo");
  if (!functions.count(f)) return INVALID_HANDLE;
  auto &parameters = functions[f]->entry->parameters;
  if (index >= parameters.size()) return INVALID_VALUE;
  *offset = 0; // not told
  *size = parameters[index].bytes; return OK; }
}
