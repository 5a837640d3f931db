package cuda

import (
	"encoding/binary"
	"fmt"
	"math"

	"noisystudent/model/cuda/driver"
	"noisystudent/model/device"
	"noisystudent/model/program"
)

func (l *loaded) at(id program.ID) driver.Pointer {
	return l.arena + driver.Pointer(l.p.Buffers[id].Offset)
}

// Write implements device.Loaded.
func (l *loaded) Write(id program.ID, src []float32) error {
	if err := device.CheckCopy(l.p, id, len(src), false); err != nil {
		return fmt.Errorf("cuda: write: %w", err)
	}
	bytes := l.staging[:4*len(src)]
	for i, v := range src {
		binary.LittleEndian.PutUint32(bytes[4*i:], math.Float32bits(v))
	}
	b := l.p.Buffers[id]
	l.changed = l.changed || b.Role == program.Param
	if b.Class != program.Activation {
		return l.upload(l.at(id), bytes)
	}
	if err := l.upload(l.exchange, bytes); err != nil {
		return err
	}
	s := b.Shape
	w := &lowering{l: l}
	w.each("elementwise", "pack", int64(s[0]*s[2]*s[3]*s[4]*stride(s[1])),
		l.exchange, l.at(id), int64(s[0]*s[2]), int32(s[2]), int32(s[3]*s[4]), int32(s[1]), int32(stride(s[1])))
	return w.now()
}

// WriteLabels implements device.Loaded.
func (l *loaded) WriteLabels(id program.ID, src []uint8) error {
	if err := device.CheckCopy(l.p, id, len(src), true); err != nil {
		return fmt.Errorf("cuda: write labels: %w", err)
	}
	copy(l.staging, src)
	return l.upload(l.at(id), l.staging[:len(src)])
}

func (l *loaded) upload(to driver.Pointer, bytes []byte) error {
	if err := l.d.stream.Upload(to, bytes); err != nil {
		return err
	}
	return l.d.stream.Sync()
}

// Read implements device.Loaded.
func (l *loaded) Read(id program.ID, dst []float32) error {
	if err := device.CheckCopy(l.p, id, len(dst), false); err != nil {
		return fmt.Errorf("cuda: read: %w", err)
	}
	b := l.p.Buffers[id]
	if b.Class != program.Activation {
		return l.download(dst, l.at(id))
	}
	s := b.Shape
	w := &lowering{l: l}
	w.each("elementwise", "unpack", int64(len(dst)),
		l.at(id), l.exchange, int64(0), int64(s[0]*s[2]), int32(s[2]), int32(s[3]*s[4]), int32(s[1]), int32(stride(s[1])))
	if err := w.now(); err != nil {
		return err
	}
	return l.download(dst, l.exchange)
}

// ReadPlane implements device.Loaded.
func (l *loaded) ReadPlane(id program.ID, plane int, dst []float32) error {
	if err := device.CheckPlane(l.p, id, plane, len(dst)); err != nil {
		return fmt.Errorf("cuda: read plane: %w", err)
	}
	s := l.p.Buffers[id].Shape
	w := &lowering{l: l}
	w.each("elementwise", "unpack", int64(len(dst)),
		l.at(id), l.exchange, int64(plane), int64(1), int32(0), int32(s[3]*s[4]), int32(s[1]), int32(stride(s[1])))
	if err := w.now(); err != nil {
		return err
	}
	return l.download(dst, l.exchange)
}

func (l *loaded) download(dst []float32, from driver.Pointer) error {
	bytes := l.staging[:4*len(dst)]
	if err := l.d.stream.Download(bytes, from); err != nil {
		return err
	}
	if err := l.d.stream.Sync(); err != nil {
		return err
	}
	for i := range dst {
		dst[i] = math.Float32frombits(binary.LittleEndian.Uint32(bytes[4*i:]))
	}
	return nil
}
