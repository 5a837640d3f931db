package cpu

import "unsafe"

// A kernel is the innermost loop of an instruction. The drivers know only the
// tables below, so that every path (AVX-512, generic) shares packing, scheduling
// and reduction order. Kernels get one pointer to their arguments: steps and
// offsets in them are in bytes, counts in elements.

// kind is how a convolution kernel walks along W.
type kind int

const (
	wide1 kind = iota // three taps, input pixels next to each other
	wide2             // three taps, every second input pixel is a centre
	point             // one tap; output pixels may lie outStep apart
	kinds
)

// width is how many output channels a kernel computes at once. Half a block is
// for what has at most 8: where a core works on 32 bytes at a time it takes half
// the time. The other half of an output becomes zero, that of a weight gradient
// is left alone.
type width int

const (
	one  width = iota // a block
	two               // two blocks
	half              // the first 8 channels of a block
	widths
)

func (w width) blocks() int {
	if w == two {
		return 2
	}
	return 1
}

// widthFor chooses among what is offered for an output that has channels left.
func widthFor(channels int, offered func(width) bool) width {
	switch {
	case channels > lanes && offered(two):
		return two
	case channels <= lanes/2 && offered(half):
		return half
	}
	return one
}

// entry is one row of a convolution's sum: an input row, where its weights lie,
// and how many input channels follow each other from there.
type entry struct{ in, w, channels int }

// convArgs computes a width's channels of px output pixels of one row:
// out = bias or out, plus the sum over entries, channels and taps of weight*in.
type convArgs struct {
	in, w, out, bias unsafe.Pointer
	list             *entry
	n                int // entries, at least 1
	wNext            int // from the weights of the first 16 output channels to the next 16
	wStep            int // from one input channel's weights to the next one's
	outNext          int // from the first 16 output channels to the next 16
	outStep          int // from one output pixel to the next (point only, else 64)
	add              int // 1: start from out, 0: from bias
}

// rowPair is an input row and a gradient row that meet at one tap.
type rowPair struct{ in, dy int }

// gradArgs adds to dw, for ic input channels, 3 or 1 taps and a width's output
// channels, the sum over row pairs and px pixels of in*dy.
type gradArgs struct {
	in, dy, dw unsafe.Pointer
	list       *rowPair
	n          int // row pairs, at least 1
	px         int // gradient pixels of a row
	inStep     int // from one gradient pixel's input pixel to the next one's
	dyNext     int // from the first 16 output channels to the next 16
	dwNext     int // the same in dw
	dwStep     int // from one input channel's gradients to the next one's
	tap1, tap2 int // of half factors: from the input pixels of the first tap to those of the others
}

// packArgs copies rows of px pixels as a view sees them:
// dst = leakyReLU(src*scale + shift); with pad also a zero pixel on both sides
// (dst is the first real pixel).
type packArgs struct {
	dst, src, scale, shift unsafe.Pointer
	px, rows               int
	srcStep                int // from pixel to pixel
	dstRow, srcRow         int // from row to row
	pad                    int
	slope                  float32
}

// transposeArgs gathers up to 16 rows: pixel p of dst is (row 0 at p, row 1 at p, ...).
// A negative offset stands for a row of zeros.
type transposeArgs struct {
	dst, src unsafe.Pointer
	rows     [lanes]int // byte offsets of rows from src
	n        int        // pixels
	dstStep  int        // from pixel to pixel
}

// sumArgs writes, per lane, the sum of (x-shift) and of (x-shift)^2 over n pixels.
type sumArgs struct {
	src, shift unsafe.Pointer
	n          int
	sums       [2 * lanes]float32
}

// normGradArgs goes backward through leakyReLU(x*scale+shift): g is dy, times slope
// where the activation's input is not above 0. First pass: sums of g and of
// g*(x-mean). Second: dx = g*a + (x-mean)*b + c.
type normGradArgs struct {
	x, dy, dx     unsafe.Pointer
	n             int
	scale, shift  [lanes]float32
	mean, a, b, c [lanes]float32
	sums          [2 * lanes]float32
	slope         float32
}

// updateArgs changes n parameters (a multiple of 16) by one optimiser step.
type updateArgs struct {
	w, grad, s1, s2 unsafe.Pointer
	n               int
	k               [8]float32 // factor, then the rule's constants, see update.go
}

// squareArgs writes to sum the squares of n floats, a multiple of 16, in float64.
type squareArgs struct {
	x   unsafe.Pointer
	n   int
	sum float64
}

// addArgs writes a + b, n floats, a multiple of 16, to dst.
type addArgs struct {
	dst, a, b unsafe.Pointer
	n         int
}

// lossArgs walks n voxels of blocks*16 lanes of classes. A vector per block:
// top, a, b; four per block in sums: intersection, predictions, references and
// weighted log losses of the voxels' own classes, which kernels add to.
type lossArgs struct {
	logits, dlogits unsafe.Pointer
	labels          unsafe.Pointer
	top             unsafe.Pointer // 0, or -Inf in lanes without a class
	a, b            unsafe.Pointer // gradient of the Dice term by probability, and what being the voxel's class adds
	weight          unsafe.Pointer // float32 per label value: weight of cross-entropy
	counts          unsafe.Pointer // float32 per label value: 1, or 0 for values that count nowhere
	sums            unsafe.Pointer
	n, blocks       int
	next            int // from one block to the next
}

// table is one path: the kernels of a kind of CPU.
type table struct {
	name       string
	conv       convKernels
	wgrad      gradKernels
	pack       func(*packArgs)
	transpose  func(*transposeArgs)
	sum        func(*sumArgs)
	normSums   func(*normGradArgs)
	normApply  func(*normGradArgs)
	sgd, adamw func(*updateArgs)
	squares    func(*squareArgs)
	add        func(*addArgs)
	// loss and lossGrad by width of the classes; plain Go does more than one block.
	loss, lossGrad [widths]func(*lossArgs)
	winograd       *winogradKernels // nil: the path multiplies directly
	half           *halfTable       // of bfloat16 factors, nil where that is no faster
}

// convKernels are by pixels; a width that a path does not offer has an empty list.
type convKernels [kinds][widths][]func(*convArgs)

// gradKernels are [0] for three taps, [1] for one.
type gradKernels [2][widths]gradKernel

// gradKernel covers channels input channels at once; run is nil where not offered.
type gradKernel struct {
	channels int
	run      func(*gradArgs)
}
