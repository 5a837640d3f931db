package cpu

import (
	"context"
	"errors"
	"fmt"
	"unsafe"

	"noisystudent/model/device"
	"noisystudent/model/program"
)

// loaded is a program with its memory: one arena for all buffers, and scratch per
// thread.
type loaded struct {
	dev     *cpuDevice
	p       *program.Program
	arena   []float32
	free    func() error
	ops     []op
	workers []*worker
	lives   []program.Life // of the buffers
	shared  []float32      // scratch of the instruction that runs, see lend
	spare   []float32      // shared scratch for which the arena has no room

	// versions counts the writes to each parameter, so that packed copies of weights
	// are renewed only when they have changed.
	versions []int64

	half *halfTable // of a program whose factors are bfloat16

	moving               moving // the copy that is under way
	blocking, unblocking func(w *worker, i int)

	needShared, needSpare, needScratch, needLow, needRows, needLists, needPairs, needStarts int
}

// op is one instruction, or several updates that run together.
type op struct {
	name   string
	phases []phase
}

// Load checks a placed program, takes its arena and plans every instruction.
func (d *cpuDevice) Load(p *program.Program) (device.Loaded, error) {
	if err := d.check(p); err != nil {
		return nil, fmt.Errorf("cpu: load: %w", err)
	}
	arena, free, err := newArena(int((p.Arena + 3) / 4))
	if err != nil {
		return nil, fmt.Errorf("cpu: load: %w", err)
	}
	l := &loaded{dev: d, p: p, arena: arena, free: free, versions: make([]int64, len(p.Buffers))}
	if p.Precision == program.Half {
		l.half = d.table.half
	}
	for i := range l.versions {
		l.versions[i] = 1
	}
	l.blocking, l.unblocking = l.block, l.unblock
	l.plan()
	l.takeScratch()
	d.loads.Add(1)
	return l, nil
}

func (d *cpuDevice) check(p *program.Program) error {
	if err := program.Check(p); err != nil {
		return err
	}
	for _, b := range p.Buffers {
		switch need := d.Bytes(b, p.Precision); {
		case b.Offset < 0:
			return fmt.Errorf("buffer %q has no place", b.Name)
		case b.Offset%pixelBytes != 0:
			return fmt.Errorf("buffer %q lies at %d, not a multiple of %d", b.Name, b.Offset, pixelBytes)
		case b.Bytes < need || b.Offset+need > p.Arena:
			return fmt.Errorf("buffer %q of %d bytes does not fit its place of %d at %d in %d", b.Name, need, b.Bytes, b.Offset, p.Arena)
		}
	}
	return nil
}

// takeScratch allocates the largest need of any instruction.
func (l *loaded) takeScratch() {
	l.spare = aligned(l.needSpare)
	for range l.dev.threads {
		l.workers = append(l.workers, &worker{
			scratch: aligned(l.needScratch), low: aligned(l.needLow), rows: aligned(l.needRows), lists: make([]entry, l.needLists),
			pairs: make([]rowPair, l.needPairs), starts: make([]int, l.needStarts),
		})
	}
}

// floats returns the memory of a buffer.
func (l *loaded) floats(id program.ID) []float32 {
	b := l.p.Buffers[id]
	return l.arena[b.Offset/4:][: floats(b) : b.Bytes/4]
}

func (l *loaded) labels(id program.ID) []uint8 {
	b := l.p.Buffers[id]
	return unsafe.Slice((*uint8)(unsafe.Pointer(&l.arena[b.Offset/4])), b.Len())
}

func (l *loaded) shape(id program.ID) []int { return l.p.Buffers[id].Shape }

// Run executes all instructions.
func (l *loaded) Run(ctx context.Context) error {
	if l.arena == nil {
		return errors.New("cpu: run: the program is closed")
	}
	for i := range l.ops {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("cpu: run: stopped before %s: %w", l.ops[i].name, err)
		}
		for _, f := range l.ops[i].phases {
			l.dev.pool.do(l.workers, f)
		}
	}
	return nil
}

// Close gives the arena back.
func (l *loaded) Close() error {
	if l.arena == nil {
		return errors.New("cpu: close program: it is closed already")
	}
	l.arena, l.ops, l.workers, l.shared, l.spare = nil, nil, nil, nil, nil
	l.dev.loads.Add(-1)
	if err := l.free(); err != nil {
		return fmt.Errorf("cpu: close program: %w", err)
	}
	return nil
}
