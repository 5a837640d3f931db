// Package emulator runs the kernels of package cuda on the CPU, for tests: the
// sources compiled by g++ with a fibre for each thread, behind a stand-in libcuda that
// package driver loads like the real one.
package emulator

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"noisystudent/model/cuda/library"
)

//go:embed cpp
var cpp embed.FS

// Emulator is a folder with what kernels are run by (libemu), the stand-in libcuda and
// the kernels that it has compiled.
type Emulator struct {
	folder  string
	standIn string // file
	nvml    string // file
	checked bool
}

var (
	runFiles     = []string{"cuda_emu.h", "bounds.h", "cuda_emu.cc", "bounds.cc"}
	standInFiles = []string{"standin.h", "driver.cc", "queue.cc"}
	nvmlFiles    = []string{"nvml.cc"}
)

// New builds the libraries, or finds them, in a folder of their version below cache;
// g++ must be installed. Several processes may share a cache.
func New(cache string) (*Emulator, error) {
	e := &Emulator{folder: filepath.Join(cache, digest(runFiles))}
	e.standIn = filepath.Join(e.folder, "libcuda-"+digest(standInFiles)+".so.1")
	e.nvml = filepath.Join(e.folder, "libnvidia-ml-"+digest(nvmlFiles)+".so.1")
	if err := os.MkdirAll(e.folder, 0o755); err != nil {
		return nil, err
	}
	for _, name := range slices.Concat(runFiles, standInFiles, nvmlFiles) {
		if err := e.write(name, source(name)); err != nil {
			return nil, err
		}
	}
	if err := e.build(e.run(), "-O2", "cuda_emu.cc", "bounds.cc"); err != nil {
		return nil, err
	}
	if err := e.build(e.nvml, "-O2", "nvml.cc"); err != nil {
		return nil, err
	}
	return e, e.build(e.standIn, "-O2", "driver.cc", "queue.cc", e.run(), "-ldl")
}

func source(name string) []byte {
	text, err := cpp.ReadFile("cpp/" + name)
	if err != nil {
		panic(err) // it is embedded
	}
	return text
}

func digest(names []string) string {
	sum := sha256.New()
	for _, name := range names {
		sum.Write(source(name))
	}
	return hex.EncodeToString(sum.Sum(nil)[:8])
}

// Here is New in the user's cache folder, so that compiled kernels are kept between runs
// of tests; one process builds one. Without g++, or CUDA in this binary, the test is skipped.
func Here(t testing.TB) *Emulator {
	t.Helper()
	if _, err := library.Open("", false); errors.Is(err, library.ErrLeftOut) {
		t.Skip(err)
	}
	if _, err := exec.LookPath("g++"); err != nil {
		t.Skip("the emulator of CUDA kernels needs g++")
	}
	e, err := inCache()
	if err != nil {
		t.Fatal(err)
	}
	return e
}

var inCache = sync.OnceValues(func() (*Emulator, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return nil, err
	}
	return New(filepath.Join(cache, "noisystudent", "emulator"))
})

// Library is the path of the stand-in libcuda.
func (e *Emulator) Library() string { return e.standIn }

// NVML is the path of the stand-in libnvidia-ml.
func (e *Emulator) NVML() string { return e.nvml }

// Checked is the emulator with kernels whose every access is checked: one outside of the
// card's memory and of the block's dynamic shared memory fails the next wait for the card.
// They are slower.
func (e *Emulator) Checked() *Emulator {
	c := *e
	c.checked = true
	return &c
}

func (e *Emulator) run() string { return filepath.Join(e.folder, "libemu.so") }

// write puts a file in place at once.
func (e *Emulator) write(name string, text []byte) error {
	f, err := os.CreateTemp(e.folder, "new-*")
	if err != nil {
		return err
	}
	if _, err := f.Write(text); err != nil {
		return errors.Join(err, f.Close(), os.Remove(f.Name()))
	}
	return errors.Join(f.Close(), os.Rename(f.Name(), filepath.Join(e.folder, name)))
}

// build runs g++ unless the library is there.
func (e *Emulator) build(library string, args ...string) error {
	if _, err := os.Stat(library); err == nil {
		return nil
	}
	f, err := os.CreateTemp(e.folder, "new-*.so")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	if err := f.Close(); err != nil {
		return err
	}
	command := exec.Command("g++", append([]string{"-std=c++20", "-w", "-fPIC", "-shared", "-o", f.Name()}, args...)...)
	command.Dir = e.folder
	if out, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("emulator: %v: %w\n%s", command.Args, err, out)
	}
	return os.Rename(f.Name(), library)
}

var kernel = regexp.MustCompile(`(?s)extern "C" __global__ void\s*(?:__launch_bounds__\(([^)]*)\)\s*)?(\w+)\s*\(`)

// Compile implements cuda.Compiler: the image that it returns names a shared library.
func (e *Emulator) Compile(name, source string) ([]byte, error) {
	sum := sha256.Sum256([]byte(source))
	suffix, options := ".so", []string{"-O1"}
	if e.checked {
		suffix = ".checked.so"
		options = append(options, "-fsanitize=kernel-address", "--param=asan-instrumentation-with-call-threshold=0", "--param=asan-stack=0", "--param=asan-globals=0")
	}
	library := filepath.Join(e.folder, name+"-"+hex.EncodeToString(sum[:8])+suffix)
	image := append([]byte(library), 0)
	var b strings.Builder
	b.WriteString("#include \"cuda_emu.h\"\n" + source + "\nextern \"C\" emu::Entry emu_entries[] = {\n")
	for _, m := range kernel.FindAllStringSubmatch(source, -1) {
		bound, name := "0", m[2]
		if m[1] != "" {
			bound = "emu_bound(" + m[1] + ")"
		}
		fmt.Fprintf(&b, "  {%q, emu::Call<%s>::run, emu::Call<%s>::parameters(), %s},\n", name, name, name, bound)
	}
	b.WriteString("  {nullptr}};\n")
	source = filepath.Base(library) + ".cc"
	if err := e.write(source, []byte(b.String())); err != nil {
		return nil, err
	}
	return image, e.build(library, append(options, source, e.run())...)
}
