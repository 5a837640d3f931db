package cpu

import "unsafe"

// bfloat16 factors, float32 sums (program.Half). Two neighbours along the sum make
// 4 bytes, which a kernel broadcasts as it would a float32: channels 2i and 2i+1 of
// a pixel where convOp sums over channels, pixels 2i and 2i+1 of a channel where
// gradOp sums over pixels. Drivers and kernels are those of float32 with half as
// many steps; only packing differs. Activations, weights and gradients in memory
// stay float32.

// halfTable is the part of a table that differs for bfloat16.
type halfTable struct {
	conv convKernels
	// wgrad reads pairs of pixels, in.px of them at 64 bytes from each other.
	wgrad gradKernels
	// pack writes pixels of 8 channel pairs, 32 bytes.
	pack func(*packArgs)
	// pairs writes pairs of pixels, 64 bytes: (0, 1), (2, 3), ... at dst and, where
	// pad is not 0, (-1, 0), (1, 2), ... at dst+pad. Pixels outside the row are zero;
	// dst has room for px/2+1 pairs, dst+pad for px/2+2.
	pairs func(*packArgs)
	halve func(*halveArgs)
}

// halveArgs rounds rows of n vectors, those at even and odd to one of pairs; step
// is from one row of even or odd to the next, rows of dst follow each other.
type halveArgs struct {
	dst, even, odd unsafe.Pointer
	n, rows, step  int
}

func (t *table) format() format     { return format{t.pack, pixelBytes} }
func (t *halfTable) format() format { return format{t.pack, pixelBytes / 2} }

// steps is how many steps kernels take for so many channels; t is nil for float32.
func (t *halfTable) steps(channels int) int {
	if t == nil {
		return channels
	}
	return pairs(channels)
}

// pairs is how many pairs cover n.
func pairs(n int) int { return (n + 1) / 2 }

// Half reports whether this device multiplies bfloat16 faster than float32. Others
// compute programs of program.Half in float32.
func (d *cpuDevice) Half() bool { return d.table.half != nil }
