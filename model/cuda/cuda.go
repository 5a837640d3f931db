// Package cuda is the device of NVIDIA cards: programs as a list of kernel launches
// on activations (N, D, H, W, S), where S is 1 for one channel, else the channels
// rounded up to 8, the rest zero. Float32 programs store float32, Half ones bfloat16
// and Float16 ones half precision; parameters, state, vectors and sums are float32 in
// logical order. libcuda is loaded at run time (package driver), the kernels are
// compiled for the card at first use.
//
// It is under construction and no engine opens it: copies and sums of activations are
// computed, all other instructions are refused by Load.
package cuda

import (
	"fmt"
	"sync"

	"noisystudent/model/cuda/driver"
	"noisystudent/model/cuda/kernels"
	"noisystudent/model/device"
	"noisystudent/model/program"
)

// Compiler makes what the driver loads from the text of a unit; name is for messages.
type Compiler interface {
	Compile(name, source string) ([]byte, error)
}

// Options choose a card.
type Options struct {
	Card     int    // the driver's number
	Driver   string // path of libcuda, empty: the loader's
	Compiler Compiler
}

// Device is an open card.
type Device struct {
	context  *driver.Context
	stream   driver.Stream
	compiler Compiler

	mu      sync.Mutex
	modules map[kernels.Unit]driver.Module
}

var _ device.Device = &Device{}

// Open takes a card.
func Open(o Options) (*Device, error) {
	lib, err := driver.Open(o.Driver)
	if err != nil {
		return nil, err
	}
	d := &Device{compiler: o.Compiler, modules: map[kernels.Unit]driver.Module{}}
	if d.context, err = lib.Open(o.Card); err != nil {
		return nil, err
	}
	if d.stream, err = d.context.Stream(); err != nil {
		return nil, err
	}
	return d, nil
}

// Name implements device.Device.
func (d *Device) Name() string { return "cuda" }

// Close implements device.Device.
func (d *Device) Close() error {
	for _, m := range d.modules {
		if err := m.Unload(); err != nil {
			return err
		}
	}
	if err := d.stream.Close(); err != nil {
		return err
	}
	return d.context.Close()
}

// function finds a kernel, and compiles its unit the first time.
func (d *Device) function(u kernels.Unit, name string) (driver.Function, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	m, ok := d.modules[u]
	if !ok {
		source, err := u.Source()
		if err != nil {
			return 0, err
		}
		image, err := d.compiler.Compile(u.File, source)
		if err != nil {
			return 0, fmt.Errorf("cuda: compile %s for %s: %w", u.File, u.Defines, err)
		}
		if m, err = d.context.Load(image); err != nil {
			return 0, err
		}
		d.modules[u] = m
	}
	return m.Function(name)
}

const alignment = 256

func aligned(bytes int64) int64 { return (bytes + alignment - 1) / alignment * alignment }

// Bytes implements device.Device.
func (d *Device) Bytes(b program.Buffer, p program.Precision) int64 {
	switch b.Class {
	case program.Activation:
		s := b.Shape
		return aligned(int64(s[0]) * int64(s[2]) * int64(s[3]) * int64(s[4]) * int64(stride(s[1])) * storeOf(p).bytes)
	case program.Labels:
		return aligned(int64(b.Len()))
	}
	return aligned(4 * int64(b.Len()))
}

// stride is the distance of two voxels of an activation, in elements.
func stride(channels int) int {
	if channels == 1 {
		return 1
	}
	return (channels + 7) / 8 * 8
}

// store is a type of stored activations.
type store struct {
	name  string // in kernel sources
	bytes int64
}

func storeOf(p program.Precision) store {
	switch p {
	case program.Half:
		return store{"bf16", 2}
	case program.Float16:
		return store{"f16", 2}
	}
	return store{"float", 4}
}
