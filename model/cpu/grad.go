package cpu

// gradOp computes dW[a][b][tap] = sum over positions o of y[a][o] * x[b][i(o, tap)],
// the gradient by weight of a convolution (x its input, y its output's gradient)
// or, with the roles of both exchanged, of a transposed one. Lanes of a vector are
// channels of y; x is packed as for the convolution, so that kernels read it
// through broadcasts.
//
// The volume is cut into parts, each with sums of its own that are added in order
// at the end; groups of y and blocks of x are cut further, which costs nothing but
// packing twice.
type gradOp struct {
	l          *loaded
	table      *table
	kernels    *gradKernels
	k          kernelLayout // of dW
	x          *packer
	y          *packer // nil: read raw from ySource
	ySource    *source
	xBias      *biasSums // or nil; at most one of both
	yBias      *biasSums
	out        [3]int // positions o
	taps       [2][][]tap
	kd, kh     int      // kernel planes and rows as the lists see them
	tapFloats  int      // of the sums of two blocks at one of them
	wide       bool     // three taps along W at once
	columns    []column // else: one call for each, in.in of x and w of dW
	px         int      // kernel steps of a row: pixels, or pairs of them
	inStep     int
	tap1, tap2 int   // of half factors, see gradArgs
	channels   []int // of each block of x
	groups     []gradGroup

	units                                      cut // pieces of the volume; parts are runs of them
	parts, spans, groupSpan, xSpans, blockSpan int
	planes                                     int // output planes that share a list

	slots, blockBytes, planeBytes int // the ring of x
	yAt, yRows                    int // of packed y in scratch, in floats; rows of a plane
	rows                          []gradRow
	sums                          func() []float32 // of all parts
}

// gradGroup is one or two blocks of y.
type gradGroup struct {
	block int
	width width
}

// gradRow maps a row [KW][16] of private sums to its place in dW, in floats within
// a block of y.
type gradRow struct{ from, to, count int }

// size is the length of the sums of one part.
func (g *gradOp) size() int { return g.ySource.blocks * g.next() }

// next is the distance between blocks of y in the sums.
func (g *gradOp) next() int { return len(g.channels) * g.kd * g.kh * g.tapFloats }

func (g *gradOp) items() int { return g.parts * g.spans * g.xSpans }

// gradPart is one item: a run of units, ranges of groups and of blocks of x.
type gradPart struct {
	part           int
	u0, u1         int
	g0, g1, b0, b1 int
}

func (g *gradOp) part(i int) gradPart {
	p := i % g.parts
	i /= g.parts
	s := i % g.spans
	x := i / g.spans
	units := g.units.items()
	return gradPart{
		p, p * units / g.parts, (p + 1) * units / g.parts,
		s * g.groupSpan, min(len(g.groups), (s+1)*g.groupSpan), x * g.blockSpan, min(len(g.channels), (x+1)*g.blockSpan),
	}
}

func (g *gradOp) item(w *worker, i int) {
	p := g.part(i)
	sums := g.clear(p)
	for u := p.u0; u < p.u1; u++ {
		g.unit(w, g.units.part(u), p, sums)
	}
}

// clear zeroes what an item sums and returns the sums of its part.
func (g *gradOp) clear(p gradPart) []float32 {
	g.clearBias(p)
	sums := g.sums()[p.part*g.size():][:g.size()]
	step := g.kd * g.kh * g.tapFloats
	first, end := g.blocksOf(p)
	for b := first; b < end; b++ {
		at := b * g.next()
		clear(sums[at+p.b0*step : at+p.b1*step])
	}
	return sums
}

// blocksOf returns the range of an item's blocks of y.
func (g *gradOp) blocksOf(p gradPart) (first, end int) {
	last := g.groups[p.g1-1]
	return g.groups[p.g0].block, last.block + last.width.blocks()
}

// unit adds one piece of the volume, some planes at a time.
func (g *gradOp) unit(w *worker, u part, p gradPart, sums []float32) {
	row, rows := span(g.taps[1], u.h0, u.h1)
	packed := 0
	for d := u.d0; d < u.d1; d += g.planes {
		to := min(u.d1, d+g.planes)
		first, count := span(g.taps[0], d, to)
		for id := max(first, packed); id < first+count; id++ {
			for b := p.b0; b < p.b1; b++ {
				g.x.rows(w, u.n, id, row, rows, b, id%g.slots*g.planeBytes+(b-p.b0)*g.blockBytes)
				if g.xBias != nil && p.g0 == 0 {
					g.xBias.add(w, g.xBias.of(p.part, b), u.n, b, id, row, rows)
				}
			}
			packed = id + 1
		}
		g.readY(w, u, p, d, to)
		for kd := range g.kd {
			for kh := range g.kh {
				n := g.list(w, u, p, d, to, kd, kh, row)
				if n > 0 {
					g.tap(w, p, u.n, n, kd*g.kh+kh, sums)
				}
			}
		}
	}
}

