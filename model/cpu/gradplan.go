package cpu

import "noisystudent/model/program"

// gradPlanes is how many output planes share a list at most.
const gradPlanes = 8

// newWeightGrad plans the gradient of a convolution by its weight.
func (l *loaded) newWeightGrad(i program.ConvWeightGrad) op {
	k := newKernelLayout(l.shape(i.DWeight))
	from, out := l.gridOf(i.In[0]), grid(l.shape(i.DOut))
	g := &gradOp{l: l, table: l.dev.table, k: k, out: out, kd: k.kd, kh: k.kh, wide: k.kw > 1, columns: []column{{}}}
	g.tapFloats = lanes * k.kw * lanes
	g.taps[0] = forwardTaps(from[0], out[0], k.kd, i.Stride[0], (k.kd-1)/2)
	g.taps[1] = forwardTaps(from[1], out[1], k.kh, i.Stride[1], (k.kh-1)/2)
	g.inStep = i.Stride[2] * pixelBytes
	g.ySource = l.source(program.View{Buf: i.DOut, Norm: program.None})
	sources := []*source{g.ySource}
	if l.gathers(i.In, k, i.Stride) {
		g.x = l.gatherPacker(i.In[0].Buf, k, g.taps)
		g.channels = []int{k.taps()}
		g.kd, g.kh, g.taps = 1, 1, identityTaps(out)
		for r := range k.taps() {
			g.rows = append(g.rows, gradRow{r * k.kw * lanes, r * k.kw * lanes, k.kw * lanes})
		}
	} else {
		in := l.sources(i.In)
		sources = append(sources, in...)
		g.x = newPacker(g.table, in, from, []columns{{0, 1, from[2]}}, k.kw > 1)
		g.mapRows(in)
		if l.transforms(k, i.Stride, g.work()) {
			return newWinogradGrad(g, in).op("conv weight gradient", sources, l.floats(i.DWeight), l.sumOf(i.DOut, i.DBias))
		}
	}
	return g.op("conv weight gradient", sources, l.floats(i.DWeight), l.sumOf(i.DOut, i.DBias))
}

// newTransposedWeightGrad plans the gradient of a transposed convolution by its
// weight (Cin, Cout, ...): that of a convolution from its output to its input.
func (l *loaded) newTransposedWeightGrad(i program.ConvTransposedWeightGrad) op {
	k := newKernelLayout(l.shape(i.DWeight))
	in, out := grid(l.shape(i.DOut)), grid(l.shape(i.In.Buf))
	g := &gradOp{l: l, table: l.dev.table, k: k, out: out, kd: k.kd, kh: k.kh, inStep: k.kw * pixelBytes}
	g.tapFloats = lanes * k.kw * lanes
	g.taps[0] = forwardTaps(in[0], out[0], k.kd, k.kd, 0)
	g.taps[1] = forwardTaps(in[1], out[1], k.kh, k.kh, 0)
	for j := range k.kw {
		g.columns = append(g.columns, column{j * pixelBytes, j * pixelBytes})
	}
	g.ySource = l.source(i.In)
	x := l.sources([]program.View{{Buf: i.DOut, Norm: program.None}})
	g.x = newPacker(g.table, x, in, []columns{{0, 1, in[2]}}, false)
	if g.ySource.norm != nil {
		g.y = newPacker(g.table, []*source{g.ySource}, out, []columns{{0, 1, out[2]}}, false)
	}
	g.mapRows(x)
	return g.op("transposed conv weight gradient", append(x, g.ySource), l.floats(i.DWeight), l.sumOf(i.DOut, i.DBias))
}

// mapRows notes where the rows of private sums go in dW. Whole blocks that lie alike
// in both move as one.
func (g *gradOp) mapRows(in []*source) {
	taps, row := g.kd*g.kh, g.k.kw*lanes
	first := 0
	for _, s := range in {
		for b := range s.blocks {
			n := min(lanes, s.channels-b*lanes)
			from := len(g.channels) * taps * g.tapFloats
			g.channels = append(g.channels, n)
			if n == lanes && first%lanes == 0 {
				g.rows = append(g.rows, gradRow{from, g.k.row(first, 0), taps * g.tapFloats})
			} else {
				for tap := range taps {
					for c := range n {
						g.rows = append(g.rows, gradRow{from + tap*g.tapFloats + c*row, g.k.row(first+c, tap), row})
					}
				}
			}
			first += n
		}
	}
}

