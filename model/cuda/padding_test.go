package cuda

import (
	"context"
	"fmt"

	"noisystudent/model/cuda/driver"
	"noisystudent/model/device"
	"noisystudent/model/program"
)

// Checked is a Device whose runs fail where an instruction leaves anything but zeros in
// the padding channels of what it writes.
type Checked struct{ *Device }

// Load implements device.Device.
func (d Checked) Load(p *program.Program) (device.Loaded, error) {
	l, err := d.Device.Load(p)
	if err != nil {
		return nil, err
	}
	return checked{l.(*loaded)}, nil
}

type checked struct{ *loaded }

func (c checked) Run(ctx context.Context) error {
	if err := c.loaded.Run(ctx); err != nil {
		return err
	}
	var later []program.Buffer // what is written after an instruction
	for i := len(c.p.Instrs) - 1; i >= 0; i-- {
		for _, id := range c.p.Instrs[i].Writes() {
			b := c.p.Buffers[id]
			if b.Class == program.Activation && !overwritten(b, later) {
				if err := c.padding(b); err != nil {
					return fmt.Errorf("instruction %d %T: %w", i, c.p.Instrs[i], err)
				}
			}
			later = append(later, b)
		}
	}
	return nil
}

func overwritten(b program.Buffer, later []program.Buffer) bool {
	for _, o := range later {
		if o.Offset < b.Offset+b.Bytes && b.Offset < o.Offset+o.Bytes {
			return true
		}
	}
	return false
}

func (c checked) padding(b program.Buffer) error {
	size, channels := int(c.store.bytes), b.Shape[1]
	all := b.Len() / channels * stride(channels) * size
	for at := 0; at < all; {
		bytes, err := c.stage(min(all-at, len(c.staging)))
		if err != nil {
			return err
		}
		if err := c.d.stream.Download(bytes, c.arena+driver.Pointer(int(b.Offset)+at)); err != nil {
			return err
		}
		if err := c.sync(); err != nil {
			return err
		}
		for i, v := range bytes {
			element := (at + i) / size
			if channel := element % stride(channels); channel >= channels && v != 0 {
				return fmt.Errorf("channel %d behind the %d of %q is not zero at voxel %d", channel, channels, b.Name, element/stride(channels))
			}
		}
		at += len(bytes)
	}
	return nil
}
