package cpu

// The gradient by weight sums over pixels, so that its pairs are pixels 2i and
// 2i+1 of an output row and what they meet of x at a tap. A row of x is packed for
// even and for odd beginnings, hence no pair is read across two vectors.

// pairBytes is a pair of pixels of a block.
const pairBytes = pixelBytes

// newPairPacker plans rows of pairs, one run of them for each of the columns. With
// shifted, pairs that begin one pixel earlier follow those of the first.
func newPairPacker(h *halfTable, in []*source, grid [3]int, cols []columns, shifted bool) *packer {
	p := newPacker(format{pack: h.pairs}, in, grid, nil, false)
	for i, c := range cols {
		part, size := packed{columns: c, at: p.rowBytes}, (c.count/2+1)*pairBytes
		p.rowBytes += size
		if i == 0 && shifted {
			part.pad = size
			p.rowBytes += size + pairBytes
		}
		p.parts = append(p.parts, part)
	}
	return p
}

// pairTaps plans what a convolution's gradient by weight reads. Output pixel o
// meets input pixels o-1, o, o+1; with stride 2 odd pixel o-1, even o, odd o of a
// row that is cut into odd and even ones.
func (g *gradOp) pairTaps(in []*source, from [3]int, stride int) {
	h, w := g.l.half, from[2]
	switch {
	case !g.wide:
		g.x = newPairPacker(h, in, from, []columns{{0, stride, g.out[2]}}, false)
	case stride == 1:
		g.x = newPairPacker(h, in, from, []columns{{0, 1, w}}, true)
		first := g.x.parts[0].pad
		g.columns[0].in, g.tap1, g.tap2 = first, -first, pairBytes
	default:
		g.x = newPairPacker(h, in, from, []columns{{min(1, w-1), 2, w / 2}, {0, 2, g.out[2]}}, true)
		first := g.x.parts[0].pad
		g.columns[0].in, g.tap1, g.tap2 = first, g.x.parts[1].at-first, -first
	}
	g.pairY()
}

// pairColumns plans what a transposed convolution's gradient by weight reads: each
// tap has pixels of its own.
func (g *gradOp) pairColumns(x []*source, in [3]int) {
	var cols []columns
	for j := range g.k.kw {
		cols = append(cols, columns{j, g.k.kw, g.out[2]})
	}
	g.x = newPairPacker(g.l.half, x, in, cols, false)
	for j, part := range g.x.parts {
		g.columns = append(g.columns, column{part.at, j * pixelBytes})
	}
	g.pairY()
}

// pairY plans the pairs of y.
func (g *gradOp) pairY() {
	g.kernels, g.px = &g.l.half.wgrad, pairs(g.out[2])
	g.y = newPairPacker(g.l.half, []*source{g.ySource}, g.out, []columns{{0, 1, g.out[2]}}, false)
}
