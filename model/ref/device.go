package ref

import (
	"context"
	"fmt"
	"math"
	"unsafe"

	"noisystudent/model/device"
	"noisystudent/model/program"
)

// Device runs programs by the functions of this package. Its layout is the logical
// order, one T an element, labels too. A placed program lives in one arena at the
// offsets that it was given, so that a wrong lifetime gives wrong numbers; an
// unplaced program gets memory of its own for every buffer.
type Device[T Float] struct{}

// New returns the reference device in float32.
func New() *Device[float32] { return &Device[float32]{} }

// New64 returns the reference device that computes and stores in float64.
func New64() *Device[float64] { return &Device[float64]{} }

var _ device.Device = New()

// Name implements device.Device.
func (d *Device[T]) Name() string { return fmt.Sprintf("ref float%d", 8*size[T]()) }

// Close implements device.Device.
func (d *Device[T]) Close() error { return nil }

const alignment = 64

func size[T Float]() int64 {
	var v T
	return int64(unsafe.Sizeof(v))
}

// Bytes implements device.Device.
func (d *Device[T]) Bytes(b program.Buffer, _ program.Precision) int64 {
	return (int64(b.Len())*size[T]() + alignment - 1) / alignment * alignment
}

// Load implements device.Device. State and parameters start at zero, all other
// memory as NaN.
func (d *Device[T]) Load(p *program.Program) (device.Loaded, error) {
	if err := program.Check(p); err != nil {
		return nil, fmt.Errorf("ref: load: %w", err)
	}
	m := &memory[T]{p: p, buffers: make([][]T, len(p.Buffers))}
	var arena []T
	if p.Placed() {
		arena = poisoned[T](int(p.Arena / size[T]()))
	}
	for i, b := range p.Buffers {
		switch {
		case arena == nil:
			m.buffers[i] = poisoned[T](b.Len())
		case b.Bytes < d.Bytes(b, p.Precision) || b.Offset%alignment != 0:
			return nil, fmt.Errorf("ref: load: buffer %q has %d bytes at %d, not placed for this device", b.Name, b.Bytes, b.Offset)
		default:
			at := int(b.Offset / size[T]())
			m.buffers[i] = arena[at : at+b.Len() : at+b.Len()]
		}
		if b.Role == program.Param || b.Role == program.State {
			clear(m.buffers[i])
		}
	}
	return m, nil
}

func poisoned[T Float](n int) []T {
	s := make([]T, n)
	for i := range s {
		s[i] = T(math.NaN())
	}
	return s
}

// memory is a loaded program: the slice of every buffer.
type memory[T Float] struct {
	p       *program.Program
	buffers [][]T
}

// Close implements device.Loaded.
func (m *memory[T]) Close() error { m.buffers = nil; return nil }

// Write implements device.Loaded.
func (m *memory[T]) Write(id program.ID, src []float32) error {
	if err := device.CheckCopy(m.p, id, len(src), false); err != nil {
		return fmt.Errorf("ref: write: %w", err)
	}
	for i, v := range src {
		m.buffers[id][i] = T(v)
	}
	return nil
}

// WriteLabels implements device.Loaded.
func (m *memory[T]) WriteLabels(id program.ID, src []uint8) error {
	if err := device.CheckCopy(m.p, id, len(src), true); err != nil {
		return fmt.Errorf("ref: write labels: %w", err)
	}
	m.putLabels(id, src)
	return nil
}

// Read implements device.Loaded.
func (m *memory[T]) Read(id program.ID, dst []float32) error {
	if err := device.CheckCopy(m.p, id, len(dst), false); err != nil {
		return fmt.Errorf("ref: read: %w", err)
	}
	for i, v := range m.buffers[id] {
		dst[i] = float32(v)
	}
	return nil
}

// ReadPlane implements device.Loaded.
func (m *memory[T]) ReadPlane(id program.ID, plane int, dst []float32) error {
	if err := device.CheckPlane(m.p, id, plane, len(dst)); err != nil {
		return fmt.Errorf("ref: read plane: %w", err)
	}
	s := m.p.Buffers[id].Shape
	size, d, n := s[3]*s[4], plane%s[2], plane/s[2]
	for i := range dst {
		dst[i] = float32(m.buffers[id][((n*s[1]+i/size)*s[2]+d)*size+i%size])
	}
	return nil
}

// Run implements device.Loaded.
func (m *memory[T]) Run(ctx context.Context) error {
	for t, in := range m.p.Instrs {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("ref: run: stopped before instruction %d: %w", t, err)
		}
		m.execute(in)
	}
	return nil
}

// labels returns a Labels buffer as bytes; the memory holds one T a label.
func (m *memory[T]) labels(id program.ID) []uint8 {
	out := make([]uint8, len(m.buffers[id]))
	for i, v := range m.buffers[id] {
		out[i] = uint8(v)
	}
	return out
}

func (m *memory[T]) putLabels(id program.ID, src []uint8) {
	for i, v := range src {
		m.buffers[id][i] = T(v)
	}
}
