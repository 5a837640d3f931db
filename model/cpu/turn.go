package cpu

import "noisystudent/model/program"

// turn packs weights for the way back: [B/16][A/16][KD][KH][16 a][KW][16 b] from
// [A/16][B/16][KD][KH][16 b][KW][16 a], for a convolution's gradient by its input
// with KW reversed. Each input of a concatenation begins a new block of b.
type turn struct {
	l        *loaded
	id       program.ID
	from, to kernelLayout
	blocks   []turnBlock
	flip     bool
	own      []float32 // nil: packed into shared scratch for each run
	packed   []int64   // version of each packed block of own
	kept     bool      // own stays right until the weights' version changes
}

// turnBlock is a block of output channels: b in [first, first+channels).
type turnBlock struct{ first, channels int }

// turn plans the packing and makes the segments that read it.
func (c *convOp) turn(id program.ID, channels []int, flip bool) *turn {
	t := c.l.newTurn(id, channels, flip)
	for b := range blocks(t.to.b) {
		c.segments = append(c.segments, segment{block: b, channels: min(lanes, t.to.b-b*lanes), w: 4 * t.to.row(b*lanes, 0)})
	}
	c.tapH = 4 * t.to.tapFloats()
	c.tapD = t.to.kh * c.tapH
	return t
}

// newTurn plans the packing for inputs of the given channels, negative where they
// are not wanted.
func (l *loaded) newTurn(id program.ID, channels []int, flip bool) *turn {
	k := newKernelLayout(l.shape(id))
	t := &turn{l: l, id: id, from: k, flip: flip, kept: l.p.Buffers[id].Role == program.Param}
	first := 0
	for _, n := range channels {
		for b := 0; b < n; b += lanes {
			t.blocks = append(t.blocks, turnBlock{first + b, min(lanes, n-b)})
		}
		first += max(n, -n)
	}
	t.to = kernelLayout{a: len(t.blocks) * lanes, b: k.a, kd: k.kd, kh: k.kh, kw: k.kw, rows: lanes}
	t.packed = make([]int64, len(t.blocks))
	return t
}

func (t *turn) phase() phase { return phase{len(t.blocks), t.item, 2 * t.to.floats()} }

// item packs one block of output channels.
func (t *turn) item(w *worker, i int) {
	dst := t.l.shared
	if t.own != nil {
		if t.kept && t.packed[i] == t.l.versions[t.id] {
			return
		}
		dst, t.packed[i] = t.own, t.l.versions[t.id]
	}
	src := t.l.floats(t.id)
	a := &w.transpose
	a.n, a.dstStep = lanes, t.to.kw*pixelBytes
	t.rows(a, i)
	for block := range blocks(t.from.a) {
		for tap := range t.from.taps() {
			to := i*t.to.next() + t.to.row(block*lanes, tap)
			for kw := range t.from.kw {
				a.src = ptr(src, block*t.from.next()+tap*t.from.tapFloats()+kw*lanes)
				at := kw
				if t.flip {
					at = t.from.kw - 1 - kw
				}
				a.dst = ptr(dst, to+at*lanes)
				t.l.dev.table.transpose(a)
			}
		}
	}
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
