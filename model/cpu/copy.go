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
		clear(dst)
		l.eachBlock(b, func(at, from, channels, voxels int) {
			block(dst[at:], src[from:], channels, voxels)
		})
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
		l.eachBlock(b, func(at, from, channels, voxels int) {
			unblock(dst[from:], src[at:], channels, voxels)
		})
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

// eachBlock calls f, on all threads, with where each block of a blocked activation
// lies and where its first channel lies in logical order.
func (l *loaded) eachBlock(b program.Buffer, f func(at, from, channels, voxels int)) {
	v, n := voxels(b.Shape), blocks(b.Shape[1])
	l.dev.pool.do(l.workers, phase{items: b.Shape[0] * n, run: func(_ *worker, i int) {
		first := i % n * lanes
		f(i*lanes*v, (i/n*b.Shape[1]+first)*v, b.Shape[1]-first, v)
	}})
}
