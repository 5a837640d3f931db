package cpu

// winogradGradOp is a gradOp of stride 1 whose kernel is 3x3 along H and W: sums of
// products of transformed inputs and transformed output gradients,
//
//	dG = G'[sum over cells of (A dY A') * (B' d B)]G,
//
// transformed back once at the end. Sums are [y block][x block][KD][36 points][16 b]
// [16 a]; transformed gradients lie in scratch after the inputs, [36 points][y block]
// [plane][cell][16].
type winogradGradOp struct {
	*gradOp
	in                       cells
	dyAt                     int // floats of scratch before the gradients
	dyPoint, dyNext, dyPlane int // bytes from point to point, block to block, plane to plane
	runs                     []segment
}

func (o *winogradGradOp) item(w *worker, i int) {
	p := o.part(i)
	sums := o.clear(p)
	for u := p.u0; u < p.u1; u++ {
		o.unit(w, o.units.part(u), p, sums)
	}
}

// unit adds one piece of the volume, some planes at a time.
func (o *winogradGradOp) unit(w *worker, u part, p gradPart, sums []float32) {
	packed := 0
	for d := u.d0; d < u.d1; d += o.planes {
		to := min(u.d1, d+o.planes)
		first, count := span(o.taps[0], d, to)
		for id := max(first, packed); id < first+count; id++ {
			o.in.input(w, u, id, p.b0, p.b1)
			packed = id + 1
		}
		o.outputGrad(w, u, p, d, to)
		o.list(w, d, to)
		for q := range winogradPoints {
			o.multiply(w, q, u, p, sums)
		}
	}
}

// outputGrad transforms planes of the output's gradient.
func (o *winogradGradOp) outputGrad(w *worker, u part, p gradPart, d0, d1 int) {
	a := &w.winograd.output
	a.px, a.row, a.point = o.out[2], o.out[2]*pixelBytes, o.dyPoint
	first, end := o.blocksOf(p)
	for b := first; b < end; b++ {
		for d := d0; d < d1; d++ {
			o.sumY(w, u, p, b, d)
			at := 4*o.dyAt + (b-first)*o.dyNext + (d-d0)*o.dyPlane
			for h := u.h0; h < u.h1; h += cellSide {
				a.rows = min(cellSide, u.h1-h)
				a.out = ptr(o.ySource.data, o.ySource.at(u.n, b)+(d*o.out[1]+h)*o.out[2]*lanes)
				a.points = ptr(w.scratch, at/4)
				o.in.kernels.outputGrad(a)
				at += o.in.columns * pixelBytes
			}
		}
	}
}

// list pairs planes of the input and of the gradient, for one kernel plane after
// another; starts has where each list begins and, last, where all end.
func (o *winogradGradOp) list(w *worker, d0, d1 int) {
	n := 0
	for kd := range o.kd {
		w.starts[kd] = n
		for d := d0; d < d1; d++ {
			for _, t := range o.taps[0][d] {
				if t.k == kd {
					w.pairs[n] = rowPair{t.in % o.in.slots * o.in.plane, (d - d0) * o.dyPlane}
					n++
				}
			}
		}
	}
	w.starts[o.kd] = n
}

// multiply adds the products of one point to the sums of all groups and blocks.
func (o *winogradGradOp) multiply(w *worker, q int, u part, p gradPart, sums []float32) {
	a := &w.grad
	a.px, a.inStep = o.in.cellsOf(u), pixelBytes
	a.dyNext, a.dwNext, a.dwStep = o.dyNext, 4*o.next(), pixelBytes
	first, _ := o.blocksOf(p)
	for kd := range o.kd {
		from, to := w.starts[kd], w.starts[kd+1]
		if from == to {
			continue
		}
		a.list, a.n = &w.pairs[from], to-from
		for _, group := range o.groups[p.g0:p.g1] {
			a.dy = ptr(w.scratch, o.dyAt+(q*o.dyPoint+(group.block-first)*o.dyNext)/4)
			kernel := o.offered()[group.width]
			for b := p.b0; b < p.b1; b++ {
				in := (q*o.in.point + (b-p.b0)*o.in.block) / 4
				at := group.block*o.next() + (b*o.kd+kd)*o.tapFloats + q*lanes*lanes
				for c := 0; c < o.channels[b]; c += kernel.channels {
					a.in, a.dw = ptr(w.scratch, in+c), ptr(sums, at+c*lanes)
					kernel.run(a)
				}
			}
		}
	}
}

