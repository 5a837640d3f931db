package cuda

import (
	"context"
	"errors"
	"fmt"

	"noisystudent/model/cuda/driver"
	"noisystudent/model/device"
	"noisystudent/model/program"
)

// loaded is a program in a card's memory.
type loaded struct {
	d     *Device
	p     *program.Program
	store store

	arena, scratch, exchange driver.Pointer // exchange holds a buffer as float32 in logical order
	staging                  []byte         // page-locked, as long as exchange
	launches                 []*driver.Launch
	weights                  []*driver.Launch // run before launches when parameters have changed
	until                    []int            // launches up to the end of each instruction
	changed                  bool
}

// Load implements device.Device. State and parameters start at zero.
func (d *Device) Load(p *program.Program) (device.Loaded, error) {
	if err := program.Check(p); err != nil {
		return nil, fmt.Errorf("cuda: load: %w", err)
	}
	if !p.Placed() {
		return nil, errors.New("cuda: load: the program is not placed")
	}
	l := &loaded{d: d, p: p, store: storeOf(p.Precision), changed: true}
	if err := l.take(); err != nil {
		return nil, errors.Join(fmt.Errorf("cuda: load: %w", err), l.Close())
	}
	return l, nil
}

func (l *loaded) take() error {
	d := l.d
	var largest int64
	for _, b := range l.p.Buffers {
		if b.Bytes < d.Bytes(b, l.p.Precision) || b.Offset%alignment != 0 {
			return fmt.Errorf("buffer %q has %d bytes at %d, not placed for this device", b.Name, b.Bytes, b.Offset)
		}
		largest = max(largest, 4*int64(b.Len()))
	}
	measure := &lowering{l: l, measuring: true}
	if err := measure.all(); err != nil {
		return err
	}
	var err error
	for at, bytes := range map[*driver.Pointer]int64{&l.arena: l.p.Arena, &l.scratch: measure.bytes(), &l.exchange: largest} {
		if *at, err = d.context.Alloc(max(bytes, alignment)); err != nil {
			return err
		}
	}
	if l.staging, err = d.context.AllocHost(int(max(largest, alignment))); err != nil {
		return err
	}
	for _, b := range l.p.Buffers {
		if b.Role == program.Param || b.Role == program.State {
			if err := d.stream.Fill(l.arena+driver.Pointer(b.Offset), 0, b.Bytes/4); err != nil {
				return err
			}
		}
	}
	real := &lowering{l: l, scratch: l.scratch, keepAt: measure.most}
	err = real.all()
	l.launches, l.weights, l.until = real.launches, real.weights, real.until
	return err
}

// Run implements device.Loaded.
func (l *loaded) Run(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("cuda: run: stopped before its start: %w", err)
	}
	list := l.launches
	if l.changed {
		list = append(append([]*driver.Launch{}, l.weights...), l.launches...)
	}
	for _, launch := range list {
		if err := l.d.stream.Launch(launch); err != nil {
			return err
		}
	}
	l.changed = l.updates()
	return l.d.stream.Sync()
}

// updates reports whether runs change parameters.
func (l *loaded) updates() bool {
	for _, in := range l.p.Instrs {
		if _, ok := in.(program.Update); ok {
			return true
		}
	}
	return false
}

// Close implements device.Loaded.
func (l *loaded) Close() error {
	var errs []error
	for _, p := range []*driver.Pointer{&l.arena, &l.scratch, &l.exchange} {
		if *p != 0 {
			errs = append(errs, l.d.context.Free(*p))
			*p = 0
		}
	}
	if l.staging != nil {
		errs = append(errs, l.d.context.FreeHost(l.staging))
		l.staging = nil
	}
	for _, launch := range append(l.launches, l.weights...) {
		launch.Args.Free()
	}
	l.launches, l.weights = nil, nil
	return errors.Join(errs...)
}
