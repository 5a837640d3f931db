package cpu

import (
	"errors"
	"fmt"

	"noisystudent/model/device"
	"noisystudent/model/program"
)

// Write copies src, in logical order, into a buffer.
func (l *loaded) Write(id program.ID, src []float32) error {
	b, err := l.transfer("write", id, len(src), false)
	if err != nil {
		return err
	}
	dst := l.floats(id)
	l.versions[id]++
	switch {
	case b.Class == program.Kernel:
		clear(dst)
		newKernelLayout(b.Shape).each(func(i, at int) { dst[at] = src[i] })
	case b.Class == program.Vector || plain(b):
		copy(dst, src)
	default:
		l.move(moving{b.Shape, dst, src, 0, b.Shape[0], 0, voxels(b.Shape)}, l.blocking)
	}
	return nil
}

// WriteLabels copies src (N, D, H, W) into a Labels buffer.
func (l *loaded) WriteLabels(id program.ID, src []uint8) error {
	if _, err := l.transfer("write labels", id, len(src), true); err != nil {
		return err
	}
	copy(l.labels(id), src)
	return nil
}

// Read copies a buffer, in logical order, to dst.
func (l *loaded) Read(id program.ID, dst []float32) error {
	b, err := l.transfer("read", id, len(dst), false)
	if err != nil {
		return err
	}
	src := l.floats(id)
	switch {
	case b.Class == program.Kernel:
		newKernelLayout(b.Shape).each(func(i, at int) { dst[i] = src[at] })
	case b.Class == program.Vector || plain(b):
		copy(dst, src)
	default:
		l.move(moving{b.Shape, src, dst, 0, b.Shape[0], 0, voxels(b.Shape)}, l.unblocking)
	}
	return nil
}

// ReadPlane copies one plane of an activation, in logical order, to dst.
func (l *loaded) ReadPlane(id program.ID, plane int, dst []float32) error {
	if l.arena == nil {
		return errors.New("cpu: read plane: the program is closed")
	}
	if err := device.CheckPlane(l.p, id, plane, len(dst)); err != nil {
		return fmt.Errorf("cpu: read plane: %w", err)
	}
	b, size := l.p.Buffers[id], len(dst)/l.p.Buffers[id].Shape[1]
	if plain(b) {
		copy(dst, l.floats(id)[plane*size:])
		return nil
	}
	l.move(moving{b.Shape, l.floats(id), dst, plane / b.Shape[2], 1, plane % b.Shape[2] * size, size}, l.unblocking)
	return nil
}

// transfer checks a copy's arguments.
func (l *loaded) transfer(what string, id program.ID, n int, labels bool) (program.Buffer, error) {
	if l.arena == nil {
		return program.Buffer{}, fmt.Errorf("cpu: %s: the program is closed", what)
	}
	if err := device.CheckCopy(l.p, id, n, labels); err != nil {
		return program.Buffer{}, fmt.Errorf("cpu: %s: %w", what, err)
	}
	return l.p.Buffers[id], nil
}

// moving is a copy between blocks and logical order: of count voxels from one on, in
// some elements of a batch. In logical order nothing else lies between them.
type moving struct {
	shape            []int
	blocked, logical []float32
	first, elements  int
	from, count      int
}

// move makes a copy on all threads. It takes nothing from the heap: part is one of
// the two functions that l keeps, and finds the copy in l.
func (l *loaded) move(m moving, part func(w *worker, i int)) {
	l.moving = m
	l.dev.pool.do(l.workers, each(m.elements*blocks(m.shape[1])*l.runs(), part))
}

// runs is how many parts the voxels of a block are cut into.
func (l *loaded) runs() int { return ceilDiv(l.moving.count, l.dev.sizes.voxels) }

// copyPart is a run of voxels of one block: where it lies in blocks and where its
// first channel lies in logical order, whose channels are voxels apart.
type copyPart struct{ blocked, logical, count, channels, voxels int }

func (l *loaded) copyPart(i int) copyPart {
	m, size := &l.moving, l.dev.sizes.voxels
	v, n := voxels(m.shape), blocks(m.shape[1])
	block, from := i/l.runs(), i%l.runs()*size
	first := block % n * lanes
	return copyPart{
		blocked: ((m.first*n+block)*v + m.from + from) * lanes,
		logical: (block/n*m.shape[1]+first)*m.count + from,
		count:   min(size, m.count-from), channels: min(lanes, m.shape[1]-first), voxels: m.count,
	}
}

// block writes a part from logical order; lanes without a channel become zero.
func (l *loaded) block(w *worker, i int) {
	a, p, dst, src := &w.transpose, l.copyPart(i), l.moving.blocked, l.moving.logical
	for r := range a.rows {
		a.rows[r] = -1
		if r < p.channels {
			a.rows[r] = 4 * r * p.voxels
		}
	}
	a.src, a.dst, a.n, a.dstStep = ptr(src, p.logical), ptr(dst, p.blocked), p.count, pixelBytes
	l.dev.table.transpose(a)
}

// unblock reads a part into logical order, 16 voxels at a time, for a vector of one
// channel's voxels is written whole.
func (l *loaded) unblock(w *worker, i int) {
	a, p, dst, src := &w.transpose, l.copyPart(i), l.moving.logical, l.moving.blocked
	for r := range a.rows {
		a.rows[r] = r * pixelBytes
	}
	a.n, a.dstStep = p.channels, 4*p.voxels
	v := 0
	for ; v+lanes <= p.count; v += lanes {
		a.src, a.dst = ptr(src, p.blocked+v*lanes), ptr(dst, p.logical+v)
		l.dev.table.transpose(a)
	}
	for ; v < p.count; v++ {
		for c := range p.channels {
			dst[p.logical+c*p.voxels+v] = src[p.blocked+v*lanes+c]
		}
	}
}
