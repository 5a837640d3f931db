// Package driver is the part of libcuda that a device needs, loaded at run time.
//
// Nothing is linked: a binary runs on machines without a card, where Open fails.
// Device pointers are plain numbers; Go memory is only handed to calls that have
// ended with it when they return.
package driver

import (
	"cmp"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"unsafe"

	"noisystudent/model/cuda/library"
)

// Driver is a loaded libcuda.
type Driver struct {
	Path    string
	Version Version // the newest CUDA that it runs code of
	call    calls
}

// Pointer is an address in a card's memory.
type Pointer uint64

// Variable names the environment variable that names libcuda, its file or its folder.
const Variable = "NOISYSTUDENT_LIBCUDA"

// Open loads libcuda from a path or a folder, else from what Variable names, else from the loader's
// path. The errors are *MissingError, *TooOldError, *NoCardError and *Error.
func Open(path string) (*Driver, error) {
	if path = cmp.Or(path, os.Getenv(Variable)); path == "" {
		path = "libcuda.so.1"
	} else if info, err := os.Stat(path); err == nil && info.IsDir() {
		path = filepath.Join(path, "libcuda.so.1")
	}
	lib, err := library.Open(path, false)
	if err != nil {
		return nil, &MissingError{path, err}
	}
	d := &Driver{Path: path}
	if err := d.call.resolve(lib); err != nil {
		return nil, &MissingError{path, err}
	}
	var v int32
	if err := d.check("cuDriverGetVersion", d.call.version(&v)); err != nil {
		return nil, err
	}
	d.Version = Version{int(v) / 1000, int(v) % 1000 / 10}
	if d.Version.Major < Oldest.Major {
		return nil, &TooOldError{d.Version}
	}
	if err := d.check("cuInit", d.do(d.call.init, 0)); err != nil {
		return nil, err
	}
	return d, nil
}

// do calls a function whose arguments are numbers.
func (d *Driver) do(f uintptr, args ...uintptr) int32 { return int32(library.Call(f, args...)) }

// Context is the primary context of one card. Its methods may be called from any goroutine.
type Context struct {
	d      *Driver
	number int
	card   int32 // the driver's
	handle uintptr

	account account
}

// Open takes the context of a card. The errors are *NoCardError, *BusyError and *Error.
func (d *Driver) Open(card int) (*Context, error) {
	c := &Context{d: d, number: card}
	var err error
	if c.card, err = d.card(card); err != nil {
		return nil, err
	}
	code := d.call.retain(&c.handle, c.card)
	if code == deviceUnavailable {
		mode, err := d.attribute(c.card, computeMode)
		return nil, errors.Join(&BusyError{card, mode == exclusiveProcess}, err)
	}
	if err := d.check("cuDevicePrimaryCtxRetain", code); err != nil {
		return nil, err
	}
	return c, nil
}

// Close gives the context back; what was allocated must be free before.
func (c *Context) Close() error {
	return c.d.check("cuDevicePrimaryCtxRelease", c.d.call.release(c.card))
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

// Memory returns how many bytes of the card are free, of how many.
func (c *Context) Memory() (free, total int64, err error) {
	var f, t uintptr
	err = c.Do(func() error { return c.d.check("cuMemGetInfo", c.d.call.memory(&f, &t)) })
	return int64(f), int64(t), err
}

// release calls a function that gives something back. It is called whatever happens
// before, so that a failure leaves nothing behind.
func (c *Context) release(name string, f, handle uintptr) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	return errors.Join(c.d.check("cuCtxSetCurrent", c.d.do(c.d.call.setCurrent, c.handle)), c.d.check(name, c.d.do(f, handle)))
}

// Alloc takes bytes of the card's memory, at a multiple of 256. Where there are not as
// many, the error is a *MemoryError.
func (c *Context) Alloc(bytes int64) (p Pointer, err error) {
	var code int32
	err = c.Do(func() error {
		code = c.d.call.alloc(&p, uintptr(bytes))
		return c.d.check("cuMemAlloc", code)
	})
	if code == outOfMemory {
		free, total, memoryErr := c.Memory()
		err = errors.Join(&MemoryError{Want: bytes, Free: free, Total: total}, memoryErr)
	}
	if err == nil {
		c.account.taken(p, bytes)
	}
	return p, err
}

// Free gives memory back.
func (c *Context) Free(p Pointer) error {
	c.account.given(p)
	return c.release("cuMemFree", c.d.call.free, uintptr(p))
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
	return c.release("cuMemFreeHost", c.d.call.hostFree, uintptr(unsafe.Pointer(unsafe.SliceData(b))))
}
