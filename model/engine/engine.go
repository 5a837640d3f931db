// Package engine trains and applies networks: a compiled program, a device that
// runs it, and the values between them.
//
// Images are (N, 1, D, H, W) float32, labels (N, D, H, W) uint8, logits
// (N, classes, D, H, W), all contiguous with x fastest; slices belong to the
// caller and are not kept. Weights go in and out by nnU-Net's state-dict names. A
// Trainer or Predictor takes all its memory when it is made. Its methods must not
// run concurrently; different ones may. The same calls give the same bytes on the
// same kind of device, with any number of threads, and after Snapshot and Restore.
package engine

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"noisystudent/model/compile"
	"noisystudent/model/cpu"
	"noisystudent/model/device"
	"noisystudent/model/null"
	"noisystudent/model/program"
	"noisystudent/model/ref"
)

var (
	// ErrDevice is the error of a device that does not exist here.
	ErrDevice = errors.New("no such device")
	// ErrInput is the error of images, labels or settings that do not fit the network.
	ErrInput = errors.New("does not fit the network")
	// ErrState is the error of weights or optimiser memory that are not those of the network.
	ErrState = errors.New("not a state of this network")
)

// Options chooses a device. Device is cpu, cuda (the first NVIDIA card), cuda:N (the
// driver's card N), ref (the slow definition), null (no arithmetic, for plans and
// schedules) or auto (or empty: a card where one opens and computes a trial as the CPU
// does, else cpu). Threads is how many
// cpu uses, 0 for all; Kernels forces one of its kernel tables (see cpu.Options).
type Options struct {
	Device  string
	Threads int
	Kernels string
}

// devices lists what Open knows. auto takes the first that opens, see openTried. Where cuda is left out
// of the binary, its open always fails.
var devices = []struct {
	name string
	open func(o Options, card int) (device.Device, error)
}{
	{"cuda", openCard},
	{"cpu", func(o Options, _ int) (device.Device, error) {
		return cpu.Open(cpu.Options{Threads: o.Threads, Kernels: o.Kernels})
	}},
	{"ref", func(Options, int) (device.Device, error) { return ref.New(), nil }},
	{"null", func(Options, int) (device.Device, error) { return null.New(nil), nil }},
}

// Devices returns the names that Open accepts. A number may follow cuda: cuda:1.
func Devices() []string { return []string{auto, "cpu", "cuda", "ref", "null"} }

const auto = "auto"

// parse splits the name of a device from the number of its card. The error is ErrDevice.
func parse(name string) (kind string, card int, err error) {
	kind, number, found := strings.Cut(cmp.Or(name, auto), ":")
	if found {
		card, err = strconv.Atoi(number)
	}
	if err != nil || card < 0 || found && kind != "cuda" || !slices.Contains(Devices(), kind) {
		return "", 0, fmt.Errorf("engine: open %q: %w: have %s, cuda:N", name, ErrDevice, strings.Join(Devices(), ", "))
	}
	return kind, card, nil
}

// Known reports whether Open knows the name of a device, which need not be here.
func Known(name string) bool {
	_, _, err := parse(name)
	return err == nil
}

// Engine is an open device. Several trainers and predictors may share it.
type Engine struct {
	device device.Device
	passed error
}

// On returns an engine on an open device, which it takes over.
func On(d device.Device) *Engine { return &Engine{device: d} }

// Open opens a device. The error of an unknown name is ErrDevice. All engines of one
// card share it.
func Open(o Options) (*Engine, error) {
	kind, card, err := parse(o.Device)
	if err != nil {
		return nil, err
	}
	e := &Engine{}
	for _, d := range devices {
		if kind != auto && kind != d.name {
			continue
		}
		open := d.open
		if kind == auto && d.name == "cuda" {
			open = openTried
		}
		if e.device, err = open(o, card); err == nil {
			return e, nil
		}
		if kind != auto || d.name != "cuda" {
			return nil, fmt.Errorf("engine: open %s: %w", cmp.Or(o.Device, auto), err)
		}
		e.passed = err
	}
	return nil, err
}

