package cpu

import "noisystudent/model/program"

// gradPlanes is how many output planes share a list at most.
const gradPlanes = 8

// newWeightGrad plans the gradient of a convolution by its weight.
func (l *loaded) newWeightGrad(i program.ConvWeightGrad) op {
	k := newKernelLayout(l.shape(i.DWeight))
	from, out := grid(l.shape(i.In[0].Buf)), grid(l.shape(i.DOut))
	g := &gradOp{l: l, table: l.dev.table, kernels: &l.dev.table.wgrad, k: k, out: out, kd: k.kd, kh: k.kh, wide: k.kw > 1, columns: []column{{}}}
	g.taps[0] = forwardTaps(from[0], out[0], k.kd, i.Stride[0], (k.kd-1)/2)
	g.taps[1] = forwardTaps(from[1], out[1], k.kh, i.Stride[1], (k.kh-1)/2)
	g.px, g.inStep = out[2], i.Stride[2]*pixelBytes
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
		g.mapRows(in)
		if l.half != nil {
			g.pairTaps(in, from, i.Stride[2])
		} else {
			g.x = newPacker(g.table.format(), in, from, []columns{{0, 1, from[2]}}, k.kw > 1)
		}
	}
	return g.op("conv weight gradient", sources, l.floats(i.DWeight), l.sumOf(i.DOut, i.DBias))
}

// newTransposedWeightGrad plans the gradient of a transposed convolution by its
// weight (Cin, Cout, ...): that of a convolution from its output to its input.
func (l *loaded) newTransposedWeightGrad(i program.ConvTransposedWeightGrad) op {
	k := newKernelLayout(l.shape(i.DWeight))
	in, out := grid(l.shape(i.DOut)), grid(l.shape(i.In.Buf))
	g := &gradOp{l: l, table: l.dev.table, kernels: &l.dev.table.wgrad, k: k, out: out, kd: k.kd, kh: k.kh, px: out[2], inStep: k.kw * pixelBytes}
	g.taps[0] = forwardTaps(in[0], out[0], k.kd, k.kd, 0)
	g.taps[1] = forwardTaps(in[1], out[1], k.kh, k.kh, 0)
	g.ySource = l.source(i.In)
	x := l.sources([]program.View{{Buf: i.DOut, Norm: program.None}})
	g.mapRows(x)
	if l.half != nil {
		g.pairColumns(x, in)
		return g.op("transposed conv weight gradient", append(x, g.ySource), l.floats(i.DWeight), l.sumOf(i.DOut, i.DBias))
	}
	for j := range k.kw {
		g.columns = append(g.columns, column{j * pixelBytes, j * pixelBytes})
	}
	g.x = newPacker(g.table.format(), x, in, []columns{{0, 1, in[2]}}, false)
	if g.ySource.norm != nil {
		g.y = newPacker(g.table.format(), []*source{g.ySource}, out, []columns{{0, 1, out[2]}}, false)
	}
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
			from := len(g.channels) * taps * g.tapFloats()
			g.channels = append(g.channels, n)
			if n == lanes && first%lanes == 0 {
				g.rows = append(g.rows, gradRow{from, g.k.row(first, 0), taps * g.tapFloats()})
			} else {
				for tap := range taps {
					for c := range n {
						g.rows = append(g.rows, gradRow{from + tap*g.tapFloats() + c*row, g.k.row(first+c, tap), row})
					}
				}
			}
			first += n
		}
	}
}

// op cuts the work and finishes the plan.
func (g *gradOp) op(name string, sources []*source, dw []float32, bias []phase) op {
	vectors := 1
	if g.kernelVectors() {
		vectors = 2
	}
	for b := 0; b < g.ySource.blocks; b += vectors {
		g.groups = append(g.groups, gradGroup{b, min(vectors, g.ySource.blocks-b)})
	}
	g.divide()
	l := g.l
	l.needShared = max(l.needShared, g.parts*g.size())
	g.layScratch()
	phases := []phase{
		once(func() { prepare(sources) }),
		each(g.items(), g.item),
		{g.ySource.blocks, func(_ *worker, b int) { g.reduce(dw, b) }, g.parts * g.size()},
	}
	return op{name, append(phases, bias...)}
}

func (g *gradOp) kernelVectors() bool {
	return g.kernel(2).run != nil
}

// divide chooses units, parts and spans by shape alone.
func (g *gradOp) divide() {
	s, z := g.ySource, g.l.dev.sizes
	channels := 0
	for _, n := range g.channels {
		channels += n
	}
	work := s.batch * s.voxels * s.blocks * lanes * channels * g.kd * g.kh * g.k.kw
	want := z.parts(work)
	rows := len(g.channels) * g.x.rowBytes
	k := cutting{batch: s.batch, groups: 1, out: g.out, taps: g.taps, slots: max(1, widest(g.taps[0], 1)), rowBytes: rows, work: work, sizes: z}
	g.units = k.cut()
	g.parts = max(1, min(want, g.units.items(), z.sums/(4*g.size())))
	g.groupSpan = split(len(g.groups), 1, want, g.parts)
	g.spans = ceilDiv(len(g.groups), g.groupSpan)
	g.blockSpan = split(len(g.channels), 1, want, g.parts*g.spans)
	g.xSpans = ceilDiv(len(g.channels), g.blockSpan)
	g.planes = min(g.units.planes, gradPlanes)
	for g.planes > 1 && widest(g.taps[0], g.planes)*widest(g.taps[1], g.units.bandRows)*rows > z.ring {
		g.planes--
	}
}

// layScratch places the ring and packed y.
func (g *gradOp) layScratch() {
	// Ranges of planes begin anywhere, so the ring takes the widest span of any run.
	g.slots = 1
	for d := range g.taps[0] {
		_, n := span(g.taps[0], d, min(len(g.taps[0]), d+g.planes))
		g.slots = max(g.slots, n)
	}
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
