// Streams, graphs and launches of the stand-in libcuda.
#include "standin.h"
#include <unistd.h>
static std::atomic<int> hanging;
std::map<void *, std::unique_ptr<Stream>> streams;
std::map<void *, std::unique_ptr<Graph>> graphs;
std::map<void *, std::unique_ptr<Moment>> events;

static void finish(Stream &s) {
  while (!s.work.empty()) {
    Work w = std::move(s.work.front());
    s.work.pop_front();
    w(); } }
void finish() { for (auto &s : streams) finish(*s.second); }

static int add(void *stream, Work w) {
  if (!streams.count(stream)) return wrong("work for a stream that is not alive");
  Stream &s = *streams[stream];
  if (s.capture) s.capture->work.push_back(std::move(w));
  else s.work.push_back(std::move(w));
  return OK; }

template <class T> static int gone(std::map<void *, std::unique_ptr<T>> &all, void *handle, int code) { return all.erase(handle) ? code : INVALID_HANDLE; }

static int launched(Function *f, dim3 grid, dim3 block, unsigned shared, void **args, void *stream) {
  const emu::Entry &e = *f->entry;
  std::string kernel = std::string("kernel ") + e.name + ": ";
  if (block.x * block.y * block.z < 1 || block.x * block.y * block.z > 1024 || block.z > 64) return wrong((kernel + "no such block").c_str());
  if (e.bound && block.x * block.y * block.z > e.bound) return wrong((kernel + "a block larger than its launch bounds").c_str());
  if (!grid.x || !grid.y || !grid.z || grid.x > 0x7fffffffu || grid.y > 65535 || grid.z > 65535) return wrong((kernel + "no such grid").c_str());
  if (shared > f->shared) return wrong((kernel + "more dynamic shared memory than was asked for by cuFuncSetAttribute").c_str());
  auto values = std::make_shared<std::vector<std::array<char, 64>>>(e.parameters.size());
  for (size_t i = 0; i < e.parameters.size(); i++) {
    auto [bytes, pointer] = e.parameters[i];
    if (!args || !args[i] || bytes > 64) return wrong((kernel + "an argument is missing").c_str());
    memcpy((*values)[i].data(), args[i], bytes);
    void *at = *(void **)(*values)[i].data();
    if (pointer && at && !inside(device, at, 0)) return wrong((kernel + "argument " + std::to_string(i) + " points outside of the card's memory").c_str()); }
  emu::Trampoline run = e.run;
  return add(stream, [=] {
    while (hanging) usleep(1000);
    emu::dynamic_shared = emu::take(shared);
    std::vector<void *> list;
    for (auto &v : *values) list.push_back(v.data());
    emu::launch(grid, block, [&] { run(list.data()); });
    emu::give(emu::dynamic_shared); }); }

