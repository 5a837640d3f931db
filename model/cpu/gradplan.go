package cpu

import "noisystudent/model/program"

// gradPlanes is how many output planes share a list at most.
const gradPlanes = 8

func (l *loaded) newGradOp(k kernelLayout, out [3]int) *gradOp {
	t := l.dev.table
	return &gradOp{l: l, table: t, kernels: &t.wgrad, k: k, out: out, kd: k.kd, kh: k.kh, tapFloats: lanes * k.kw * lanes, px: out[2]}
}

// newWeightGrad plans the gradient of a convolution by its weight.
func (l *loaded) newWeightGrad(i program.ConvWeightGrad) op {
	k := newKernelLayout(l.shape(i.DWeight))
	from, out := l.gridOf(i.In[0]), grid(l.shape(i.DOut))
	g := l.newGradOp(k, out)
	g.wide, g.columns, g.inStep = k.kw > 1, []column{{}}, i.Stride[2]*pixelBytes
	g.taps[0] = forwardTaps(from[0], out[0], k.kd, i.Stride[0], (k.kd-1)/2)
	g.taps[1] = forwardTaps(from[1], out[1], k.kh, i.Stride[1], (k.kh-1)/2)
	g.ySource = l.source(program.View{Buf: i.DOut, Norm: program.None})
	g.yBias = l.newBiasSums(g.ySource, out, i.DBias)
	sources := []*source{g.ySource}
	if l.gathers(i.In, k, i.Stride) {
		g.gatherTaps(i.In[0].Buf)
	} else {
		in := l.sources(i.In)
		sources = append(sources, in...)
		g.mapRows(in)
		if l.half != nil {
			g.pairTaps(in, from, i.Stride[2])
		} else {
			g.x = newPacker(g.table.format(), in, from, []columns{{0, 1, from[2]}}, k.kw > 1)
		}
		if l.transforms(k, i.Stride, g.work()) {
			return newWinogradGrad(g, in).op("conv weight gradient", sources, l.floats(i.DWeight))
		}
	}
	return g.op("conv weight gradient", sources, l.floats(i.DWeight))
}

// newTransposedWeightGrad plans the gradient of a transposed convolution by its
// weight (Cin, Cout, ...): that of a convolution from its output to its input.
func (l *loaded) newTransposedWeightGrad(i program.ConvTransposedWeightGrad) op {
	k := newKernelLayout(l.shape(i.DWeight))
	in, out := grid(l.shape(i.DOut)), grid(l.shape(i.In.Buf))
	g := l.newGradOp(k, out)
	g.inStep = k.kw * pixelBytes
	g.taps[0] = forwardTaps(in[0], out[0], k.kd, k.kd, 0)
	g.taps[1] = forwardTaps(in[1], out[1], k.kh, k.kh, 0)
	g.ySource = l.source(i.In)
	x := l.sources([]program.View{{Buf: i.DOut, Norm: program.None}})
	g.mapRows(x)
	g.xBias = l.newBiasSums(x[0], in, i.DBias)
	if l.half != nil {
		g.pairColumns(x, in)
	} else {
		g.floatColumns(x, in)
	}
	return g.op("transposed conv weight gradient", append(x, g.ySource), l.floats(i.DWeight))
}

// gatherTaps plans the reading of a plain image: its (KD, KH) taps are channels.
func (g *gradOp) gatherTaps(id program.ID) {
	g.x = g.l.gatherPacker(id, g.k, g.taps)
	g.channels = []int{g.k.taps()}
	g.kd, g.kh, g.taps = 1, 1, identityTaps(g.out)
	for r, row := 0, g.k.kw*lanes; r < g.k.taps(); r++ {
		g.rows = append(g.rows, gradRow{r * row, r * row, row})
	}
}

// floatColumns plans what a transposed convolution's gradient by weight reads.
func (g *gradOp) floatColumns(x []*source, in [3]int) {
	for j := range g.k.kw {
		g.columns = append(g.columns, column{j * pixelBytes, j * pixelBytes})
	}
	g.x = newPacker(g.table.format(), x, in, []columns{{0, 1, in[2]}}, false)
	if g.ySource.norm != nil {
		g.y = newPacker(g.table.format(), []*source{g.ySource}, g.out, []columns{{0, 1, g.out[2]}}, false)
	}
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
func (g *gradOp) op(name string, sources []*source, dw []float32) op {
	g.group()
	g.divide()
	g.layScratch()
	if g.parts == 1 && g.straight() {
		g.sums = func() []float32 { return dw }
		return g.finish(name, sources, g.item, nil)
	}
	return g.finish(name, sources, g.item, func(w *worker, b int) { g.reduce(w, dw, b) })
}

// finish puts the phases of a plan together; reduce takes a block of y from shared
// memory, and is nil where sums lie elsewhere.
func (g *gradOp) finish(name string, sources []*source, item, reduce func(w *worker, i int)) op {
	phases := append([]phase{once(func() { prepare(sources) })}, turns(sources)...)
	phases = append(phases, each(g.items(), item))
	if reduce != nil {
		g.l.needShared = max(g.l.needShared, g.parts*g.size())
		g.sums = func() []float32 { return g.l.shared }
		phases = append(phases, phase{g.ySource.blocks, reduce, g.parts * g.size()})
	}
	for _, bias := range []*biasSums{g.xBias, g.yBias} {
		if bias != nil {
			bias.plan(g.parts)
			phases = append(phases, once(bias.finish))
		}
	}
	return op{name, phases}
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
	return g.offered()[v].run != nil
}

// straight reports whether sums lie as dW does, so that one part needs no other place.
func (g *gradOp) straight() bool {
	if g.k.rows != lanes || g.k.b%lanes != 0 {
		return false
	}
	for _, r := range g.rows {
		if r.from != r.to {
			return false
		}
	}
	return true
}

// work counts multiply-adds, without regard to padding.
func (g *gradOp) work() int {
	channels := 0
	for _, n := range g.channels {
		channels += n
	}
	return g.ySource.batch * g.ySource.voxels * g.ySource.blocks * lanes * channels * g.kd * g.kh * g.k.kw
}

// divide chooses units, parts and spans by shape alone, parts first: few voxels of
// many channels are cut into spans, of which each has more rows at hand.
func (g *gradOp) divide() {
	s, z, work := g.ySource, g.l.dev.sizes, g.work()
	want := z.parts(work)
	g.share(want, want)
	z.items = g.parts
	rows := g.blockSpan * g.x.rowBytes
	k := cutting{batch: s.batch, groups: 1, out: g.out, taps: g.taps, slots: max(1, widest(g.taps[0], 1)), rowBytes: rows, work: work, sizes: z}
	g.units = k.cut()
	g.share(want, g.units.items())
	g.planes = min(g.units.planes, gradPlanes)
	for g.planes > 1 && widest(g.taps[0], g.planes)*widest(g.taps[1], g.units.bandRows)*rows > z.ring {
		g.planes--
	}
}

// share makes so many items, where it can, of up to most parts, groups and blocks.
// Parts cost a copy of the sums each, spans that rows are packed again: copies are no
// more than the values that go in are worth.
func (g *gradOp) share(want, most int) {
	z, values := g.l.dev.sizes, g.ySource.batch*g.ySource.voxels*(g.ySource.blocks+len(g.channels))*lanes
	g.parts = max(1, min(want, most, z.sums/(4*g.size()), values*z.copies/g.size()))
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
