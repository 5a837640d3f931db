package cpu

import "noisystudent/model/program"

// gathers reports whether a convolution reads a plain image by kernel rows.
func (l *loaded) gathers(in []program.View, k kernelLayout, stride [3]int) bool {
	return len(in) == 1 && plain(l.p.Buffers[in[0].Buf]) && in[0].Norm == program.None && in[0].Up == nil && (k.kw > 1 || stride[2] == 1)
}

// gatherPacker packs an image as an activation of KD*KH channels on the output's
// planes and rows.
func (l *loaded) gatherPacker(id program.ID, k kernelLayout, taps [2][][]tap) *packer {
	in := grid(l.shape(id))
	p := newPacker(l.dev.table.format(), nil, in, []columns{{0, 1, in[2]}}, k.kw > 1)
	p.gather = &gather{table: l.dev.table, image: l.floats(id), in: in, taps: taps, kh: k.kh}
	return p
}

// identityTaps is the map of an axis onto itself.
func identityTaps(out [3]int) (t [2][][]tap) {
	for a := range t {
		t[a] = forwardTaps(out[a], out[a], 1, 1, 0)
	}
	return t
}

// forwardColumns returns what a convolution needs of an input row.
func forwardColumns(in, out, kernel, stride int) []columns {
	if kernel > 1 {
		return []columns{{0, 1, in}}
	}
	return []columns{{0, stride, out}}
}

// segments cuts the channels of sources where a block of the source or of the
// weights ends.
func segments(in []*source, k kernelLayout) []segment {
	var list []segment
	block, c := 0, 0
	for _, s := range in {
		for left := s.channels; left > 0; block++ {
			for lane := 0; lane < lanes && left > 0; {
				n := min(left, lanes-lane, lanes-c%lanes)
				list = append(list, segment{block, lane, n, 4 * k.row(c, 0)})
				lane, c, left = lane+n, c+n, left-n
			}
		}
	}
	return list
}

// forwardPass covers output rows of a convolution in one go.
func (c *convOp) forwardPass(kernel, stride int) {
	p := pass{kind: point, columns: []column{{}}, step: 1, count: c.out[2], inStep: c.format.pixel}
	if kernel > 1 {
		p.kind, p.inStep = wide1, stride*c.format.pixel
		if stride == 2 {
			p.kind = wide2
		}
	}
	c.addPass(p)
}

// backwardPasses covers rows of a convolution's input gradient. With stride 1 it
// is a convolution with flipped weights; with stride 2 even pixels meet the middle
// tap of one gradient pixel, odd pixels the outer taps of two.
func (c *convOp) backwardPasses(kernel, stride int) {
	if stride == 1 {
		c.forwardPass(kernel, 1)
		return
	}
	even := pass{kind: point, columns: []column{{}}, step: 2, count: (c.out[2] + 1) / 2, inStep: c.format.pixel}
	odd := pass{kind: point, first: 1, step: 2, count: c.out[2] / 2, inStep: c.format.pixel}
	if kernel > 1 {
		even.columns = []column{{c.format.pixel, pixelBytes}}
		odd.columns = []column{{c.format.pixel, 2 * pixelBytes}, {2 * c.format.pixel, 0}}
	}
	c.addPass(even)
	if odd.count > 0 {
		c.addPass(odd)
	}
}

func (c *convOp) addPass(p pass) {
	for v, kernels := range c.kernels[p.kind] {
		if len(kernels) > 0 {
			p.tiles[v] = tiles(p.count, len(kernels)-1)
		}
	}
	c.passes = append(c.passes, p)
}

// assign makes the groups of an output whose blocks have weights one after another.
func (c *convOp) assign(data []float32, k kernelLayout, add bool) { c.assignFrom(data, k, 0, add) }

// assignFrom is assign for weights from a block on.
func (c *convOp) assignFrom(data []float32, k kernelLayout, block int, add bool) {
	plane := c.out[0] * c.out[1] * c.out[2] * lanes
	all := blocks(k.a)
	for b := 0; b < all; {
		v := widthFor(k.a-b*lanes, func(v width) bool { return len(c.kernels[c.passes[0].kind][v]) > 0 })
		c.groups = append(c.groups, group{
			width: v, data: data, at: b * plane, batch: all * plane, next: 4 * plane, add: add,
			w: 4 * (block + b) * k.next(), wNext: 4 * k.next(), wStep: k.kw * pixelBytes, bias: (block + b) * lanes,
		})
		b += v.blocks()
	}
	c.biases = aligned((block + all) * lanes)
}

func (c *convOp) bias(id program.ID) {
	if id != program.None {
		copy(c.biases, c.l.floats(id))
	}
}

// op finishes a plan: sizes of the ring and of the lists, the cut, the phases.
func (c *convOp) op(name string, begin func(), before ...phase) op {
	c.classes, c.class = patterns(c.taps[1])
	c.slots = max(1, widest(c.taps[0], 1))
	c.chunk()
	c.cut = cutting{
		batch: c.batch, groups: len(c.groups), out: c.out, taps: c.taps, slots: c.slots,
		rowBytes: c.blockCount() * c.pack.rowBytes, work: c.work(), sizes: c.l.dev.sizes,
	}.cut()
	c.blockBytes = max(1, widest(c.taps[1], c.cut.bandRows)) * c.pack.rowBytes
	c.planeBytes = c.blockCount() * c.blockBytes
	c.l.needScratch = max(c.l.needScratch, c.slots*c.planeBytes/4)
	columns := 0
	for _, p := range c.passes {
		columns += len(p.columns)
	}
	rows := 0
	for _, class := range c.classes {
		rows += len(class)
	}
	c.l.needLists = max(c.l.needLists, len(c.segments)*columns*rows*c.slots)
	c.l.needStarts = max(c.l.needStarts, len(c.chunks)*len(c.passes)*len(c.classes)+1)
	return c.finish(name, begin, append(before, each(c.cut.items(), c.item)))
}

// finish puts a beginning and an end around the phases of a plan.
func (c *convOp) finish(name string, begin func(), run []phase) op {
	phases := append([]phase{once(begin)}, run...)
	if c.moments != nil {
		c.moments.plan(c)
		phases = append(phases, once(c.moments.finish))
	}
	return op{name, phases}
}

// chunk cuts the segments so that the weights of each part stay in cache.
func (c *convOp) chunk() {
	taps := max(1, widest(c.taps[0], 1)) * max(1, widest(c.taps[1], 1))
	bytes, from := 0, 0
	for i, s := range c.segments {
		n := 2 * s.channels * taps * c.groups[0].wStep
		if bytes+n > c.l.dev.sizes.chunk && i > from {
			c.chunks = append(c.chunks, [2]int{from, i})
			from, bytes = i, 0
		}
		bytes += n
	}
	c.chunks = append(c.chunks, [2]int{from, len(c.segments)})
}

// work counts multiply-adds, without regard to padding.
func (c *convOp) work() int {
	n := 0
	for _, s := range c.segments {
		n += s.channels
	}
	vectors := 0
	for _, g := range c.groups {
		vectors += g.width.blocks()
	}
	taps := max(1, widest(c.taps[0], 1)) * max(1, widest(c.taps[1], 1)) * c.groups[0].wStep / pixelBytes
	return c.batch * c.out[0] * c.out[1] * c.out[2] * taps * n * vectors * lanes
}
