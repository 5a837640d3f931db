// Package cuda is the device of NVIDIA cards: programs as a list of kernel launches
// on activations (N, D, H, W, S), where S is 1 for one channel, else the channels
// rounded up to 8, the rest zero. Float32 programs store float32, Half ones bfloat16
// and Float16 ones half precision; parameters, state, vectors and sums are float32 in
// logical order. libcuda is loaded at run time (package driver), the kernels are
// compiled for the card at first use.
package cuda

import (
	"errors"
	"fmt"
	"sync"

	"noisystudent/model/cuda/driver"
	"noisystudent/model/cuda/kernels"
	"noisystudent/model/cuda/nvml"
	"noisystudent/model/cuda/nvrtc"
	"noisystudent/model/device"
	"noisystudent/model/program"
)

// Compiler makes what the driver loads from the text of a unit; name is for messages.
type Compiler interface {
	Compile(name, source string) ([]byte, error)
}

// Options choose a card. The zero value takes the first, with what is found on the machine.
type Options struct {
	Card     int      // the driver's number
	Driver   string   // path of libcuda or of its folder, empty: see driver.Open
	NVML     string   // path of libnvidia-ml, empty: the loader's
	NVRTC    string   // path of NVIDIA's compiler or of its folder, empty: see nvrtc.Locate
	Cache    string   // folder of compiled kernels, empty: see nvrtc.Options
	Compiler Compiler // in place of NVRTC, for tests
}

// Device is an open card.
type Device struct {
	card     driver.Card
	context  *driver.Context
	stream   driver.Stream
	compiler Compiler
	counts   counts
	nvml     *nvml.Library // or nil

	mu      sync.Mutex
	modules map[kernels.Unit]driver.Module
	shared  map[driver.Function]int // bytes of dynamic shared memory that were allowed
}

var _ device.Device = &Device{}

// Cards describes the cards of the machine, by the options' driver.
func Cards(o Options) ([]driver.Card, error) {
	lib, err := driver.Open(o.Driver)
	if err != nil {
		return nil, err
	}
	return lib.Cards()
}

// Open takes a card. Where it cannot, the error is one message that says what to do: one
// of package driver's types, or *nvrtc.MissingError.
func Open(o Options) (*Device, error) {
	lib, err := driver.Open(o.Driver)
	if err != nil {
		return nil, err
	}
	d := &Device{modules: map[kernels.Unit]driver.Module{}, shared: map[driver.Function]int{}}
	if d.context, err = lib.Open(o.Card); err != nil {
		return nil, err
	}
	if err := d.ready(o); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

func (d *Device) ready(o Options) (err error) {
	if d.card, err = d.context.Card(); err != nil {
		return err
	}
	if d.compiler, err = o.compiler(d.card); err != nil {
		return err
	}
	d.nvml, _ = nvml.Open(o.NVML) // else nobody knows how busy the card is
	d.stream, err = d.context.Stream()
	return err
}

// compiler is NVRTC for the card, of the driver's CUDA or an older one.
func (o Options) compiler(card driver.Card) (Compiler, error) {
	if o.Compiler != nil {
		return o.Compiler, nil
	}
	c, err := nvrtc.Open(nvrtc.Options{Path: o.NVRTC, Major: card.Driver.Major, Cache: o.Cache})
	if err != nil {
		return nil, fmt.Errorf("cuda: %w", err)
	}
	return c.For(card.Major, card.Minor)
}

// Card describes the card as it was when it was opened.
func (d *Device) Card() driver.Card { return d.card }

// Name implements device.Device.
func (d *Device) Name() string { return fmt.Sprintf("cuda:%d %s", d.card.Number, d.card.Name) }

// Identity names what the results of programs depend on beside this binary: the card, its
// driver and the compiler.
func (d *Device) Identity() string { return fmt.Sprintf("%v; %v", d.card, d.compiler) }

// Close implements device.Device.
func (d *Device) Close() error {
	return errors.Join(d.unload(), d.stream.Close(), d.context.Close())
}

// Free returns how many bytes of the card's memory are free now.
func (d *Device) Free() (int64, error) {
	free, _, err := d.context.Memory()
	return free, err
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
