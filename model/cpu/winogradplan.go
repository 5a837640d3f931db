package cpu

// Transformed weights are four times the weights. Where they outgrow the third-level cache
// and few voxels share them, bringing them costs more than the products they save.
const (
	winogradCache  = 8 << 20 // bytes
	winogradVoxels = 256
)

// winograd makes a winogradOp of a planned convolution or, with flip, of a planned data
// gradient, which meets kernel rows in reverse. Its weights lie as k says. It is nil
// where the convolution is to be computed directly.
func (c *convOp) winograd(k kernelLayout, stride [3]int, flip bool) *winogradOp {
	if c.pack.gather != nil || !c.l.transforms(k, stride, c.work()) {
		return nil
	}
	weights, voxels := winogradPoints*blocks(k.a)*blocks(k.b)*k.kd*lanes*pixelBytes, c.batch*c.out[0]*c.out[1]*c.out[2]
	if weights > winogradCache && voxels < winogradVoxels {
		return nil
	}
	in := cells{kernels: c.table.winograd, pack: c.pack, columns: ceilDiv(c.out[2], cellSide), slots: ringSlots(c.taps[0], 1)}
	o := &winogradOp{convOp: c, in: in, kd: k.kd, flip: flip}
	for _, g := range c.groups {
		o.vectors = max(o.vectors, g.width.blocks())
	}
	o.zero = aligned(o.vectors * lanes)
	return o
}

// op finishes the plan. Weights come after what shared memory holds already: those
// that a data gradient has turned.
func (o *winogradOp) op(name string, begin func(), shared int, before ...phase) op {
	channels := 0
	for _, s := range o.segments {
		channels += s.channels
	}
	o.weightsAt, o.weightPoint = shared, oddLines(channels*o.kd*o.vectors*pixelBytes)
	l, group := o.l, winogradPoints*o.weightPoint
	o.round = ceilDiv(len(o.groups), ceilDiv(len(o.groups)*group, l.dev.sizes.weights))
	o.divide()
	o.sumsAt = o.in.place(len(o.pack.blocks))
	o.sumsNext = o.in.block
	o.sumsPoint = oddLines(o.vectors * o.sumsNext)
	l.needShared = max(l.needShared, shared+o.round*group/4)
	l.needScratch = max(l.needScratch, o.sumsAt+winogradPoints*o.sumsPoint/4)
	l.needRows = max(l.needRows, o.in.upsampledFloats())
	l.needLists = max(l.needLists, len(o.segments)*o.in.slots)
	return o.finish(name, begin, append(before, o.rounds()...))
}

// rounds are the phases of some groups after others: their weights, then they.
func (o *winogradOp) rounds() []phase {
	var phases []phase
	for g := 0; g < len(o.groups); g += o.round {
		n := min(o.round, len(o.groups)-g)
		phases = append(phases,
			phase{n * len(o.segments), func(w *worker, i int) { o.weight(w, g, i) }, n * winogradPoints * o.weightPoint / 4},
			each(o.cut.items(), func(w *worker, i int) { o.item(w, g, i) }))
	}
	return phases
}

// divide cuts the output into bands of cells that share a pass over the weights.
// Cells have no halo, so that bands cost nothing; planes are transformed again where
// ranges of them meet.
func (o *winogradOp) divide() {
	z, all := o.l.dev.sizes, ceilDiv(o.out[1], cellSide)
	row := winogradPoints * o.in.columns * pixelBytes * (o.in.slots*len(o.pack.blocks) + o.vectors)
	rows := ceilDiv(all, ceilDiv(all, max(1, z.ring/row, ceilDiv(z.cells, o.in.columns))))
	want := z.parts(o.work())
	c := &o.cut
	*c = cut{batch: o.batch, h: o.out[1], d: o.out[0], g: o.round, bandRows: cellSide * rows, planes: o.out[0], groupSpan: o.round}
	c.groupSpan = split(c.g, 1, want, c.items())
	least := 1
	if o.in.slots > 1 {
		least = 4
	}
	c.planes = split(c.d, least, want, c.items())
	rows = min(rows, split(all, 1, want, c.items()/c.bands()))
	c.bandRows = cellSide * rows
	o.in.rows = rows
	for v, kernels := range o.table.conv[point] {
		limit := len(kernels) - 1
		if limit < 1 {
			continue
		}
		last := all - (c.bands()-1)*rows
		o.tiles[v] = [2][]tile{tiles(rows*o.in.columns, limit), tiles(last*o.in.columns, limit)}
	}
}
