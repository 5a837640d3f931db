package cuda

import (
	"fmt"
	"unsafe"

	"noisystudent/model/cuda/driver"
	"noisystudent/model/device"
	"noisystudent/model/program"
)

func (l *loaded) at(id program.ID) driver.Pointer {
	return l.arena + driver.Pointer(l.p.Buffers[id].Offset)
}

// stage finds page-locked memory, which queued copies use until the next sync.
func (l *loaded) stage(bytes int) ([]byte, error) {
	if l.staged+bytes > len(l.staging) {
		if err := l.sync(); err != nil {
			return nil, err
		}
	}
	at := l.staged
	l.staged += int(aligned(int64(bytes)))
	return l.staging[at:][:bytes], nil
}

// sync waits for all that was queued.
func (l *loaded) sync() error {
	l.staged = 0
	return l.d.stream.Sync()
}

// bytesOf is the memory of values, in the byte order that the card has too.
func bytesOf(values []float32) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(values))), 4*len(values))
}

// Write implements device.Loaded. The copy to the card is queued.
func (l *loaded) Write(id program.ID, src []float32) error {
	if err := device.CheckCopy(l.p, id, len(src), false); err != nil {
		return fmt.Errorf("cuda: write: %w", err)
	}
	l.forget(id)
	b := l.p.Buffers[id]
	l.changed = l.changed || b.Role == program.Param
	if b.Class != program.Activation {
		return l.upload(l.at(id), bytesOf(src))
	}
	if err := l.upload(l.exchange, bytesOf(src)); err != nil {
		return err
	}
	return l.put(id, l.exchange)
}

// put queues the copy of a buffer from the card's memory, where it lies in logical order:
// an Activation into the device's layout.
func (l *loaded) put(id program.ID, from driver.Pointer) error {
	b := l.p.Buffers[id]
	if b.Class == program.Labels {
		return l.d.stream.Copy(l.at(id), from, int64(b.Len()))
	}
	s := b.Shape
	w := &lowering{l: l}
	w.each("elementwise", "pack", int64(s[0]*s[2]*s[3]*s[4]*stride(s[1])),
		from, l.at(id), int64(s[0]*s[2]), int32(s[2]), int32(s[3]*s[4]), int32(s[1]), int32(stride(s[1])))
	return w.now()
}

// WriteLabels implements device.Loaded. The copy to the card is queued.
func (l *loaded) WriteLabels(id program.ID, src []uint8) error {
	if err := device.CheckCopy(l.p, id, len(src), true); err != nil {
		return fmt.Errorf("cuda: write labels: %w", err)
	}
	l.forget(id)
	return l.upload(l.at(id), src)
}

func (l *loaded) upload(to driver.Pointer, bytes []byte) error {
	locked, err := l.stage(len(bytes))
	if err != nil {
		return err
	}
	copy(locked, bytes)
	return l.d.stream.Upload(to, locked)
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
	locked, err := l.stage(4 * len(dst))
	if err != nil {
		return err
	}
	if err := l.d.stream.Download(locked, from); err != nil {
		return err
	}
	if err := l.sync(); err != nil {
		return err
	}
	copy(bytesOf(dst), locked)
	return nil
}
