package cpu

import (
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
		l.eachPart(b, func(w *worker, p copyPart) { l.block(&w.transpose, p, dst, src) })
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
		l.eachPart(b, func(w *worker, p copyPart) { l.unblock(&w.transpose, p, dst, src) })
	}
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

// copyPart is a run of voxels of one block: where it lies in blocks and where its
// first channel lies in logical order, whose channels are voxels apart.
type copyPart struct{ blocked, logical, count, channels, voxels int }

// eachPart calls f, on all threads, for every part of a blocked activation.
func (l *loaded) eachPart(b program.Buffer, f func(w *worker, p copyPart)) {
	v, n, size := voxels(b.Shape), blocks(b.Shape[1]), l.dev.sizes.voxels
	parts := ceilDiv(v, size)
	l.dev.pool.do(l.workers, each(b.Shape[0]*n*parts, func(w *worker, i int) {
		block, from := i/parts, i%parts*size
		first := block % n * lanes
		f(w, copyPart{
			blocked: (block*v + from) * lanes, logical: (block/n*b.Shape[1]+first)*v + from,
			count: min(size, v-from), channels: min(lanes, b.Shape[1]-first), voxels: v,
		})
	}))
}

// block writes a part from logical order; lanes without a channel become zero.
func (l *loaded) block(a *transposeArgs, p copyPart, dst, src []float32) {
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
func (l *loaded) unblock(a *transposeArgs, p copyPart, dst, src []float32) {
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
