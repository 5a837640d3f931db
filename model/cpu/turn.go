package cpu

import "noisystudent/model/program"

// turn packs weights for the way back: [B/16][A/16][KD][KH][16 a][KW][16 b] from
// [A/16][B/16][KD][KH][16 b][KW][16 a], for a convolution's gradient by its input
// with KW reversed. Each input of a concatenation begins a new block of b.
// Half factors are then paired along a: [B/16][A/16][KD][KH][8 pairs of a][KW][16 b][2].
// A part is a block of b.
type turn struct {
	packedWeights
	from, to kernelLayout
	blocks   []channelBlock
	flip     bool
	half     *halfTable
}

// channelBlock is the channels [first, first+channels) of b, at most 16.
type channelBlock struct{ first, channels int }

// channelBlocks cuts the channels of several inputs; negative ones are not wanted.
func channelBlocks(channels []int) (list []channelBlock) {
	first := 0
	for _, n := range channels {
		for b := 0; b < n; b += lanes {
			list = append(list, channelBlock{first + b, min(lanes, n-b)})
		}
		first += max(n, -n)
	}
	return list
}

// turn plans the packing and makes the segments that read it.
func (c *convOp) turn(id program.ID, channels []int, flip bool) *turn {
	t := c.l.newTurn(id, channels, flip, c.half)
	t.packedWeights = c.l.newPackedWeights(id, t.to.floats(), len(t.blocks), c.l.constant(id))
	for b := range blocks(t.to.b) {
		c.segments = append(c.segments, segment{block: b, channels: c.half.steps(min(lanes, t.to.b-b*lanes)), w: 4 * t.to.row(b*lanes, 0)})
	}
	c.weights = t.data
	c.layTaps(t.to)
	return t
}

// newTurn plans the packing for inputs of the given channels, negative where they
// are not wanted, but not where it goes.
func (l *loaded) newTurn(id program.ID, channels []int, flip bool, half *halfTable) *turn {
	k := newKernelLayout(l.shape(id))
	t := &turn{from: k, blocks: channelBlocks(channels), flip: flip, half: half}
	t.to = kernelLayout{a: len(t.blocks) * lanes, b: k.a, kd: k.kd, kh: k.kh, kw: k.kw, rows: lanes}
	if half != nil {
		t.to.rows = lanes / 2
		l.needScratch = max(l.needScratch, lanes*k.kw*lanes)
	}
	return t
}

func (t *turn) phase() phase { return phase{len(t.blocks), t.item, 2 * t.to.floats()} }

// item packs one block of output channels.
func (t *turn) item(w *worker, i int) {
	if !t.old(i) {
		return
	}
	src, dst := t.l.floats(t.id), t.data()
	t.rows(&w.transpose, i)
	for block := range blocks(t.from.a) {
		for tap := range t.from.taps() {
			from := src[block*t.from.next()+tap*t.from.tapFloats():]
			to := dst[i*t.to.next()+t.to.row(block*lanes, tap):]
			if t.half == nil {
				t.transpose(&w.transpose, to, from)
				continue
			}
			t.transpose(&w.transpose, w.scratch, from)
			t.pair(&w.halve, to, w.scratch)
		}
	}
}

// transpose turns the 16 rows of one tap.
func (t *turn) transpose(a *transposeArgs, dst, src []float32) {
	a.n, a.dstStep = lanes, t.to.kw*pixelBytes
	for kw := range t.from.kw {
		at := kw
		if t.flip {
			at = t.from.kw - 1 - kw
		}
		a.src, a.dst = ptr(src, kw*lanes), ptr(dst, at*lanes)
		t.l.dev.table.transpose(a)
	}
}

// pair rounds the 16 rows of one tap.
func (t *turn) pair(a *halveArgs, dst, rows []float32) {
	row := t.to.kw * lanes
	a.dst, a.even, a.odd = ptr(dst, 0), ptr(rows, 0), ptr(rows, row)
	a.n, a.rows, a.step = t.to.kw, lanes/2, 8*row
	t.half.halve(a)
}

// rows points at the vectors of b that become lanes, at the first tap and block of a.
func (t *turn) rows(a *transposeArgs, i int) {
	for r := range a.rows {
		a.rows[r] = -1
		if r < t.blocks[i].channels {
			a.rows[r] = 4 * t.from.row(t.blocks[i].first+r, 0)
		}
	}
}