// reduce adds the parts of one block of y and transforms them into its part of dW.
func (o *winogradGradOp) reduce(w *worker, dw []float32, block int) {
	sums := o.l.shared[block*o.next():][:o.next()]
	for p := 1; p < o.parts; p++ {
		w.add(o.table, sums, sums, o.l.shared[p*o.size()+block*o.next():][:o.next()])
	}
	dst := dw[block*o.k.next():][:o.k.next()]
	if o.k.b%o.k.rows != 0 {
		clear(dst)
	}
	a := &w.winograd.weight
	a.row, a.step, a.next, a.point = 4*o.k.tapFloats(), o.k.kw*pixelBytes, pixelBytes, lanes*pixelBytes
	for _, s := range o.runs {
		a.n = s.channels
		for kd := range o.kd {
			a.points = ptr(sums, (s.block*o.kd+kd)*o.tapFloats+s.lane*lanes)
			a.weights = ptr(dst, s.w/4+kd*o.k.kh*o.k.tapFloats())
			o.in.kernels.weightGrad(a)
		}
	}
}

// newWinogradGrad turns the plan of a gradient whose inputs are in into one by
// transforms.
func newWinogradGrad(g *gradOp, in []*source) *winogradGradOp {
	g.kh, g.wide, g.tapFloats = 1, false, winogradPoints*lanes*lanes
	o := &winogradGradOp{gradOp: g, runs: segments(in, g.k)}
	o.in = cells{kernels: g.table.winograd, pack: g.x, columns: ceilDiv(g.out[2], cellSide)}
	return o
}

// op cuts the work and finishes the plan.
func (o *winogradGradOp) op(name string, sources []*source, dw []float32) op {
	work := o.work() * o.k.kh
	o.group()
	o.divide(o.l.dev.sizes.parts(work))
	o.dyAt = o.in.place(o.blockSpan)
	o.dyPlane = o.in.block
	o.dyNext = o.planes * o.dyPlane
	o.dyPoint = oddLines(min(2*o.groupSpan, o.ySource.blocks) * o.dyNext)
	l := o.l
	l.needScratch = max(l.needScratch, o.dyAt+winogradPoints*o.dyPoint/4)
	l.needRows = max(l.needRows, o.in.upsampledFloats())
	l.needPairs = max(l.needPairs, o.planes*o.kd)
	l.needStarts = max(l.needStarts, o.kd+1)
	return o.finish(name, sources, o.item, func(w *worker, b int) { o.reduce(w, dw, b) })
}

// divide chooses bands and planes that fit the cache but have cells enough to be
// worth a visit to the sums, then shares them out.
func (o *winogradGradOp) divide(want int) {
	z, all := o.l.dev.sizes, ceilDiv(o.out[1], cellSide)
	row := winogradPoints * o.in.columns * pixelBytes
	bytes := func(rows, planes int) int {
		return row * rows * (ringSlots(o.taps[0], planes)*len(o.channels) + planes*o.ySource.blocks)
	}
	rows := max(1, z.ring/bytes(1, 1), ceilDiv(z.cells, o.in.columns))
	rows = ceilDiv(all, ceilDiv(all, rows))
	o.planes = 1
	for o.planes < min(o.out[0], gradPlanes) && (bytes(rows, o.planes+1) <= z.ring || rows*o.in.columns*o.planes < 4*z.cells) {
		o.planes++
	}
	o.units = cut{batch: o.ySource.batch, h: o.out[1], d: o.out[0], g: 1, bandRows: cellSide * rows, planes: o.out[0], groupSpan: 1}
	o.units.planes = split(o.out[0], min(4, o.out[0]), want, o.units.items())
	o.planes = min(o.planes, o.units.planes)
	o.in.rows, o.in.slots = rows, ringSlots(o.taps[0], o.planes)
	o.share(want, o.units.items())
}
