package cuda

import (
	"context"
	"fmt"
	"time"

	"noisystudent/model/cuda/driver"
	"noisystudent/model/device"
	"noisystudent/model/program"
)

// front is where an input waits for the next Run: page-locked memory, and two places of
// the card, of which a Run may still read one while the next values come into the other.
type front struct {
	host    []byte
	at      [2]driver.Pointer
	turn    int  // the place that Ahead writes
	waiting bool // for the next Run
	queued  bool // a copy may still read host
}

// inFront reports whether a buffer has a front.
func inFront(b program.Buffer) bool { return b.Role == program.Input && b.Class != program.Vector }

// frontBytes is the page-locked memory of a front, and half of its memory of the card.
func frontBytes(b program.Buffer) int64 {
	if b.Class == program.Labels {
		return aligned(int64(b.Len()))
	}
	return aligned(4 * int64(b.Len()))
}

// setFronts shares out the memory that the plan has counted.
func (l *loaded) setFronts(host []byte) {
	l.fronts = make([]*front, len(l.p.Buffers))
	at := l.front
	for id, b := range l.p.Buffers {
		if !inFront(b) {
			continue
		}
		n := frontBytes(b)
		l.fronts[id] = &front{host: host[:n], at: [2]driver.Pointer{at, at + driver.Pointer(n)}}
		host, at = host[n:], at+driver.Pointer(2*n)
	}
}

// Ahead implements device.Ahead.
func (l *loaded) Ahead(id program.ID, src []float32) error {
	if err := device.CheckCopy(l.p, id, len(src), false); err != nil {
		return fmt.Errorf("cuda: ahead: %w", err)
	}
	return l.ahead(id, bytesOf(src))
}

// AheadLabels implements device.Ahead.
func (l *loaded) AheadLabels(id program.ID, src []uint8) error {
	if err := device.CheckCopy(l.p, id, len(src), true); err != nil {
		return fmt.Errorf("cuda: ahead: %w", err)
	}
	return l.ahead(id, src)
}

// ahead queues a copy beside a run.
func (l *loaded) ahead(id program.ID, src []byte) error {
	f := l.fronts[id]
	if f == nil {
		return fmt.Errorf("cuda: ahead: buffer %q is no input of voxels", l.p.Buffers[id].Name)
	}
	f.waiting = false
	if err := l.settle(f); err != nil {
		return err
	}
	copy(f.host, src)
	if err := l.copies.Upload(f.at[f.turn], f.host[:len(src)]); err != nil {
		return err
	}
	f.waiting, f.queued = true, true
	return nil
}

// settle waits for the copy of a front, and with it for those of all.
func (l *loaded) settle(f *front) error {
	if !f.queued {
		return nil
	}
	if err := l.copies.Sync(); err != nil {
		return err
	}
	for _, f := range l.fronts {
		if f != nil {
			f.queued = false
		}
	}
	return nil
}

// arrive queues that waiting inputs come to their buffers, in the order of the program.
func (l *loaded) arrive() error {
	for id, f := range l.fronts {
		if f == nil || !f.waiting {
			continue
		}
		if err := l.settle(f); err != nil {
			return err
		}
		if err := l.put(program.ID(id), f.at[f.turn]); err != nil {
			return err
		}
		f.waiting, f.turn = false, 1-f.turn
	}
	return nil
}

// forget drops what waits for a buffer that is written otherwise.
func (l *loaded) forget(id program.ID) {
	if f := l.fronts[id]; f != nil {
		f.waiting = false
	}
}

// RunAhead implements device.Ahead. It looks at ctx once, for the card runs all
// instructions in one go.
func (l *loaded) RunAhead(ctx context.Context, meanwhile func()) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("cuda: run: stopped before its start: %w", err)
	}
	defer l.d.counts.ran(time.Now())
	if err := l.begin(); err != nil {
		return err
	}
	meanwhile()
	return l.sync()
}
