package cpu

import "unsafe"

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

// winogradKernels are the transforms of a path. Products are its conv kernels of kind
// point, with squares for pixels.
type winogradKernels struct {
	input  func(*winogradInputArgs)
	weight func(*winogradWeightArgs)
	output func(*winogradOutputArgs)
}

// winogradInputArgs transforms a row of squares from four rows of px pixels, seen
// through a view as packArgs has it: row i is pixel row i-1 of the squares' outputs.
// Point by point, dst gets a vector per square.
type winogradInputArgs struct {
	dst, src, scale, shift unsafe.Pointer
	rows                   [4]int // byte offsets of rows from src; negative: a row of zeros
	px                     int
	point                  int // from one point to the next
	slope                  float32
}

// winogradWeightArgs transforms the 3x3 weights of n input channels.
type winogradWeightArgs struct {
	dst, src         unsafe.Pointer
	row              int // from one kernel row to the next
	n                int
	srcStep, dstStep int // from channel to channel
	point            int
}

// winogradOutputArgs turns the points of a row of squares into two rows of px pixels:
// out = sums, or out + sums.
type winogradOutputArgs struct {
	src, out unsafe.Pointer
	row      int // from the upper row of outputs to the lower, 0 where there is none
	px       int
	point    int
	add      int
}

// winogradOp is a convOp of stride 1 whose kernel is 3x3 along H and W. The kernel's
// planes stay taps: sums run over them and over channels before they are transformed
// back.
//
// Transformed inputs lie in a worker's scratch, [16 points][plane of the ring][block]
// [square][16], and the sums of a group after them, [16 points][ov][square][16];
// transformed weights in shared memory, [group][16 points][segment][KD][channel][ov][16].
type winogradOp struct {
	*convOp
	kernels *winogradKernels
	columns int          // squares of a row
	rows    int          // of squares in a band
	tiles   [2][2][]tile // of a band, by ov-1; the last band may have fewer rows
	zero    []float32    // the bias of points that have none

	point, plane, block int // bytes between transformed inputs
	sumsAt              int // floats of scratch before the sums
	sumsPoint, sumsNext int // bytes
	weightsAt           int // floats of shared memory before the weights
	weightPoint         int // bytes
	vectors             int // of output channels that lie together
	kd                  int
	flip                bool
}

// item computes one part, as convOp.item does.
func (o *winogradOp) item(w *worker, i int) {
	p := o.cut.part(i)
	packed := 0
	for d := p.d0; d < p.d1; d++ {
		first, count := span(o.taps[0], d, d+1)
		for id := max(first, packed); id < first+count; id++ {
			o.input(w, p, id)
			packed = id + 1
		}
		n := o.list(w, d)
		for g := p.g0; g < p.g1; g++ {
			o.multiply(w, g, p, n)
			o.output(w, &o.groups[g], p, d)
			if o.moments != nil {
				o.moments.plane(w, &o.groups[g], p, d)
			}
		}
	}
}

// input transforms the rows of one input plane that a part needs.
func (o *winogradOp) input(w *worker, p part, d int) {
	a, grid := &w.winograd.input, o.pack.grid
	a.px, a.point = grid[2], o.point
	row := grid[2] * pixelBytes
	for b, from := range o.pack.blocks {
		src := from.src
		lane := (p.n*src.blocks + from.block) * lanes
		a.scale, a.shift, a.slope = ptr(src.scale, lane), ptr(src.shift, lane), src.slope
		a.src = ptr(src.data, src.at(p.n, from.block)+d*grid[1]*grid[2]*lanes)
		at := d%o.slots*o.plane + b*o.block
		for h := p.h0; h < p.h1; h += 2 {
			for i := range a.rows {
				a.rows[i] = -1
				if y := h - 1 + i; y >= 0 && y < grid[1] {
					a.rows[i] = y * row
				}
			}
			a.dst = ptr(w.scratch, at/4)
			o.kernels.input(a)
			at += o.columns * pixelBytes
		}
	}
}

// list writes the entries of output plane d and returns how many there are.
func (o *winogradOp) list(w *worker, d int) int {
	n, before := 0, 0
	for _, s := range o.segments {
		for _, t := range o.taps[0][d] {
			w.lists[n] = entry{
				in:       t.in%o.slots*o.plane + s.block*o.block + 4*s.lane,
				w:        (before*o.kd + t.k*s.channels) * o.vectors * pixelBytes,
				channels: s.channels,
			}
			n++
		}
		before += s.channels
	}
	return n
}

// multiply sums products for a group.
func (o *winogradOp) multiply(w *worker, g int, p part, n int) {
	group := &o.groups[g]
	tiles := o.tiles[group.ov-1][0]
	if p.h1-p.h0 <= 2*(o.rows-1) {
		tiles = o.tiles[group.ov-1][1]
	}
	a, kernels := &w.conv, o.table.conv[point][group.ov-1]
	a.list, a.n, a.add = &w.lists[0], n, 0
	a.wNext, a.wStep, a.outNext, a.outStep = pixelBytes, o.vectors*pixelBytes, o.sumsNext, pixelBytes
	weights := o.weightsAt + g*winogradPoints*o.weightPoint/4
	for q := range winogradPoints {
		a.bias = ptr(o.zero, 0)
		if q == biasPoint {
			a.bias = ptr(o.biases, group.bias)
		}
		a.w = ptr(o.l.shared, weights+q*o.weightPoint/4)
		for _, t := range tiles {
			a.in = ptr(w.scratch, q*o.point/4+t.x*lanes)
			a.out = ptr(w.scratch, o.sumsAt+q*o.sumsPoint/4+t.x*lanes)
			kernels[t.px](a)
		}
	}
}

// output transforms the sums of a group into rows of output plane d.
func (o *winogradOp) output(w *worker, g *group, p part, d int) {
	a := &w.winograd.output
	a.px, a.point, a.add = o.out[2], o.sumsPoint, 0
	if g.add {
		a.add = 1
	}
	for v := range g.ov {
		for h := p.h0; h < p.h1; h += 2 {
			a.row = 0
			if h+1 < p.h1 {
				a.row = o.out[2] * pixelBytes
			}
			a.src = ptr(w.scratch, o.sumsAt+v*o.sumsNext/4+(h-p.h0)/2*o.columns*lanes)
			a.out = ptr(g.data, g.at+p.n*g.batch+v*g.next/4+(d*o.out[1]+h)*o.out[2]*lanes)
			o.kernels.output(a)
		}
	}
}
