// A stand-in for NVRTC: it compiles nothing, keeps account of its programs and fails
// on request. The functions fake_... are for tests.
#include <cstring>
#include <map>
#include <string>

static std::map<int, std::string> programs; // sources
static int left, failure, came, made;

static int entered() {
  if (!left || --left) return 0;
  came = 1; return failure; }
#define CALL { if (int code = entered()) return code; }
static const char LOG[] = "ptxas info    : 0 bytes gmem", CUBIN[] = "\x7f" "ELF";

extern "C" {
// the n-th call from now returns code; 0 for n: none
void fake_fail(int n, int code) { left = n; failure = code; came = 0; }
// whether the failure that was asked for has come
int fake_failed() { return came; }
// programs that are not given back
int fake_alive() { return (int)programs.size(); }

const char *nvrtcGetErrorString(int) { return "FAKE_ERROR"; }
int nvrtcVersion(int *major, int *minor) { CALL; *major = 13; *minor = 7; return 0; }
int nvrtcGetNumSupportedArchs(int *n) { CALL; *n = 2; return 0; }
int nvrtcGetSupportedArchs(int *list) { CALL; list[0] = 80; list[1] = 90; return 0; }
int nvrtcCreateProgram(int **p, const char *source, const char *, int, const char **, const char **) {
  CALL; programs[++made] = source; *p = new int(made); return 0; }
int nvrtcDestroyProgram(int **p) { programs.erase(**p); delete *p; *p = nullptr; return entered(); }
int nvrtcCompileProgram(int *, int, const char **) { return entered(); }
int nvrtcGetProgramLogSize(int *, size_t *n) { CALL; *n = sizeof LOG; return 0; }
int nvrtcGetProgramLog(int *, char *text) { CALL; memcpy(text, LOG, sizeof LOG); return 0; }
int nvrtcGetCUBINSize(int *, size_t *n) { CALL; *n = sizeof CUBIN; return 0; }
int nvrtcGetCUBIN(int *, char *image) { CALL; memcpy(image, CUBIN, sizeof CUBIN); return 0; }
}
