package cpu

import (
	"unsafe"

	"noisystudent/model/program"
)

// Winograd's F(2x4, 3x3): a cell of 2x4 outputs (along H and W) of a 3x3 kernel takes 24
// products for each pair of channels instead of 72. Four by six pixels and three by
// three weights are transformed to 24 points each, multiplied point by point, summed
// over channels and kernel planes, and the sums are transformed back (Lavin and Gray
// 2016):
//
//	Y = A'[(G g H') * (B' d C)]E
//
// where B', G and A' are those of F(2, 3), along H,
//
//	B' = 1  0 -1  0    G = 1    0    0      A' = 1  1  1  0
//	     0  1  1  0        1/2  1/2  1/2         0  1 -1 -1
//	     0 -1  1  0        1/2 -1/2  1/2
//	     0  1  0 -1        0    0    1
//
// and C, H and E those of F(4, 3) with the points 0, +-a, +-b and infinity, a = 1/b =
// sqrt(1/2), which round less than 1 and 2 (p is a point, q the other of a and b):
//
//	C' = 1  0  -5/2  0   1  0    H = 1        0        0          E' = 1  1    1   ... 0
//	     0 -pq2 -q2  p   1  0        f        f p      f p2            0  p   -p   ... 0
//	     0  pq2 -q2 -p   1  0        f       -f p      f p2            0  p2   p2  ... 0
//	     ...                         ...                               0  p3  -p3  ... 1
//	     0  1   0  -5/2  0  1        0        0        1
//
// with f = -2/3 for a and 1/6 for b.

const (
	cellHeight     = 2
	cellWidth      = 4
	winogradPoints = (cellHeight + 2) * (cellWidth + 2)
)

// winogradKernels are the transforms of a path. What multiplies are its kernels for one
// tap, with cells for pixels.
type winogradKernels struct {
	input  func(*winogradInputArgs)  // B' d C
	weight func(*winogradWeightArgs) // G g H'
	output func(*winogradOutputArgs) // A' y E
	// The transposes of the last two. The sign of A's last row is left out of the one and
	// comes back in the other.
	outputGrad func(*winogradOutputArgs)
	weightGrad func(*winogradWeightArgs)
}

// winogradInputArgs transforms a row of cells from four rows of px pixels, seen
// through a view as packArgs has it: row i is pixel row i-1 of the cells' outputs.
// Each point gets a vector per cell.
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

// winogradOutputArgs turns the points of a row of cells into two rows of px pixels,
// plus the bias of their channels,
// which it assigns or, with add, adds; or pixels into points, without a bias.
type winogradOutputArgs struct {
	points, out, bias unsafe.Pointer
	row               int // from the upper row of pixels to the lower, 0 where there is none
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

// cells are the transformed inputs that a worker holds in scratch, [24 points][plane
// of a ring][block][row of cells][column][16]; distances are in bytes.
type cells struct {
	kernels             *winogradKernels
	pack                *packer // of which only the blocks and the grid count
	columns             int     // of cells in a row
	rows                int     // of cells in a band
	slots               int     // planes of the ring
	point, plane, block int
}

// oddLines makes a distance between points odd in cache lines: 24 points are
// written in turn, and would meet in few sets of the cache.
func oddLines(bytes int) int { return bytes | pixelBytes }

// place lays out blocks of a part's input and returns the bytes that all take.
func (s *cells) place(blocks int) int {
	s.block = s.rows * s.columns * pixelBytes
	s.plane = blocks * s.block
	s.point = oddLines(s.slots * s.plane)
	return winogradPoints * s.point
}

// upsampledFloats is the length of the longest run of rows of an upsampled source.
func (s *cells) upsampledFloats() int {
	for _, b := range s.pack.blocks {
		if b.src.up != nil {
			return (s.rows*cellHeight + cellHeight + 1) * s.pack.grid[2] * lanes
		}
	}
	return 0
}

// input transforms what a part's rows need of plane d of blocks [b0, b1).
func (s *cells) input(w *worker, p part, d, b0, b1 int) {
	a, grid := &w.winograd.input, s.pack.grid
	a.px, a.point = grid[2], s.point
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
		for h := p.h0; h < p.h1; h += cellHeight {
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
	last := min(grid[1], p.h1+cellHeight)
	s.pack.blocks[b].src.up.rows(w, p.n, d, first, last-first, s.pack.blocks[b].block, ptr(w.rows, 0), grid[2]*pixelBytes)
	return first
}

// cellsOf returns how many cells a part has in a plane.
func (s *cells) cellsOf(p part) int { return ceilDiv(p.h1-p.h0, cellHeight) * s.columns }
