package nvrtc

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"noisystudent/model/cuda/library"
)

// standIn builds a library that is called like NVRTC and fails on request.
func standIn(t *testing.T) (path string, fail func(n, code int32), failed, alive func() int32) {
	t.Helper()
	if _, err := library.Open("", false); errors.Is(err, library.ErrLeftOut) {
		t.Skip(err)
	}
	if _, err := exec.LookPath("g++"); err != nil {
		t.Skip("the stand-in for the compiler needs g++")
	}
	path = filepath.Join(t.TempDir(), "libnvrtc.so.13")
	if out, err := exec.Command("g++", "-std=c++17", "-fPIC", "-shared", "-o", path, "testdata/nvrtc.cc").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	l, err := library.Open(path, false)
	if err = errors.Join(err, l.Bind("fake_fail", &fail), l.Bind("fake_failed", &failed), l.Bind("fake_alive", &alive)); err != nil {
		t.Fatal(err)
	}
	return path, fail, failed, alive
}

// TestEveryCallFails lets each call to the compiler fail once: the error names it, no
// program is lost, and nothing is kept as if it were compiled.
func TestEveryCallFails(t *testing.T) {
	path, fail, failed, alive := standIn(t)
	const code = 5
	calls := map[string]bool{}
	for n := int32(1); ; n++ {
		fail(n, code)
		folder := t.TempDir()
		var cubin []byte
		c, err := Open(Options{Path: path, Cache: folder})
		if err == nil {
			cubin, err = Target{c, "sm_90"}.Compile("unit", "source")
		}
		if alive() != 0 {
			t.Fatalf("call %d: %d programs are not given back", n, alive())
		}
		if failed() == 0 {
			if err != nil || !bytes.HasPrefix(cubin, []byte("\x7fELF")) {
				t.Fatalf("%q, %v", cubin, err)
			}
			break
		}
		if err == nil {
			t.Fatalf("call %d fails and nobody sees it", n)
		}
		m := regexp.MustCompile(`nvrtc: (nvrtc\w+): error 5 FAKE_ERROR`).FindStringSubmatch(err.Error())
		if m == nil {
			t.Fatalf("call %d fails with %v, want its name", n, err)
		}
		calls[m[1]] = true
		if kept, err := os.ReadDir(folder); err != nil || len(kept) > 0 {
			t.Errorf("%s has failed, and %d files are kept, %v", m[1], len(kept), err)
		}
	}
	text, err := os.ReadFile("calls.go")
	if err != nil {
		t.Fatal(err)
	}
	functions := regexp.MustCompile(`"(nvrtc\w+)"`).FindAllStringSubmatch(string(text), -1)
	if len(functions) < 11 {
		t.Fatalf("only %d functions are found", len(functions))
	}
	for _, f := range functions {
		if f[1] != "nvrtcGetErrorString" && !calls[f[1]] {
			t.Errorf("%s has not failed", f[1])
		}
	}
	fail(5, refused) // after version, architectures and creation: the compilation
	c, err := Open(Options{Path: path, Cache: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	var said *CompileError
	if _, err = c.Image("sm_90", "unit", "source"); !errors.As(err, &said) || !strings.Contains(said.Log, "ptxas") || alive() != 0 {
		t.Errorf("refused source: %v, %d programs alive", err, alive())
	}
}