extern "C" {
// has kernels that run from now on, and all calls meanwhile, wait until it ends
void emu_hang(int on) { hanging = on; }
// picks the order in which the warps of a block run
void emu_seed(unsigned long long seed) { Lock lock; emu::reseed(seed); }

int cuStreamCreate(void **s, unsigned) {
  IN_CONTEXT("cuStreamCreate");
  auto stream = std::make_unique<Stream>();
  *s = stream.get(); streams[*s] = std::move(stream); return OK; }
int cuStreamDestroy_v2(void *s) {
  RELEASE("cuStreamDestroy");
  if (streams.count(s)) finish(*streams[s]);
  return gone(streams, s, code); }
int cuStreamSynchronize(void *s) {
  IN_CONTEXT("cuStreamSynchronize");
  if (!streams.count(s)) return INVALID_HANDLE;
  if (streams[s]->capture) return UNSUPPORTED_CAPTURE;
  finish(*streams[s]); return emu::astray() ? ILLEGAL_ADDRESS : OK; }

int cuMemcpyHtoDAsync_v2(void *d, const void *s, size_t n, void *stream) {
  IN_CONTEXT("cuMemcpyHtoDAsync");
  if (!inside(device, d, n) || !inside(host, s, n)) return wrong("a copy to the card outside of its memory or of page-locked memory");
  return add(stream, [=] { memcpy(d, s, n); }); }
int cuMemcpyDtoHAsync_v2(void *d, const void *s, size_t n, void *stream) {
  IN_CONTEXT("cuMemcpyDtoHAsync");
  if (!inside(host, d, n) || !inside(device, s, n)) return wrong("a copy from the card outside of its memory or of page-locked memory");
  return add(stream, [=] { memcpy(d, s, n); }); }
int cuMemcpyDtoDAsync_v2(void *d, const void *s, size_t n, void *stream) {
  IN_CONTEXT("cuMemcpyDtoDAsync");
  if (!inside(device, d, n) || !inside(device, s, n)) return wrong("a copy on the card outside of its memory");
  return add(stream, [=] { memcpy(d, s, n); }); }
int cuMemsetD32Async(void *d, unsigned v, size_t n, void *stream) {
  IN_CONTEXT("cuMemsetD32Async");
  if (!inside(device, d, 4 * n)) return wrong("a fill outside of the card's memory");
  return add(stream, [=] { std::fill((unsigned *)d, (unsigned *)d + n, v); }); }
int cuLaunchKernel(void *f, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz, unsigned shared, void *stream, void **args, void **) {
  IN_CONTEXT("cuLaunchKernel");
  if (!functions.count(f)) return INVALID_HANDLE;
  return launched(functions[f].get(), dim3(gx, gy, gz), dim3(bx, by, bz), shared, args, stream); }

int cuStreamBeginCapture_v2(void *s, int) {
  IN_CONTEXT("cuStreamBeginCapture");
  if (!streams.count(s) || streams[s]->capture) return INVALID_VALUE;
  streams[s]->capture = new Graph; return OK; }
int cuStreamEndCapture(void *s, void **g) {
  RELEASE("cuStreamEndCapture");
  if (!streams.count(s) || !streams[s]->capture) return INVALID_VALUE;
  std::unique_ptr<Graph> graph(streams[s]->capture);
  streams[s]->capture = nullptr;
  if (code) { *g = nullptr; return code; }
  *g = graph.get(); graphs[*g] = std::move(graph); return OK; }
int cuGraphInstantiateWithFlags(void **instance, void *g, unsigned long long) {
  IN_CONTEXT("cuGraphInstantiate");
  if (!graphs.count(g)) return INVALID_VALUE;
  auto copy = std::make_unique<Graph>(*graphs[g]);
  *instance = copy.get(); graphs[*instance] = std::move(copy); return OK; }
int cuGraphLaunch(void *instance, void *stream) {
  IN_CONTEXT("cuGraphLaunch");
  if (!graphs.count(instance)) return INVALID_VALUE;
  for (auto &w : graphs[instance]->work) if (int wrong = add(stream, w)) return wrong;
  return OK; }
int cuGraphDestroy(void *g) { RELEASE("cuGraphDestroy"); return gone(graphs, g, code); }
int cuGraphExecDestroy(void *g) { RELEASE("cuGraphExecDestroy"); return gone(graphs, g, code); }

int cuEventCreate(void **e, unsigned) {
  IN_CONTEXT("cuEventCreate");
  auto event = std::make_unique<Moment>();
  *e = event.get(); events[*e] = std::move(event); return OK; }
int cuEventDestroy_v2(void *e) { RELEASE("cuEventDestroy"); finish(); return gone(events, e, code); }
int cuEventRecord(void *e, void *stream) {
  IN_CONTEXT("cuEventRecord");
  if (!events.count(e)) return INVALID_HANDLE;
  return add(stream, [=] { *(Moment *)e = std::chrono::steady_clock::now(); }); }
int cuEventElapsedTime(float *ms, void *a, void *b) {
  IN_CONTEXT("cuEventElapsedTime");
  if (!events.count(a) || !events.count(b)) return INVALID_HANDLE;
  *ms = std::chrono::duration<float, std::milli>(*events[b] - *events[a]).count(); return OK; }
}
