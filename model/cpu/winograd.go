package cpu

import (
	"unsafe"

	"noisystudent/model/program"
)

// Winograd's F(4x4, 3x3): a cell of 4x4 outputs (along H and W) of a 3x3 kernel takes 36
// products for each pair of channels instead of 144. Six by six pixels d and three by
// three weights g are transformed to 36 points each, multiplied point by point, summed
// over channels and kernel planes, and the sums are transformed back (Lavin and Gray
// 2016):
//
//	Y = A'[(G g G') * (B' d B)]A
//
// The points of an axis are 0, a, -a, b, -b and infinity with a = sqrt(1/2), b = sqrt(2):
// their numbers are smaller and round less than with 1 and 2. Rows for p of +-a and +-b,
// q2 being 2 for a and 1/2 for b, and f -2/3 and 1/6:
//
//	B' = 1   0    -5/2   0   1  0    G = 1  0   0       A = 1  0  0   0
//	     0 -p q2   -q2   p   1  0        f  fp  f p2        1  p  p2  p3
//	     0   1      0  -5/2  0  1        0  0   1           0  0  0   1

const (
	cellSide       = 4
	winogradPoints = (cellSide + 2) * (cellSide + 2)
)

// winogradKernels are the transforms of a path. What multiplies are its kernels for one
// tap, with cells for pixels.
type winogradKernels struct {
	input      func(*winogradInputArgs)  // B' d B
	weight     func(*winogradWeightArgs) // G g G'
	weightGrad func(*winogradWeightArgs) // its transpose
	output     func(*winogradOutputArgs) // A' y A
	outputGrad func(*winogradOutputArgs) // its transpose
}

// winogradInputArgs transforms a row of cells from six rows of px pixels, seen through
// a view as packArgs has it: row i is pixel row i-1 of the cells' outputs. Each point
// gets a vector per cell.
type winogradInputArgs struct {
	points, src, scale, shift unsafe.Pointer
	kept                      unsafe.Pointer    // room for keptFloats
	rows                      [cellSide + 2]int // byte offsets of rows from src; negative: a row of zeros
	px                        int
	point                     int // from one point to the next
	slope                     float32
}

// keptFloats is what goes from one cell to the next: two columns.
const keptFloats = 2 * (cellSide + 2) * lanes

// winogradWeightArgs transforms the 3x3 weights of n input channels to points, or
// points to the gradients of weights.
type winogradWeightArgs struct {
	points, weights unsafe.Pointer
	row             int // from one kernel row to the next
	n               int
	step, next      int // from channel to channel, of weights and of a point
	point           int // from one point to the next
}

// winogradOutputArgs turns the points of a row of cells into rows of px pixels, plus the
// bias of their channels, which it assigns or, with add, adds; or pixels into points,
// without a bias.
type winogradOutputArgs struct {
	points, out, bias unsafe.Pointer
	row               int // from one row of pixels to the next
	rows              int // 1 to 4: how many there are
	px                int
	point             int
	add               int
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
	return fits && l.dev.table.winograd != nil && l.p.Precision != program.Exact && l.half == nil && work >= l.dev.sizes.winograd
}

// cells are the transformed inputs that a worker holds in scratch, [36 points][plane
// of a ring][block][row of cells][column][16]; distances are in bytes.
type cells struct {
	kernels             *winogradKernels
	pack                *packer // of which only the blocks and the grid count
	columns             int     // of cells in a row
	rows                int     // of cells in a band
	slots               int     // planes of the ring
	kept                int     // floats of scratch before what a row of cells keeps
	point, plane, block int
}

// oddLines makes a distance between points odd in cache lines: 36 points are
// written in turn, and would meet in few sets of the cache.
func oddLines(bytes int) int { return bytes | pixelBytes }

// place lays out blocks of a part's input and returns the floats that all take.
func (s *cells) place(blocks int) int {
	s.block = s.rows * s.columns * pixelBytes
	s.plane = blocks * s.block
	s.point = oddLines(s.slots * s.plane)
	s.kept = winogradPoints * s.point / 4
	return s.kept + keptFloats
}

// upsampledFloats is the length of the longest run of rows of an upsampled source.
func (s *cells) upsampledFloats() int {
	for _, b := range s.pack.blocks {
		if b.src.up != nil {
			return (s.rows*cellSide + cellSide + 1) * s.pack.grid[2] * lanes
		}
	}
	return 0
}

// input transforms what a part's rows need of plane d of blocks [b0, b1).
func (s *cells) input(w *worker, p part, d, b0, b1 int) {
	a, grid := &w.winograd.input, s.pack.grid
	a.px, a.point, a.kept = grid[2], s.point, ptr(w.scratch, s.kept)
	row := grid[2] * pixelBytes
	for b := b0; b < b1; b++ {
		src, block := s.pack.blocks[b].src, s.pack.blocks[b].block
		lane := (p.n*src.blocks + block) * lanes
		a.scale, a.shift, a.slope = ptr(src.scale, lane), ptr(src.shift, lane), src.slope
		first := 0
		if src.up == nil {
			a.src = ptr(src.data, src.at(p.n, block)+d*grid[1]*grid[2]*lanes)
		} else {
			first = s.upsample(w, p, d, b)
			a.src = ptr(w.rows, 0)
		}
		at := d%s.slots*s.plane + (b-b0)*s.block
		for h := p.h0; h < p.h1; h += cellSide {
			for i := range a.rows {
				a.rows[i] = -1
				if y := h - 1 + i; y >= 0 && y < grid[1] {
					a.rows[i] = (y - first) * row
				}
			}
			a.points = ptr(w.scratch, at/4)
			s.kernels.input(a)
			at += s.columns * pixelBytes
		}
	}
}

// upsample computes the rows of an upsampled block and returns the first of them.
func (s *cells) upsample(w *worker, p part, d, b int) int {
	grid := s.pack.grid
	first := max(0, p.h0-1)
	last := min(grid[1], p.h1+cellSide)
	s.pack.blocks[b].src.up.rows(w, p.n, d, first, last-first, s.pack.blocks[b].block, ptr(w.rows, 0), grid[2]*pixelBytes)
	return first
}

// cellsOf returns how many cells a part has in a plane.
func (s *cells) cellsOf(p part) int { return ceilDiv(p.h1-p.h0, cellSide) * s.columns }
