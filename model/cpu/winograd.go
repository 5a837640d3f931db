package cpu

import (
	"unsafe"

	"noisystudent/model/program"
)

// Winograd's F(2x2, 3x3): a square of 2x2 outputs of a 3x3 kernel takes 16 products
// for each pair of channels instead of 36. Four by four pixels and three by three
// weights are transformed to 16 points each, multiplied point by point, summed over
// channels and kernel planes, and the sums transformed back (Lavin and Gray 2016):
//
//	Y = A'[(G g G') * (B' d B)]A
//
//	B' = 1  0 -1  0    G = 1    0    0      A' = 1  1  1  0
//	     0  1  1  0        1/2  1/2  1/2         0  1 -1 -1
//	     0 -1  1  0        1/2 -1/2  1/2
//	     0  1  0 -1        0    0    1

// winogradPoints is how many products a square takes, and biasPoint the one whose sum
// goes into all four outputs as it is.
const (
	winogradPoints = 16
	biasPoint      = 5
)

// winogradKernels are the transforms of a path. What multiplies are its kernels for one
// tap, with squares for pixels.
type winogradKernels struct {
	input  func(*winogradInputArgs)  // B' d B
	weight func(*winogradWeightArgs) // G g G'
	output func(*winogradOutputArgs) // A' y A
	// The transposes of the last two. The sign of A's last row is left out of the one and
	// comes back in the other.
	outputGrad func(*winogradOutputArgs)
	weightGrad func(*winogradWeightArgs)
}

// winogradInputArgs transforms a row of squares from four rows of px pixels, seen
// through a view as packArgs has it: row i is pixel row i-1 of the squares' outputs.
// Each point gets a vector per square.
type winogradInputArgs struct {
	points, src, scale, shift unsafe.Pointer
	rows                      [4]int // byte offsets of rows from src; negative: a row of zeros
	px                        int
	point                     int // from one point to the next
	slope                     float32
}

// winogradWeightArgs transforms the 3x3 weights of n input channels to points, or
// points to the gradients of weights.
type winogradWeightArgs struct {
	points, weights unsafe.Pointer
	row             int // from one kernel row to the next
	n               int
	step, next      int // from channel to channel, of weights and of a point
	point           int // from one point to the next
}

// winogradOutputArgs turns the points of a row of squares into two rows of px pixels,
// which it assigns to or, with add, adds to; or pixels into points.
type winogradOutputArgs struct {
	points, out unsafe.Pointer
	row         int // from the upper row of pixels to the lower, 0 where there is none
	px          int
	point       int
	add         int
}

// winogradScratch holds the arguments of the transforms.
type winogradScratch struct {
	input  winogradInputArgs
	weight winogradWeightArgs
	output winogradOutputArgs
}

// transforms reports whether convolutions of a kernel and stride, of so many
// multiply-adds, and their gradients are to be computed by transforms.
func (l *loaded) transforms(k kernelLayout, stride [3]int, work int) bool {
	fits := k.kh == 3 && k.kw == 3 && stride == [3]int{1, 1, 1}
	return fits && l.dev.table.winograd != nil && l.p.Precision == program.Float32 && work >= l.dev.sizes.winograd
}

// squares are the transformed inputs that a worker holds in scratch, [16 points][plane
// of a ring][block][row of squares][column][16]; distances are in bytes.
type squares struct {
	kernels             *winogradKernels
	pack                *packer // of which only the blocks and the grid count
	columns             int     // of squares in a row
	rows                int     // of squares in a band
	slots               int     // planes of the ring
	point, plane, block int
}

// oddLines makes a distance between points odd in cache lines: sixteen points are
// written in turn, and would meet in few sets of the cache.
func oddLines(bytes int) int { return bytes | pixelBytes }

// place lays out blocks of a part's input and returns the bytes that all take.
func (s *squares) place(blocks int) int {
	s.block = s.rows * s.columns * pixelBytes
	s.plane = blocks * s.block
	s.point = oddLines(s.slots * s.plane)
	return winogradPoints * s.point
}

// input transforms what a part's rows need of plane d of blocks [b0, b1).
func (s *squares) input(w *worker, p part, d, b0, b1 int) {
	a, grid := &w.winograd.input, s.pack.grid
	a.px, a.point = grid[2], s.point
	row := grid[2] * pixelBytes
	for b := b0; b < b1; b++ {
		src, block := s.pack.blocks[b].src, s.pack.blocks[b].block
		lane := (p.n*src.blocks + block) * lanes
		a.scale, a.shift, a.slope = ptr(src.scale, lane), ptr(src.shift, lane), src.slope
		a.src = ptr(src.data, src.at(p.n, block)+d*grid[1]*grid[2]*lanes)
		at := d%s.slots*s.plane + (b-b0)*s.block
		for h := p.h0; h < p.h1; h += 2 {
			for i := range a.rows {
				a.rows[i] = -1
				if y := h - 1 + i; y >= 0 && y < grid[1] {
					a.rows[i] = y * row
				}
			}
			a.points = ptr(w.scratch, at/4)
			s.kernels.input(a)
			at += s.columns * pixelBytes
		}
	}
}

// squaresOf returns how many squares a part has in a plane.
func (s *squares) squaresOf(p part) int { return ceilDiv(p.h1-p.h0, 2) * s.columns }