// Passed is why auto has not taken a card, nil where it has or was not asked.
func (e *Engine) Passed() error { return e.passed }

// Name says what runs, for people.
func (e *Engine) Name() string { return e.device.Name() }

// Reduced lists the precisions of 16 bits that the device gains by, the best for labels
// first. Programs of the others are computed in float32.
func (e *Engine) Reduced() []program.Precision {
	switch d := e.device.(type) {
	case interface{ Reduced() []program.Precision }:
		return d.Reduced()
	case interface{ Half() bool }:
		if d.Half() {
			return []program.Precision{program.Half}
		}
	}
	return nil
}

// Decided returns what the device computes in where it is asked for a precision:
// program.Mixed becomes Float16 or Float32, the others stay.
func (e *Engine) Decided(p program.Precision) program.Precision {
	switch {
	case p != program.Mixed:
		return p
	case slices.Contains(e.Reduced(), program.Float16):
		return program.Float16
	}
	return program.Float32
}

// Place plans the memory of a program, whose precision it decides, and returns what it
// takes, in bytes: of the card where one computes, else of the machine.
func (e *Engine) Place(p *program.Program) (int64, error) {
	p.Precision = e.Decided(p.Precision)
	if err := compile.Place(p, e.device); err != nil {
		return 0, err
	}
	if d, ok := e.device.(interface {
		Memory(p *program.Program) (int64, error)
	}); ok {
		return d.Memory(p)
	}
	return p.Arena, nil
}

// OnCard reports whether networks lie in a card's memory and not in the machine's.
func (e *Engine) OnCard() bool {
	_, ok := e.device.(interface {
		Memory(p *program.Program) (int64, error)
	})
	return ok
}

// Free returns how many bytes of a card's memory networks may take now. It is 0 where no
// card computes, for the machine's memory is everybody's, and where the card is elsewhere.
func (e *Engine) Free() (int64, error) {
	if d, ok := e.device.(interface{ Free() (int64, error) }); ok {
		return d.Free()
	}
	return 0, nil
}

// Close gives the device back, after all trainers and predictors are closed.
func (e *Engine) Close() error { return e.device.Close() }

// Tensor is an array of a checkpoint, the last axis fastest.
type Tensor struct {
	Shape []int
	Data  []float32
}

// network is a placed and loaded program with the names of its buffers.
type network struct {
	program *program.Program
	names   *compile.Network
	loaded  device.Loaded
}

func (e *Engine) load(p *program.Program, names *compile.Network, precision program.Precision) (network, error) {
	p.Precision = e.Decided(precision)
	if err := compile.Place(p, e.device); err != nil {
		return network{}, err
	}
	l, err := e.device.Load(p)
	if err != nil {
		return network{}, err
	}
	return network{p, names, l}, nil
}

// ArenaBytes returns the memory that the device has taken for it.
func (n network) ArenaBytes() int64 { return n.program.Arena }

// Close gives the memory back.
func (n network) Close() error { return n.loaded.Close() }

func (n network) read(id program.ID) ([]float32, error) {
	v := make([]float32, n.program.Buffers[id].Len())
	return v, n.loaded.Read(id, v)
}

// tensors reads buffers by name.
func (n network) tensors(ids map[string]program.ID) (map[string]Tensor, error) {
	out := make(map[string]Tensor, len(ids))
	for name, id := range ids {
		data, err := n.read(id)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		out[name] = Tensor{slices.Clone(n.program.Buffers[id].Shape), data}
	}
	return out, nil
}

// fits checks that an input has the length of its buffer.
func (n network) fits(what string, id program.ID, length int) error {
	if want := n.program.Buffers[id].Len(); length != want {
		return fmt.Errorf("%s of %d values, need %d %v: %w", what, length, want, n.program.Buffers[id].Shape, ErrInput)
	}
	return nil
}
