package cuda

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"noisystudent/model/cuda/driver"
	"noisystudent/model/device"
	"noisystudent/model/program"
)

var _ device.Ahead = &loaded{}

// loaded is a program in a card's memory.
type loaded struct {
	d     *Device
	p     *program.Program
	store store

	arena, scratch, exchange driver.Pointer // exchange holds a buffer as float32 in logical order
	staging                  []byte         // page-locked
	staged                   int            // bytes of staging that queued copies use

	fronts []*front
	front  driver.Pointer // their memory
	locked []byte         // staging and theirs
	copies driver.Stream  // to them

	launches []*driver.Launch
	weights  []*driver.Launch // run before launches when parameters have changed
	until    []int            // launches up to the end of each instruction
	changed  bool
	step     driver.Graph // of launches
	pack     driver.Graph // of weights
}

// Load implements device.Device. State and parameters start at zero. Where the card has
// too little memory, the error is a *driver.MemoryError.
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
	for _, b := range l.p.Buffers {
		if b.Bytes < l.d.Bytes(b, l.p.Precision) || b.Offset%alignment != 0 {
			return fmt.Errorf("buffer %q has %d bytes at %d, not placed for this device", b.Name, b.Bytes, b.Offset)
		}
	}
	plan, err := l.plan()
	if err != nil {
		return err
	}
	if err := l.d.compile(plan.Units); err != nil {
		return err
	}
	if err := l.memory(plan); err != nil {
		return err
	}
	if err := l.clear(); err != nil {
		return err
	}
	return l.lower(plan)
}

// admission lets one program of this process at a time see what is free and take it.
var admission sync.Mutex

// memory takes all that the program wants, or nothing.
func (l *loaded) memory(plan Plan) error {
	admission.Lock()
	defer admission.Unlock()
	free, total, err := l.d.context.Memory()
	if err != nil {
		return err
	}
	if plan.Memory > free {
		return &driver.MemoryError{Want: plan.Memory, Free: free, Total: total}
	}
	if l.arena, err = l.d.context.Alloc(max(l.p.Arena, alignment)); err != nil {
		return err
	}
	if l.scratch, err = l.d.context.Alloc(max(plan.scratch, alignment)); err != nil {
		return err
	}
	if l.exchange, err = l.d.context.Alloc(plan.exchange); err != nil {
		return err
	}
	if plan.front > 0 {
		if l.front, err = l.d.context.Alloc(2 * plan.front); err != nil {
			return err
		}
	}
	if l.locked, err = l.d.context.AllocHost(int(plan.Host)); err != nil {
		return err
	}
	l.staging = l.locked[:plan.Host-plan.front]
	l.setFronts(l.locked[plan.Host-plan.front:])
	l.copies, err = l.d.context.Stream()
	return err
}

func (l *loaded) clear() error {
	for _, b := range l.p.Buffers {
		if b.Role == program.Param || b.Role == program.State {
			if err := l.d.stream.Fill(l.arena+driver.Pointer(b.Offset), 0, b.Bytes/4); err != nil {
				return err
			}
		}
	}
	return l.d.stream.Sync()
}

func (l *loaded) lower(plan Plan) (err error) {
	w := &lowering{l: l, scratch: l.scratch, keepAt: plan.temp}
	err = w.all()
	l.launches, l.weights, l.until = w.launches, w.weights, w.until
	if err != nil {
		return err
	}
	if l.step, err = l.d.graph(l.launches); err != nil {
		return err
	}
	l.pack, err = l.d.graph(l.weights)
	return err
}

// graph makes a graph, or none of no launches.
func (d *Device) graph(launches []*driver.Launch) (driver.Graph, error) {
	if len(launches) == 0 {
		return driver.Graph{}, nil
	}
	return d.context.Graph(launches)
}

// Run implements device.Loaded, see RunAhead.
func (l *loaded) Run(ctx context.Context) error { return l.RunAhead(ctx, func() {}) }

// begin queues a run.
func (l *loaded) begin() error {
	if err := l.arrive(); err != nil {
		return err
	}
	if l.changed {
		if err := l.d.stream.Run(l.pack); err != nil {
			return err
		}
	}
	if err := l.d.stream.Run(l.step); err != nil {
		return err
	}
	l.changed = l.updates()
	return nil
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
	errs := []error{l.d.stream.Sync(), l.copies.Sync(), l.copies.Close(), l.step.Close(), l.pack.Close()} // queued copies use what is given back
	for _, p := range []*driver.Pointer{&l.arena, &l.scratch, &l.exchange, &l.front} {
		if *p != 0 {
			errs = append(errs, l.d.context.Free(*p))
			*p = 0
		}
	}
	if l.locked != nil {
		errs = append(errs, l.d.context.FreeHost(l.locked))
		l.locked = nil
	}
	for _, launch := range append(l.launches, l.weights...) {
		launch.Args.Free()
	}
	l.launches, l.weights, l.step, l.pack, l.copies = nil, nil, driver.Graph{}, driver.Graph{}, driver.Stream{}
	return errors.Join(errs...)
}
