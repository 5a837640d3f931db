package cpu

// winograd makes a winogradOp of a planned convolution or, with flip, of a planned data
// gradient, which meets kernel rows in reverse. Its weights lie as k says. It is nil
// where the convolution is to be computed directly.
func (c *convOp) winograd(k kernelLayout, stride [3]int, flip bool) *winogradOp {
	if c.pack.gather != nil || !c.l.transforms(k, stride, c.work()) {
		return nil
	}
	in := cells{kernels: c.table.winograd, pack: c.pack, columns: ceilDiv(c.out[2], cellWidth), slots: ringSlots(c.taps[0], 1)}
	o := &winogradOp{convOp: c, in: in, kd: k.kd, flip: flip}
	for _, g := range c.groups {
		o.vectors = max(o.vectors, g.ov)
	}
	o.zero = aligned(o.vectors * lanes)
	return o
}

// op finishes the plan. Weights come after what shared memory holds already: those
// that a data gradient has turned.
func (o *winogradOp) op(name string, begin func(), shared int, before ...phase) op {
	o.divide()
	o.sumsAt = o.in.place(len(o.pack.blocks)) / 4
	o.sumsNext = o.in.block
	o.sumsPoint = oddLines(o.vectors * o.sumsNext)
	channels := 0
	for _, s := range o.segments {
		channels += s.channels
	}
	o.weightsAt, o.weightPoint = shared, oddLines(channels*o.kd*o.vectors*pixelBytes)
	l, weights := o.l, len(o.groups)*winogradPoints*o.weightPoint/4
	l.needShared = max(l.needShared, shared+weights)
	l.needScratch = max(l.needScratch, o.sumsAt+winogradPoints*o.sumsPoint/4)
	l.needLists = max(l.needLists, len(o.segments)*o.in.slots)
	before = append(before, phase{len(o.groups) * len(o.segments), o.weight, weights})
	return o.finish(name, begin, before, o.item)
}

// divide cuts the output into bands of cells that share a pass over the weights.
// Cells have no halo, so that bands cost nothing; planes are transformed again where
// ranges of them meet.
func (o *winogradOp) divide() {
	z, all := o.l.dev.sizes, ceilDiv(o.out[1], cellHeight)
	row := winogradPoints * o.in.columns * pixelBytes * (o.in.slots*len(o.pack.blocks) + o.vectors)
	rows := ceilDiv(all, ceilDiv(all, max(1, z.ring/row, ceilDiv(z.cells, o.in.columns))))
	want := z.parts(o.work())
	c := &o.cut
	*c = cut{batch: o.batch, h: o.out[1], d: o.out[0], g: len(o.groups), bandRows: cellHeight * rows, planes: o.out[0], groupSpan: len(o.groups)}
	c.groupSpan = split(c.g, 1, want, c.items())
	least := 1
	if o.in.slots > 1 {
		least = 4
	}
	c.planes = split(c.d, least, want, c.items())
	rows = min(rows, split(all, 1, want, c.items()/c.bands()))
	c.bandRows = cellHeight * rows
	o.in.rows = rows
	for v := range o.vectors {
		limit := len(o.table.conv[point][v]) - 1
		last := all - (c.bands()-1)*rows
		o.tiles[v] = [2][]tile{tiles(rows*o.in.columns, limit), tiles(last*o.in.columns, limit)}
	}
}
