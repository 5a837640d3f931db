// Package driver is the part of libcuda that a device needs, loaded at run time.
//
// Nothing is linked: a binary runs on machines without a card, where Open fails.
// Device pointers are plain numbers; Go memory is only handed to calls that have
// ended with it when they return.
package driver

import (
	"fmt"
	"runtime"
	"unsafe"

	"github.com/ebitengine/purego"
)

// Driver is a loaded libcuda.
type Driver struct {
	path string
	call calls
}

// Pointer is an address in a card's memory.
type Pointer uint64

// Open loads libcuda from a path or, where it is empty, from the loader's path.
func Open(path string) (*Driver, error) {
	if path == "" {
		path = "libcuda.so.1"
	}
	library, err := purego.Dlopen(path, purego.RTLD_NOW|purego.RTLD_LOCAL)
	if err != nil {
		return nil, fmt.Errorf("cuda: load driver: %w; install NVIDIA's driver", err)
	}
	d := &Driver{path: path}
	if err := d.call.resolve(library); err != nil {
		return nil, fmt.Errorf("cuda: driver %s: %w", path, err)
	}
	if err := d.check("cuInit", d.do(d.call.init, 0)); err != nil {
		return nil, err
	}
	return d, nil
}

// do calls a function whose arguments are numbers.
func (d *Driver) do(f uintptr, args ...uintptr) int32 {
	rc, _, _ := purego.SyscallN(f, args...)
	return int32(rc)
}

// Error is a call that the driver refused.
type Error struct {
	Call string
	Code int32
	Name string // CUDA_ERROR_...
}

func (e *Error) Error() string { return fmt.Sprintf("cuda: %s: error %d %s", e.Call, e.Code, e.Name) }

func (d *Driver) check(call string, code int32) error {
	if code == 0 {
		return nil
	}
	return &Error{Call: call, Code: code}
}

// Context is the primary context of one card. Its methods may be called from any goroutine.
type Context struct {
	d      *Driver
	card   int32
	handle uintptr
}

// Open takes the context of a card.
func (d *Driver) Open(card int) (*Context, error) {
	c := &Context{d: d}
	if err := d.check("cuDeviceGet", d.call.deviceGet(&c.card, int32(card))); err != nil {
		return nil, err
	}
	if err := d.check("cuDevicePrimaryCtxRetain", d.call.retain(&c.handle, c.card)); err != nil {
		return nil, err
	}
	return c, nil
}

// Close gives the context back; what was allocated must be free before.
func (c *Context) Close() error {
	return c.d.check("cuDevicePrimaryCtxRelease", c.d.call.release(c.card))
}

// Attribute of a card, by libcuda's CUdevice_attribute.
func (c *Context) Attribute(a int32) (int, error) {
	var v int32
	err := c.d.check("cuDeviceGetAttribute", c.d.call.attribute(&v, a, c.card))
	return int(v), err
}

// Do runs work with the context current on its thread.
func (c *Context) Do(work func() error) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := c.d.check("cuCtxSetCurrent", c.d.do(c.d.call.setCurrent, c.handle)); err != nil {
		return err
	}
	return work()
}

// Alloc takes bytes of the card's memory, at a multiple of 256.
func (c *Context) Alloc(bytes int64) (p Pointer, err error) {
	err = c.Do(func() error { return c.d.check("cuMemAlloc", c.d.call.alloc(&p, uintptr(bytes))) })
	return p, err
}

// Free gives memory back.
func (c *Context) Free(p Pointer) error {
	return c.Do(func() error { return c.d.check("cuMemFree", c.d.do(c.d.call.free, uintptr(p))) })
}

// AllocHost takes page-locked memory of the host, which copies run to and from at full speed.
func (c *Context) AllocHost(bytes int) (b []byte, err error) {
	var p *byte
	err = c.Do(func() error { return c.d.check("cuMemHostAlloc", c.d.call.hostAlloc(&p, uintptr(bytes), 0)) })
	if err != nil {
		return nil, err
	}
	return unsafe.Slice(p, bytes), nil
}

// FreeHost gives page-locked memory back.
func (c *Context) FreeHost(b []byte) error {
	return c.Do(func() error { return c.d.check("cuMemFreeHost", c.d.call.hostFree(unsafe.SliceData(b))) })
}

// Module is loaded device code.
type Module struct {
	c      *Context
	handle uintptr
}

// Load loads an image that a compiler made for the card.
func (c *Context) Load(image []byte) (m Module, err error) {
	m.c = c
	err = c.Do(func() error { return c.d.check("cuModuleLoadData", c.d.call.moduleLoad(&m.handle, &image[0])) })
	return m, err
}

// Unload ends a module.
func (m Module) Unload() error {
	return m.c.Do(func() error { return m.c.d.check("cuModuleUnload", m.c.d.do(m.c.d.call.moduleUnload, m.handle)) })
}

// Function is a kernel.
type Function uintptr

// Function finds a kernel by its name.
func (m Module) Function(name string) (Function, error) {
	var f uintptr
	err := m.c.Do(func() error {
		return m.c.d.check("cuModuleGetFunction "+name, m.c.d.call.function(&f, m.handle, name))
	})
	return Function(f), err
}

// AllowShared lets launches of a kernel have up to so many bytes of dynamic shared
// memory, which without it are 48 KiB.
func (c *Context) AllowShared(f Function, bytes int) error {
	const maxDynamicShared = 8 // CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
	return c.Do(func() error {
		return c.d.check("cuFuncSetAttribute", c.d.do(c.d.call.setAttribute, uintptr(f), maxDynamicShared, uintptr(bytes)))
	})
}