// clearBias begins the sums of the bias in the items that take them: the first of
// those that read the same rows.
func (g *gradOp) clearBias(p gradPart) {
	if g.yBias != nil && p.b0 == 0 {
		first, end := g.blocksOf(p)
		for b := first; b < end; b++ {
			clear(g.yBias.of(p.part, b))
		}
	}
	if g.xBias != nil && p.g0 == 0 {
		for b := p.b0; b < p.b1; b++ {
			clear(g.xBias.of(p.part, b))
		}
	}
}

// readY packs planes of y where it is not read raw, and sums them for the bias.
func (g *gradOp) readY(w *worker, u part, p gradPart, d0, d1 int) {
	first, end := g.blocksOf(p)
	for b := first; b < end; b++ {
		for d := d0; d < d1; d++ {
			g.sumY(w, u, p, b, d)
			if g.y != nil {
				g.y.rows(w, u.n, d, u.h0, u.h1-u.h0, b, 4*g.yAt+((b-first)*g.planes+d-d0)*g.yRows*g.y.rowBytes)
			}
		}
	}
}

// sumY adds rows of y to the sums of its bias, in the items that take them.
func (g *gradOp) sumY(w *worker, u part, p gradPart, block, d int) {
	if g.yBias != nil && p.b0 == 0 {
		g.yBias.add(w, g.yBias.of(p.part, block), u.n, block, d, u.h0, u.h1-u.h0)
	}
}

// list pairs rows of x and y that meet at a kernel plane and row.
func (g *gradOp) list(w *worker, u part, p gradPart, d0, d1, kd, kh, row int) int {
	n := 0
	for d := d0; d < d1; d++ {
		for _, td := range g.taps[0][d] {
			if td.k != kd {
				continue
			}
			for h := u.h0; h < u.h1; h++ {
				for _, th := range g.taps[1][h] {
					if th.k != kh {
						continue
					}
					dy := (d*g.out[1] + h) * g.out[2] * pixelBytes
					if g.y != nil {
						dy = ((d-d0)*g.yRows + h - u.h0) * g.y.rowBytes
					}
					w.pairs[n] = rowPair{td.in%g.slots*g.planeBytes + (th.in-row)*g.x.rowBytes, dy}
					n++
				}
			}
		}
	}
	return n
}

// tap adds the row pairs of one (kd, kh) to the sums of all groups and blocks.
func (g *gradOp) tap(w *worker, p gradPart, n, pairs, tap int, sums []float32) {
	a := &w.grad
	a.list, a.n, a.px, a.inStep = &w.pairs[0], pairs, g.px, g.inStep
	a.tap1, a.tap2 = g.tap1, g.tap2
	a.dwNext, a.dwStep = 4*g.next(), g.k.kw*pixelBytes
	for _, group := range g.groups[p.g0:p.g1] {
		if g.y == nil {
			a.dy, a.dyNext = ptr(g.ySource.data, g.ySource.at(n, group.block)), 4*g.ySource.voxels*lanes
		} else {
			a.dyNext = g.planes * g.yRows * g.y.rowBytes
			a.dy = ptr(w.scratch, g.yAt+(group.block-g.groups[p.g0].block)*a.dyNext/4)
		}
		kernel := g.offered()[group.width]
		for b := p.b0; b < p.b1; b++ {
			at := group.block*g.next() + (b*g.kd*g.kh+tap)*g.tapFloats
			for c := 0; c < g.channels[b]; c += kernel.channels {
				for _, col := range g.columns {
					a.in = ptr(w.scratch, ((b-p.b0)*g.blockBytes+col.in)/4+c)
					a.dw = ptr(sums, at+c*g.k.kw*lanes+col.w/4)
					kernel.run(a)
				}
			}
		}
	}
}

// offered returns the kernels that a gradient may use.
func (g *gradOp) offered() [widths]gradKernel {
	if g.wide {
		return g.kernels[0]
	}
	return g.kernels[1]
}

// reduce adds the parts of one block of y and assigns its part of dW.
func (g *gradOp) reduce(w *worker, dw []float32, block int) {
	dst := dw[block*g.k.next():][:g.k.next()]
	if g.k.b%g.k.rows != 0 {
		clear(dst)
	}
	for _, r := range g.rows {
		to := dst[r.to:][:r.count]
		for p := range g.parts {
			from := g.sums()[p*g.size()+block*g.next()+r.from:][:r.count]
			if p == 0 {
				copy(to, from)
				continue
			}
			w.add(g.table, to, to, from)
		}
	}
}
