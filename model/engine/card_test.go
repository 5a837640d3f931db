package engine

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"noisystudent/model/cuda"
	"noisystudent/model/cuda/driver"
	"noisystudent/model/cuda/emulator"
	"noisystudent/model/cuda/nvrtc"
)

// TestNamedLibraries opens a card by the libraries that the environment names, of which
// messages speak where they are not there.
func TestNamedLibraries(t *testing.T) {
	e := emulator.Here(t)
	before := cardOptions
	t.Cleanup(func() { cardOptions = before })
	cardOptions = cuda.Options{}
	none := t.TempDir()
	t.Setenv(NVRTCVariable, none)
	t.Setenv(LibcudaVariable, none)
	_, err := Open(Options{Device: "cuda"})
	if missing := (*driver.MissingError)(nil); !errors.As(err, &missing) || missing.Path != filepath.Join(none, "libcuda.so.1") ||
		!strings.Contains(err.Error(), "--libcuda or "+LibcudaVariable) {
		t.Errorf("no libcuda: %v, want the place and how to name another", err)
	}
	folder := t.TempDir()
	if err := os.Symlink(e.Library(), filepath.Join(folder, "libcuda.so.1")); err != nil {
		t.Fatal(err)
	}
	t.Setenv(LibcudaVariable, folder)
	_, err = Open(Options{Device: "cuda"})
	if missing := (*nvrtc.MissingError)(nil); !errors.As(err, &missing) || !strings.HasPrefix(strings.Join(missing.Tried, ""), none) ||
		!strings.Contains(err.Error(), "--nvrtc or "+NVRTCVariable) {
		t.Errorf("no NVRTC: %v, want the place and how to name another", err)
	}
	cardOptions.Compiler = e
	opened, err := Open(Options{Device: "cuda"})
	if err != nil {
		t.Fatal(err)
	}
	if name := opened.Name(); name != "cuda:0 emulator of CUDA" {
		t.Errorf("opened %s", name)
	}
	if err := opened.Close(); err != nil {
		t.Error(err)
	}
}
