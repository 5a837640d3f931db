package cpu

// winogradOp computes a convolution of stride 1 whose kernel is 3x3 along H and W, or
// its data gradient, by transforms. The kernel's planes stay taps: sums run over them
// and over channels before they are transformed back.
//
// Sums of a group lie in a worker's scratch after the inputs, [36 points][blocks][cell]
// [16]; weights in shared memory, [group][36 points][segment][KD][channel][blocks][16].
type winogradOp struct {
	*convOp
	in    cells
	kd    int
	flip  bool              // kernel rows are in reverse
	tiles [widths][2][]tile // of a band's cells; the last band may have fewer rows
	zero  []float32         // what sums begin with

	sumsAt              int // floats of scratch before the sums
	sumsPoint, sumsNext int // bytes from point to point, from block to block
	weightsAt           int // floats of shared memory before the weights
	weightPoint         int // bytes from point to point
	vectors             int // of output channels that lie together
	round               int // groups whose weights are held at a time
}

// item computes one part of a round of groups, as convOp.item does.
func (o *winogradOp) item(w *worker, round, i int) {
	p := o.cut.part(i)
	p.g0, p.g1 = p.g0+round, min(p.g1+round, len(o.groups))
	if p.g0 >= p.g1 {
		return // the last round has fewer
	}
	packed := 0
	for d := p.d0; d < p.d1; d++ {
		first, count := span(o.taps[0], d, d+1)
		for id := max(first, packed); id < first+count; id++ {
			o.in.input(w, p, id, 0, len(o.pack.blocks))
			packed = id + 1
		}
		n := o.list(w, d)
		for g := p.g0; g < p.g1; g++ {
			o.multiply(w, g, p, n)
			o.output(w, &o.groups[g], p, d)
			if o.moments != nil {
				o.moments.plane(w, &o.groups[g], p, d)
			}
		}
	}
}

// list writes the entries of output plane d and returns how many there are.
func (o *winogradOp) list(w *worker, d int) int {
	n, before := 0, 0
	for _, s := range o.segments {
		for _, t := range o.taps[0][d] {
			w.lists[n] = entry{
				in:       t.in%o.in.slots*o.in.plane + s.block*o.in.block + 4*s.lane,
				w:        (before*o.kd + t.k*s.channels) * o.vectors * pixelBytes,
				channels: s.channels,
			}
			n++
		}
		before += s.channels
	}
	return n
}

// multiply sums the products of a group.
func (o *winogradOp) multiply(w *worker, g int, p part, n int) {
	group := &o.groups[g]
	tiles := o.tiles[group.width][0]
	if p.h1-p.h0 < o.cut.bandRows {
		tiles = o.tiles[group.width][1]
	}
	a, kernels := &w.conv, o.table.conv[point][group.width]
	a.list, a.n, a.add, a.bias = &w.lists[0], n, 0, ptr(o.zero, 0)
	a.wNext, a.wStep, a.outNext, a.outStep = pixelBytes, o.vectors*pixelBytes, o.sumsNext, pixelBytes
	weights := o.weightsAt + g%o.round*winogradPoints*o.weightPoint/4
	for q := range winogradPoints {
		a.w = ptr(o.l.shared, weights+q*o.weightPoint/4)
		for _, t := range tiles {
			a.in = ptr(w.scratch, q*o.in.point/4+t.x*lanes)
			a.out = ptr(w.scratch, o.sumsAt+q*o.sumsPoint/4+t.x*lanes)
			kernels[t.px](a)
		}
	}
}

// output transforms the sums of a group into rows of output plane d.
func (o *winogradOp) output(w *worker, g *group, p part, d int) {
	a := &w.winograd.output
	a.px, a.row, a.point, a.add = o.out[2], o.out[2]*pixelBytes, o.sumsPoint, 0
	if g.add {
		a.add = 1
	}
	for v := range g.width.blocks() {
		a.bias = ptr(o.biases, g.bias+v*lanes)
		for h := p.h0; h < p.h1; h += cellSide {
			a.rows = min(cellSide, p.h1-h)
			a.points = ptr(w.scratch, o.sumsAt+v*o.sumsNext/4+(h-p.h0)/cellSide*o.in.columns*lanes)
			a.out = ptr(g.data, g.at+p.n*g.batch+v*g.next/4+(d*o.out[1]+h)*o.out[2]*lanes)
			o.in.kernels.output(a)
		}
	}
}

// weight transforms the weights of one segment for a group of a round.
func (o *winogradOp) weight(w *worker, round, i int) {
	at := o.weightsAt + i/len(o.segments)*winogradPoints*o.weightPoint/4
	g, s := &o.groups[round+i/len(o.segments)], o.segments[i%len(o.segments)]
	for _, t := range o.segments[:i%len(o.segments)] {
		at += t.channels * o.kd * o.vectors * lanes
	}
	a := &w.winograd.weight
	a.n, a.row, a.step, a.next, a.point = s.channels, o.tapH, g.wStep, o.vectors*pixelBytes, o.weightPoint
	for kd := range o.kd {
		for v := range g.width.blocks() {
			from := g.w + v*g.wNext + s.w + kd*o.tapD
			if o.flip {
				from, a.row = from+2*o.tapH, -o.tapH
			}
			a.weights = ptr(o.weights(), from/4)
			a.points = ptr(o.l.shared, at+(kd*s.channels*o.vectors+v)*lanes)
			o.in.kernels.weight(a)
		}
	}
}
