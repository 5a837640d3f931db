// Package nvrtc compiles CUDA C++ to code for a card with NVIDIA's run-time compiler,
// which is loaded when it is wanted. No card and no toolkit is needed: the library
// alone, from a toolkit or from the Python package nvidia-cuda-nvrtc.
//
// It makes code of one architecture ("sm_90"), never PTX, which drivers older than the
// compiler refuse. What it has made is kept on disk, so that a second start compiles
// nothing.
package nvrtc

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"noisystudent/model/cuda/library"
)

// Options say which compiler. The zero value takes the first that is found.
type Options struct {
	Path  string // the library or its folder; empty: see Locate
	Major int    // the newest major version of CUDA that will do, which is the driver's; 0: any
	Cache string // folder of compiled code; empty: noisystudent/cubins in the user's cache folder
}

// Compiler is a loaded NVRTC. Its methods may be called from any goroutine.
type Compiler struct {
	Path         string
	Major, Minor int
	archs        []int // 80, 90, ...
	cache        cache
	call         calls
}

// MissingError says that no NVRTC was found that will do.
type MissingError struct {
	Major int      // what was asked for
	Tried []string // each with its reason
}

func (e *MissingError) Error() string {
	version := "13"
	if e.Major == 12 {
		version = "12"
	}
	return fmt.Sprintf("nvrtc: no CUDA compiler: install it by `pip install %s`, or name libnvrtc.so.%s or its folder by --nvrtc or %s; looked at:\n\t%s",
		map[string]string{"12": "nvidia-cuda-nvrtc-cu12", "13": "nvidia-cuda-nvrtc"}[version], version, Variable, strings.Join(e.Tried, "\n\t"))
}

// Open loads the compiler. The error is a *MissingError where there is none, and wraps
// library.ErrLeftOut in binaries that cannot load one.
func Open(o Options) (*Compiler, error) {
	missing := &MissingError{Major: o.Major}
	for _, path := range Locate(o.Path) {
		c, err := load(path)
		if errors.Is(err, library.ErrLeftOut) {
			return nil, fmt.Errorf("nvrtc: %w", err)
		}
		if err == nil && (c.Major < oldest || o.Major > 0 && c.Major > o.Major) {
			err = fmt.Errorf("is of CUDA %d.%d, need %d to %d", c.Major, c.Minor, oldest, max(o.Major, oldest))
		}
		if err != nil {
			missing.Tried = append(missing.Tried, path+": "+err.Error())
			continue
		}
		c.cache = cache{Folder(o.Cache)}
		return c, nil
	}
	return nil, missing
}

// Folder is where compiled code is kept; empty: nowhere.
func Folder(asked string) string {
	user, err := os.UserCacheDir()
	if asked != "" || err != nil {
		return asked
	}
	return filepath.Join(user, "noisystudent", "cubins")
}

// oldest is the first major version whose C++ has what the kernels use.
const oldest = 12

func load(path string) (*Compiler, error) {
	// The compiler of 13.0 looks for its builtins by name, which fails outside of the
	// loader's path: they must be loaded before.
	if filepath.Base(path) != path {
		for _, b := range glob(filepath.Join(filepath.Dir(path), "libnvrtc-builtins.so.*")) {
			if _, err := library.Open(b, true); err != nil {
				return nil, err
			}
		}
	}
	lib, err := library.Open(path, false)
	if err != nil {
		return nil, err
	}
	c := &Compiler{Path: path}
	if err := c.call.bind(lib); err != nil {
		return nil, err
	}
	return c, c.identify()
}

func (c *Compiler) identify() error {
	var major, minor, n int32
	if err := c.check("nvrtcVersion", c.call.version(&major, &minor)); err != nil {
		return err
	}
	c.Major, c.Minor = int(major), int(minor)
	if err := c.check("nvrtcGetNumSupportedArchs", c.call.archCount(&n)); err != nil {
		return err
	}
	list := make([]int32, max(n, 1))
	err := c.check("nvrtcGetSupportedArchs", c.call.archList(&list[0]))
	for _, a := range list[:n] {
		c.archs = append(c.archs, int(a))
	}
	return err
}

// Target compiles for one architecture; it is a cuda.Compiler.
type Target struct {
	*Compiler
	Arch string // "sm_90"
}

