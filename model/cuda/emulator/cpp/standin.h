// What the files of the stand-in libcuda share: accounts of what is alive, failures that a test asks for, and work that
// waits in streams.
#pragma once
#include "bounds.h"
#include "cuda_emu.h"
#include <atomic>
#include <array>
#include <chrono>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
enum { OK = 0, INVALID_VALUE = 1, OUT_OF_MEMORY = 2, INVALID_CONTEXT = 201, INVALID_HANDLE = 400, NOT_FOUND = 500, ILLEGAL_ADDRESS = 700, UNSUPPORTED_CAPTURE = 900 };

// everything is guarded by it
extern std::recursive_mutex mutex;
struct Lock { std::lock_guard<std::recursive_mutex> held{mutex}; };

// a test may have the n-th call fail: for how, see emu_fail
int entered(const char *call);
bool current();              // the thread has a context
int wrong(const char *text); // says what is wrong on stderr and returns INVALID_VALUE

// memory by its first address
extern std::map<char *, size_t> device, host;
bool inside(const std::map<char *, size_t> &memory, const void *at, size_t bytes);

struct Module { void *library; };
struct Function { const emu::Entry *entry; Module *module; unsigned shared = 48 << 10; };
extern std::map<void *, std::unique_ptr<Module>> modules;
extern std::map<void *, std::unique_ptr<Function>> functions;

// work waits until somebody waits for it, the latest time that a card may take
typedef std::function<void()> Work;
struct Graph { std::vector<Work> work; };
struct Stream { std::deque<Work> work; Graph *capture = nullptr; };
extern std::map<void *, std::unique_ptr<Stream>> streams;
extern std::map<void *, std::unique_ptr<Graph>> graphs; // and instances
typedef std::chrono::steady_clock::time_point Moment;
extern std::map<void *, std::unique_ptr<Moment>> events;
void finish(); // runs all work of all streams, as calls do that wait for the card

#define CALL(name) if (int code = entered(name)) return code; Lock lock
#define IN_CONTEXT(name) CALL(name); if (!current()) return INVALID_CONTEXT
// calls that give something back do so even where they are told to fail
#define RELEASE(name) int code = entered(name); Lock lock
