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
	"strings"
	"sync"
)

//go:embed cpp
var cpp embed.FS

// Emulator is a folder with the stand-in library and what it has compiled.
type Emulator struct{ folder string }

// New builds the stand-in library, or finds it, in a folder of its version below cache;
// g++ must be installed. Several processes may share a cache.
func New(cache string) (*Emulator, error) {
	digest := sha256.New()
	var names []string
	for _, name := range []string{"cuda_emu.h", "cuda_emu.cc", "standin.h", "driver.cc", "queue.cc"} {
		text, err := cpp.ReadFile("cpp/" + name)
		if err != nil {
			return nil, err
		}
		digest.Write(text)
		names = append(names, name)
	}
	e := &Emulator{folder: filepath.Join(cache, hex.EncodeToString(digest.Sum(nil)[:8]))}
	if err := os.MkdirAll(e.folder, 0o755); err != nil {
		return nil, err
	}
	for _, name := range names {
		text, err := cpp.ReadFile("cpp/" + name)
		if err != nil {
			return nil, err
		}
		if err := e.write(name, text); err != nil {
			return nil, err
		}
	}
	return e, e.build(e.Library(), "-O2", "cuda_emu.cc", "driver.cc", "queue.cc", "-ldl")
}

// InCache is New in the user's cache folder, so that compiled kernels are kept between
// runs of tests. One process builds one.
var InCache = sync.OnceValues(func() (*Emulator, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return nil, err
	}
	return New(filepath.Join(cache, "noisystudent", "emulator"))
})

// Library is the path of the stand-in libcuda.
func (e *Emulator) Library() string { return filepath.Join(e.folder, "libcuda_emu.so.1") }

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
	library := filepath.Join(e.folder, name+"-"+hex.EncodeToString(sum[:8])+".so")
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
	return image, e.build(library, "-O1", source, e.Library())
}
