package cuda

import (
	"fmt"

	"noisystudent/model/cuda/driver"
	"noisystudent/model/device"
	"noisystudent/model/program"
)

// front is where an input waits for the next Run: page-locked memory, and two places of
// the card, of which a Run may still read one while the next values come into the other.
type front struct {
	host    []byte
	at      [2]driver.Pointer
	turn    int // the place that Ahead writes
	waiting bool
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
	l.fronts = map[program.ID]*front{}
	at := l.front
	for id, b := range l.p.Buffers {
		if !inFront(b) {
			continue
		}
		n := frontBytes(b)
		l.fronts[program.ID(id)] = &front{host: host[:n], at: [2]driver.Pointer{at, at + driver.Pointer(n)}}
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

// ahead copies on a queue of its own, beside a Run.
func (l *loaded) ahead(id program.ID, src []byte) error {
	f := l.fronts[id]
	if f == nil {
		return fmt.Errorf("cuda: ahead: buffer %q is no input of voxels", l.p.Buffers[id].Name)
	}
	l.mu.Lock()
	at := f.at[f.turn]
	f.waiting = false
	l.mu.Unlock()
	copy(f.host, src)
	if err := l.copies.Upload(at, f.host[:len(src)]); err != nil {
		return err
	}
	if err := l.copies.Sync(); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	f.waiting = true
	return nil
}

// arrive queues that waiting inputs come to their buffers.
func (l *loaded) arrive() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for id, f := range l.fronts {
		if !f.waiting {
			continue
		}
		if err := l.put(id, f.at[f.turn]); err != nil {
			return err
		}
		f.waiting, f.turn = false, 1-f.turn
	}
	return nil
}

// forget drops what waits for a buffer that is written otherwise.
func (l *loaded) forget(id program.ID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if f := l.fronts[id]; f != nil {
		f.waiting = false
	}
}
