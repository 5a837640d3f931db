package cpu

import "noisystudent/model/program"

const (
	lanes      = 16        // channels of a block
	pixelBytes = 4 * lanes // one voxel of a block; also the alignment of every buffer
)

func blocks(channels int) int { return (channels + lanes - 1) / lanes }

// plain reports whether an activation is stored as it is, without channel
// blocks: the image, whose padding to 16 channels would be 15/16 of a network's
// largest input.
func plain(b program.Buffer) bool {
	return b.Class == program.Activation && b.Role == program.Input && b.Shape[1] == 1
}

// floats returns the length of a buffer that is not Labels in this layout, without
// the padding of its end.
func floats(b program.Buffer) int {
	switch {
	case b.Class == program.Kernel:
		return newKernelLayout(b.Shape).floats()
	case b.Class == program.Activation && !plain(b):
		return b.Shape[0] * blocks(b.Shape[1]) * lanes * voxels(b.Shape)
	}
	return b.Len()
}

func voxels(shape []int) int { return shape[2] * shape[3] * shape[4] }

// kernelLayout is [A/16][B/16][KD][KH][16 b][KW][16 a] for a Kernel of shape
// (A, B, KD, KH, KW): output channels of a convolution lie in vectors, for each
// input channel and tap. With one input channel the 16 b shrink to 1. Lanes
// without a channel are zero, and stay so under every instruction.
type kernelLayout struct {
	a, b, kd, kh, kw int
	rows             int // 16, or 1 where b is 1
}

func newKernelLayout(shape []int) kernelLayout {
	k := kernelLayout{a: shape[0], b: shape[1], kd: shape[2], kh: shape[3], kw: shape[4], rows: lanes}
	if k.b == 1 {
		k.rows = 1
	}
	return k
}

func (k kernelLayout) taps() int { return k.kd * k.kh }

// tapFloats is the size of one (a block, b block, kd, kh).
func (k kernelLayout) tapFloats() int { return k.rows * k.kw * lanes }

// next is the distance from one block of a to the next.
func (k kernelLayout) next() int { return blocks(k.b) * k.taps() * k.tapFloats() }

func (k kernelLayout) floats() int { return blocks(k.a) * k.next() }

// row is the place of [KW][16 a] of channel b at tap (kd, kh) within a block of a.
func (k kernelLayout) row(b, tap int) int {
	return (b/lanes*k.taps()+tap)*k.tapFloats() + b%k.rows*k.kw*lanes
}

// each calls f with the place of every logical element, in logical order.
func (k kernelLayout) each(f func(i, at int)) {
	i := 0
	for a := range k.a {
		for b := range k.b {
			for tap := range k.taps() {
				at := a/lanes*k.next() + k.row(b, tap) + a%lanes
				for w := range k.kw {
					f(i, at+w*lanes)
					i++
				}
			}
		}
	}
}
