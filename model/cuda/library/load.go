//go:build linux && (amd64 || arm64) && !nocuda

package library

import (
	"fmt"

	"github.com/ebitengine/purego"
)

// Open loads a library by its path, or by a name that the loader looks for. With
// global set, libraries loaded later may use its symbols.
func Open(path string, global bool) (Library, error) {
	mode := purego.RTLD_NOW | purego.RTLD_LOCAL
	if global {
		mode = purego.RTLD_NOW | purego.RTLD_GLOBAL
	}
	handle, err := purego.Dlopen(path, mode)
	return Library{handle}, err
}

// Bind makes the function variable that f points to call the library's function of
// that name. Numbers, pointers and strings go through; a string ends at its first NUL.
func (l Library) Bind(name string, f any) error {
	address, err := purego.Dlsym(l.handle, name)
	if err != nil {
		return fmt.Errorf("no %s: %w", name, err)
	}
	purego.RegisterFunc(f, address)
	return nil
}

// Symbol finds a function for Call.
func (l Library) Symbol(name string) (uintptr, error) {
	address, err := purego.Dlsym(l.handle, name)
	if err != nil {
		return 0, fmt.Errorf("no %s: %w", name, err)
	}
	return address, nil
}

// Call calls a function whose arguments and result are numbers, faster than through Bind.
func Call(function uintptr, args ...uintptr) uintptr {
	result, _, _ := purego.SyscallN(function, args...)
	return result
}
