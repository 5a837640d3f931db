// Package null is the device that does everything but arithmetic: it lays out,
// loads, copies and walks programs, and keeps account of the arena.
//
// It takes no arena. Instead it remembers which buffers hold their value: a write
// to one destroys all that overlap it, and a read of a destroyed one is an error.
// That proves, run by run, what program.Check concludes from lifetimes: that a
// plan works in the memory that it was given. Schedules and plans of the largest
// network are tried in milliseconds, in the layout of any device. Parameters and
// state keep what is written to them; everything else reads as zeros.
package null

import (
	"context"
	"fmt"

	"noisystudent/model/device"
	"noisystudent/model/program"
)

// Device implements device.Device.
type Device struct{ layout device.Device }

var _ device.Device = New(nil)

// New returns a device with the layout of another one, which stays the caller's,
// or, for nil, with four bytes an element.
func New(layout device.Device) *Device { return &Device{layout} }

// Name implements device.Device.
func (d *Device) Name() string {
	if d.layout != nil {
		return "null in the layout of " + d.layout.Name()
	}
	return "null"
}

// Close implements device.Device.
func (d *Device) Close() error { return nil }

const alignment = 64

// Bytes implements device.Device.
func (d *Device) Bytes(b program.Buffer, p program.Precision) int64 {
	if d.layout != nil {
		return d.layout.Bytes(b, p)
	}
	return (4*int64(b.Len()) + alignment - 1) / alignment * alignment
}

// Load implements device.Device. The result is a *Loaded.
func (d *Device) Load(p *program.Program) (device.Loaded, error) {
	if err := program.Check(p); err != nil {
		return nil, fmt.Errorf("null: load: %w", err)
	}
	if !p.Placed() {
		return nil, fmt.Errorf("null: load: the program is not placed")
	}
	l := &Loaded{p: p, holds: make([]bool, len(p.Buffers)), kept: map[program.ID][]float32{}}
	for i, b := range p.Buffers {
		if b.Bytes < d.Bytes(b, p.Precision) {
			return nil, fmt.Errorf("null: load: buffer %q has %d bytes, need %d", b.Name, b.Bytes, d.Bytes(b, p.Precision))
		}
		if b.Role == program.Param || b.Role == program.State {
			l.kept[program.ID(i)] = make([]float32, b.Len())
			l.hold(program.ID(i))
		}
	}
	return l, nil
}

// Loaded implements device.Loaded.
type Loaded struct {
	p      *program.Program
	holds  []bool // whether a buffer's memory still has its value
	kept   map[program.ID][]float32
	report Report
}

// Report is what the runs of a loaded program have shown.
type Report struct {
	Runs int
	// Reach is the end of the highest byte that a buffer in use has occupied.
	Reach int64
	// Live is the most bytes that were needed at one time, and At the instruction
	// then. The arena cannot be smaller; what it is larger by is lost to gaps.
	Live int64
	At   string
}

// Report returns what has been seen so far.
func (l *Loaded) Report() Report { return l.report }

// Close implements device.Loaded.
func (l *Loaded) Close() error { return nil }

// Write implements device.Loaded.
func (l *Loaded) Write(id program.ID, src []float32) error {
	if err := device.CheckCopy(l.p, id, len(src), false); err != nil {
		return fmt.Errorf("null: write: %w", err)
	}
	copy(l.kept[id], src)
	l.hold(id)
	return nil
}

// WriteLabels implements device.Loaded.
func (l *Loaded) WriteLabels(id program.ID, src []uint8) error {
	if err := device.CheckCopy(l.p, id, len(src), true); err != nil {
		return fmt.Errorf("null: write labels: %w", err)
	}
	l.hold(id)
	return nil
}

// Read implements device.Loaded. Reading what other values have overwritten is an
// error, also for Temp buffers.
func (l *Loaded) Read(id program.ID, dst []float32) error {
	if err := device.CheckCopy(l.p, id, len(dst), false); err != nil {
		return fmt.Errorf("null: read: %w", err)
	}
	if !l.holds[id] {
		return fmt.Errorf("null: read: %q holds no value", l.p.Buffers[id].Name)
	}
	clear(dst)
	copy(dst, l.kept[id])
	return nil
}

// ReadPlane implements device.Loaded; it gives zeros.
func (l *Loaded) ReadPlane(id program.ID, plane int, dst []float32) error {
	if err := device.CheckPlane(l.p, id, plane, len(dst)); err != nil {
		return fmt.Errorf("null: read plane: %w", err)
	}
	if !l.holds[id] {
		return fmt.Errorf("null: read plane: %q holds no value", l.p.Buffers[id].Name)
	}
	clear(dst)
	return nil
}

// Run implements device.Loaded.
func (l *Loaded) Run(ctx context.Context) error {
	for t, in := range l.p.Instrs {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("null: run: stopped before instruction %d: %w", t, err)
		}
		for _, id := range in.Reads() {
			if !l.holds[id] {
				return fmt.Errorf("null: run: instruction %d reads %q, which holds no value: %s", t, l.p.Buffers[id].Name, l.p.Text(in))
			}
		}
		for _, id := range in.Writes() {
			l.hold(id)
		}
		for _, id := range append(in.Reads(), in.Writes()...) {
			if !l.holds[id] {
				return fmt.Errorf("null: run: instruction %d writes over its own operand %q: %s", t, l.p.Buffers[id].Name, l.p.Text(in))
			}
		}
	}
	l.account()
	return nil
}

// hold gives a buffer its value and takes it from all that overlap it.
func (l *Loaded) hold(id program.ID) {
	b := l.p.Buffers[id]
	for i, o := range l.p.Buffers {
		if l.holds[i] && o.Offset < b.Offset+b.Bytes && b.Offset < o.Offset+o.Bytes {
			l.holds[i] = false
		}
	}
	l.holds[id] = true
	l.report.Reach = max(l.report.Reach, b.Offset+b.Bytes)
}

// account notes a run, and after the first what it needed.
func (l *Loaded) account() {
	l.report.Runs++
	if l.report.Runs > 1 {
		return
	}
	lives := program.Lifetimes(l.p)
	for t, in := range l.p.Instrs {
		live := int64(0)
		for i, b := range l.p.Buffers {
			if lives[i].First <= t && t <= lives[i].Last {
				live += b.Bytes
			}
		}
		if live > l.report.Live {
			l.report.Live, l.report.At = live, l.p.Text(in)
		}
	}
}
