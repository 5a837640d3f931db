package cpu

import "unsafe"

// convOp computes out[o] = bias + sum over taps and channels of weight*in[i(o)] for
// a convolution, a transposed convolution, or the gradient of either by its input:
// they differ in taps, in the passes along W and in where weights lie.
type convOp struct {
	l          *loaded
	table      *table
	half       *halfTable // nil: factors are float32; else pairs of bfloat16, 4 bytes for two channels
	kernels    *convKernels
	format     format // of packed rows
	pack       *packer
	batch      int
	out        [3]int
	taps       [2][][]tap // D and H, by output position
	classes    []pattern  // of taps[1]
	class      []int
	tapD, tapH int // bytes from one kernel plane, row of weights to the next
	segments   []segment
	passes     []pass
	groups     []group
	weights    func() []float32
	cut        cut

	planeBytes, blockBytes, slots int
	chunks                        [][2]int // segments that are summed in one go
	biases                        []float32
	moments                       *momentsOut
}

// segment is a run of input channels that lie together in the packed rows and in
// the weights.
type segment struct {
	block, lane, channels int // channels count pairs of half factors
	w                     int // bytes to the weights of its first channel
}

// column is one tap along W: bytes from the start of the packed row and of the weights.
type column struct{ in, w int }

// pass computes the pixels first, first+step, ... of each output row.
type pass struct {
	kind        kind
	columns     []column
	first, step int
	count       int
	inStep      int // bytes of packed row from one of its pixels to the next
	tiles       [widths][]tile
}

// group is what kernels compute at once: one or two blocks of output channels.
type group struct {
	width    width
	data     []float32
	at       int // of the first block of batch element 0 in data, in floats
	batch    int // floats from one element of the batch to the next
	next     int // bytes from the first block to the second
	w, wNext int // bytes
	wStep    int
	bias     int // in biases, in floats
	add      bool
}

// item computes one part: output planes, rows and groups of one batch element.
func (c *convOp) item(w *worker, i int) {
	p := c.cut.part(i)
	row, rows := span(c.taps[1], p.h0, p.h1)
	packed := 0 // planes below it have been packed
	for d := p.d0; d < p.d1; d++ {
		first, count := span(c.taps[0], d, d+1)
		for id := max(first, packed); id < first+count; id++ {
			for b := range c.blockCount() {
				c.pack.rows(w, p.n, id, row, rows, b, id%c.slots*c.planeBytes+b*c.blockBytes)
			}
			packed = id + 1
		}
		c.list(w, d)
		for g := p.g0; g < p.g1; g++ {
			c.plane(w, &c.groups[g], p, d, row)
			if c.moments != nil {
				c.moments.plane(w, &c.groups[g], p, d)
			}
		}
	}
}

func (c *convOp) blockCount() int {
	if c.pack.gather != nil {
		return 1
	}
	return len(c.pack.blocks)
}

// list writes the entries of output plane d: for each chunk of channels, pass and
// class of rows. starts has where each list begins and, last, where all end.
func (c *convOp) list(w *worker, d int) {
	n, s := 0, 0
	for _, chunk := range c.chunks {
		for p := range c.passes {
			for _, class := range c.classes {
				w.starts[s] = n
				s++
				for _, seg := range c.segments[chunk[0]:chunk[1]] {
					n += c.entries(w.lists[n:], seg, c.taps[0][d], class, c.passes[p].columns)
				}
			}
		}
	}
	w.starts[s] = n
}

func (c *convOp) entries(list []entry, seg segment, planes []tap, rows pattern, cols []column) int {
	n := 0
	for _, td := range planes {
		for _, th := range rows {
			in := td.in%c.slots*c.planeBytes + seg.block*c.blockBytes + th.in*c.pack.rowBytes + 4*seg.lane
			at := seg.w + td.k*c.tapD + th.k*c.tapH
			for _, col := range cols {
				list[n] = entry{in + col.in, at + col.w, seg.channels}
				n++
			}
		}
	}
	return n
}

// plane computes one output plane of a group.
func (c *convOp) plane(w *worker, g *group, p part, d, row int) {
	a := &w.conv
	a.w = unsafe.Pointer(&c.weights()[g.w/4])
	a.wNext, a.wStep, a.outNext = g.wNext, g.wStep, g.next
	a.bias = ptr(c.biases, g.bias)
	plane := g.at + p.n*g.batch + d*c.out[1]*c.out[2]*lanes
	s := 0
	for i := range c.chunks {
		a.add = 0
		if i > 0 || g.add {
			a.add = 1
		}
		for q := range c.passes {
			for h := p.h0; h < p.h1; h++ {
				from, to := w.starts[s+c.class[h]], w.starts[s+c.class[h]+1]
				line := g.data[plane+(h*c.out[2]+c.passes[q].first)*lanes:]
				if to == from {
					c.empty(a, g, &c.passes[q], line)
					continue
				}
				a.list, a.n = &w.lists[from], to-from
				c.row(w, g, &c.passes[q], line, (c.taps[1][h][0].in-row)*c.pack.rowBytes)
			}
			s += len(c.classes)
		}
	}
}

// row computes the pixels of a pass in one output row.
func (c *convOp) row(w *worker, g *group, p *pass, line []float32, in int) {
	a := &w.conv
	a.outStep = p.step * pixelBytes
	kernels := c.kernels[p.kind][g.width]
	for _, t := range p.tiles[g.width] {
		a.in = ptr(w.scratch, (in+t.x*p.inStep)/4)
		a.out = ptr(line, t.x*p.step*lanes)
		kernels[t.px](a)
	}
}

// empty assigns pixels that no tap reaches.
func (c *convOp) empty(a *convArgs, g *group, p *pass, line []float32) {
	if a.add == 1 {
		return
	}
	for v := range g.width.blocks() {
		for x := range p.count {
			copy(line[v*g.next/4+x*p.step*lanes:][:lanes], c.biases[g.bias+v*lanes:])
		}
	}
}