// op cuts the work and finishes the plan.
func (g *gradOp) op(name string, sources []*source, dw []float32, bias []phase) op {
	g.group()
	g.divide()
	g.layScratch()
	return g.finish(name, sources, g.item, func(w *worker, b int) { g.reduce(w, dw, b) }, bias)
}

// finish puts the phases of a plan together; reduce takes a block of y.
func (g *gradOp) finish(name string, sources []*source, item, reduce func(w *worker, i int), bias []phase) op {
	g.l.needShared = max(g.l.needShared, g.parts*g.size())
	phases := append([]phase{once(func() { prepare(sources) })}, turns(sources)...)
	phases = append(phases, each(g.items(), item), phase{g.ySource.blocks, reduce, g.parts * g.size()})
	return op{name, append(phases, bias...)}
}

// group makes the groups of y.
func (g *gradOp) group() {
	for b := 0; b < g.ySource.blocks; {
		v := widthFor(g.ySource.channels-b*lanes, g.offers)
		g.groups = append(g.groups, gradGroup{b, v})
		b += v.blocks()
	}
}

// offers reports whether there are kernels of a width. Those of half a block with
// three taps take input pixels that lie next to each other.
func (g *gradOp) offers(v width) bool {
	if v == half && g.wide && g.inStep != pixelBytes {
		return false
	}
	return g.kernels()[v].run != nil
}

// work counts multiply-adds, without regard to padding.
func (g *gradOp) work() int {
	channels := 0
	for _, n := range g.channels {
		channels += n
	}
	return g.ySource.batch * g.ySource.voxels * g.ySource.blocks * lanes * channels * g.kd * g.kh * g.k.kw
}

// divide chooses units, parts and spans by shape alone.
func (g *gradOp) divide() {
	z, work := g.l.dev.sizes, g.work()
	rows := len(g.channels) * g.x.rowBytes
	k := cutting{batch: g.ySource.batch, groups: 1, out: g.out, taps: g.taps, slots: max(1, widest(g.taps[0], 1)), rowBytes: rows, work: work, sizes: z}
	g.units = k.cut()
	g.share(z.parts(work))
	g.planes = min(g.units.planes, gradPlanes)
	for g.planes > 1 && widest(g.taps[0], g.planes)*widest(g.taps[1], g.units.bandRows)*rows > z.ring {
		g.planes--
	}
}

// share makes so many items, where it can, of units, groups and blocks.
func (g *gradOp) share(want int) {
	g.parts = max(1, min(want, g.units.items(), g.l.dev.sizes.sums/(4*g.size())))
	g.groupSpan = split(len(g.groups), 1, want, g.parts)
	g.spans = ceilDiv(len(g.groups), g.groupSpan)
	g.blockSpan = split(len(g.channels), 1, want, g.parts*g.spans)
	g.xSpans = ceilDiv(len(g.channels), g.blockSpan)
}

// layScratch places the ring and packed y.
func (g *gradOp) layScratch() {
	g.slots = ringSlots(g.taps[0], g.planes)
	g.blockBytes = max(1, widest(g.taps[1], g.units.bandRows)) * g.x.rowBytes
	g.planeBytes = g.blockSpan * g.blockBytes
	g.yAt, g.yRows = g.slots*g.planeBytes/4, g.units.bandRows
	need := g.yAt
	if g.y != nil {
		need += g.groupSpan * 2 * g.planes * g.yRows * g.y.rowBytes / 4
	}
	g.l.needScratch = max(g.l.needScratch, need)
	g.l.needPairs = max(g.l.needPairs, g.planes*g.units.bandRows)
}

// sumOf plans a bias gradient: the sum of an activation over all but its channels.
func (l *loaded) sumOf(from, to program.ID) []phase {
	if to == program.None {
		return nil
	}
	r := l.newReduction(from)
	r.zero = aligned(lanes)
	out := l.floats(to)
	return append(r.phases(), once(func() {
		for c := range out {
			out[c] = float32(r.sum(c))
		}
	}))
}
