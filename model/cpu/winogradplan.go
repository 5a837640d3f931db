package cpu

import "noisystudent/model/program"

// winogradScratch holds the arguments of the transforms.
type winogradScratch struct {
	input  winogradInputArgs
	weight winogradWeightArgs
	output winogradOutputArgs
}

// winograd makes a winogradOp of a planned convolution or its data gradient, whose
// weights lie as k says, where that is offered, allowed and faster; else nil. A data
// gradient meets kernel rows in reverse.
func (c *convOp) winograd(k kernelLayout, stride [3]int, flip bool) *winogradOp {
	fits := k.kh == 3 && k.kw == 3 && stride == [3]int{1, 1, 1} && c.pack.gather == nil
	if !fits || c.table.winograd == nil || c.l.p.Precision != program.Float32 || c.work() < c.l.dev.sizes.winograd {
		return nil
	}
	return &winogradOp{convOp: c, kernels: c.table.winograd, kd: k.kd, flip: flip}
}

// op finishes the plan. Transformed weights come after what shared memory holds
// already: those that a data gradient has turned.
func (o *winogradOp) op(name string, begin func(), shared int, before ...phase) op {
	o.slots = max(1, widest(o.taps[0], 1))
	o.columns, o.weightsAt = ceilDiv(o.out[2], 2), shared
	for _, g := range o.groups {
		o.vectors = max(o.vectors, g.ov)
	}
	o.zero = aligned(o.vectors * lanes)
	o.divide()
	o.place()
	l := o.l
	l.needShared = max(l.needShared, shared+len(o.groups)*winogradPoints*o.weightPoint/4)
	l.needScratch = max(l.needScratch, o.sumsAt+winogradPoints*o.sumsPoint/4)
	l.needLists = max(l.needLists, len(o.segments)*o.slots)
	weights := phase{len(o.groups) * len(o.segments), o.weight, len(o.groups) * winogradPoints * o.weightPoint / 4}
	return o.finish(name, begin, append(before, weights), o.item)
}

// divide cuts the output into bands of squares that share a pass over the weights.
// Squares have no halo, so that bands cost nothing; planes are packed again where
// ranges meet.
func (o *winogradOp) divide() {
	z, all := o.l.dev.sizes, ceilDiv(o.out[1], 2)
	row := winogradPoints * o.columns * pixelBytes * (o.slots*len(o.pack.blocks) + o.vectors)
	o.rows = max(1, z.ring/row, ceilDiv(z.squares, o.columns))
	o.rows = ceilDiv(all, ceilDiv(all, o.rows))
	want := z.parts(o.work())
	o.cut = cut{batch: o.batch, h: o.out[1], d: o.out[0], g: len(o.groups), bandRows: 2 * o.rows, planes: o.out[0], groupSpan: len(o.groups)}
	o.cut.groupSpan = split(o.cut.g, 1, want, o.cut.items())
	least := 1
	if o.slots > 1 {
		least = 4
	}
	o.cut.planes = split(o.cut.d, least, want, o.cut.items())
	o.rows = min(o.rows, split(all, 1, want, o.cut.items()/o.cut.bands()))
	o.cut.bandRows = 2 * o.rows
	for v := range o.vectors {
		limit := len(o.table.conv[point][v]) - 1
		last := all - (o.cut.bands()-1)*o.rows
		o.tiles[v] = [2][]tile{tiles(o.rows*o.columns, limit), tiles(last*o.columns, limit)}
	}
}

// place lays out transformed inputs, sums and weights. Points lie an odd number of
// lines apart, for sixteen of them are written in turn.
func (o *winogradOp) place() {
	o.block = o.rows * o.columns * pixelBytes
	o.plane = len(o.pack.blocks) * o.block
	o.point = oddLines(o.slots * o.plane)
	o.sumsAt = winogradPoints * o.point / 4
	o.sumsNext = o.block
	o.sumsPoint = oddLines(o.vectors * o.sumsNext)
	channels := 0
	for _, s := range o.segments {
		channels += s.channels
	}
	o.weightPoint = oddLines(channels * o.kd * o.vectors * pixelBytes)
}

func oddLines(bytes int) int { return bytes | pixelBytes }

// weight transforms the weights of one segment for a group.
func (o *winogradOp) weight(w *worker, i int) {
	g, at := &o.groups[i/len(o.segments)], o.weightsAt+i/len(o.segments)*winogradPoints*o.weightPoint/4
	s := o.segments[i%len(o.segments)]
	for _, t := range o.segments[:i%len(o.segments)] {
		at += t.channels * o.kd * o.vectors * lanes
	}
	a := &w.winograd.weight
	a.n, a.row, a.srcStep, a.dstStep, a.point = s.channels, o.tapH, g.wStep, o.vectors*pixelBytes, o.weightPoint
	for kd := range o.kd {
		for v := range g.ov {
			from := g.w + v*g.wNext + s.w + kd*o.tapD
			if o.flip {
				from, a.row = from+2*o.tapH, -o.tapH
			}
			a.src = ptr(o.weights(), from/4)
			a.dst = ptr(o.l.shared, at+(kd*s.channels*o.vectors+v)*lanes)
			o.kernels.weight(a)
		}
	}
}