func (t Target) String() string { return fmt.Sprintf("NVRTC %d.%d for %s", t.Major, t.Minor, t.Arch) }

// For returns the target for a card of a compute capability.
func (c *Compiler) For(major, minor int) (Target, error) {
	arch, err := c.Arch(major, minor)
	return Target{c, arch}, err
}

// Compile returns the code that a driver loads.
func (t Target) Compile(name, source string) ([]byte, error) {
	image, err := t.Image(t.Arch, name, source)
	return image.Cubin, err
}

// Arch returns the architecture to compile for: that of a card of this compute
// capability or, where the compiler does not know it, the nearest whose code it runs.
func (c *Compiler) Arch(major, minor int) (string, error) {
	best := 0
	for _, a := range c.archs {
		if a/10 == major && a%10 <= minor {
			best = max(best, a)
		}
	}
	if best == 0 {
		return "", fmt.Errorf("nvrtc: %s of CUDA %d.%d makes no code for a card of compute capability %d.%d: install a newer one", c.Path, c.Major, c.Minor, major, minor)
	}
	return fmt.Sprintf("sm_%d", best), nil
}

// CompileError is source that the compiler has refused, with what it says.
type CompileError struct{ Name, Arch, Log string }

func (e *CompileError) Error() string {
	return fmt.Sprintf("nvrtc: %s does not compile for %s:\n%s", e.Name, e.Arch, e.Log)
}

// Image is compiled code.
type Image struct {
	Cubin   []byte
	Kernels []Kernel // in the order of the log
	Cached  bool     `json:"-"` // found on disk
}

// Image compiles a source, or finds it compiled, and says what each kernel takes of a card. Name is
// for messages and goes with ".cu" into the code. Refused source is a *CompileError.
func (c *Compiler) Image(arch, name, source string) (Image, error) {
	options := []string{"--gpu-architecture=" + arch, "--std=c++20", "--ptxas-options=-v"}
	key := digest(fmt.Sprintf("NVRTC %d.%d", c.Major, c.Minor), name, source, strings.Join(options, " "))
	if image, ok := c.cache.get(key); ok {
		image.Cached = true
		return image, nil
	}
	cubin, log, err := c.compile(arch, name, source, options)
	if err != nil {
		return Image{}, err
	}
	image := Image{Cubin: cubin, Kernels: parse(log)}
	c.cache.put(key, image)
	return image, nil
}

// refused is NVRTC's code for source that it does not take.
const refused = 6

func (c *Compiler) compile(arch, name, source string, options []string) (cubin []byte, log string, err error) {
	var p uintptr
	if err := c.check("nvrtcCreateProgram", c.call.create(&p, source, name+".cu", 0, nil, nil)); err != nil {
		return nil, "", err
	}
	defer func() { err = errors.Join(err, c.check("nvrtcDestroyProgram", c.call.destroy(&p))) }()
	var pin runtime.Pinner
	defer pin.Unpin()
	list := make([]*byte, len(options))
	for i, o := range options {
		list[i] = &append([]byte(o), 0)[0]
		pin.Pin(list[i])
	}
	code := c.call.compile(p, int32(len(list)), &list[0])
	text, logErr := c.bytes("nvrtcGetProgramLog", p, c.call.logSize, c.call.log)
	log = strings.Trim(string(text), "\x00\n ")
	if err = c.check("nvrtcCompileProgram", code); code == refused && log != "" {
		err = &CompileError{name, arch, log}
	}
	if err = errors.Join(err, logErr); err != nil {
		return nil, log, err
	}
	cubin, err = c.bytes("nvrtcGetCUBIN", p, c.call.cubinSize, c.call.cubin)
	return slices.Clip(cubin), log, err
}

// bytes gets a result of a program: first its length, then itself.
func (c *Compiler) bytes(call string, p uintptr, size func(p uintptr, n *uintptr) int32, get func(p uintptr, b *byte) int32) ([]byte, error) {
	var n uintptr
	if err := c.check(call+"Size", size(p, &n)); err != nil {
		return nil, err
	}
	b := make([]byte, n+1)
	return b[:n], c.check(call, get(p, &b[0]))
}

func (c *Compiler) check(call string, code int32) error {
	if code == 0 {
		return nil
	}
	return fmt.Errorf("nvrtc: %s: error %d %s", call, code, c.call.text(code))
}
