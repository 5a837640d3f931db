package cpu

import (
	"unsafe"

	"noisystudent/model/program"
)

// packedWeights is a parameter in the form that kernels read, in parts that are
// packed independently. A parameter that the program changes is packed into shared
// scratch by each instruction, another once into memory of its own.
type packedWeights struct {
	l        *loaded
	id       program.ID
	own      []float32 // nil: shared scratch
	versions []int64   // of the parameter in each part of own
}

// newPackedWeights takes the memory; with keep its own.
func (l *loaded) newPackedWeights(id program.ID, floats, parts int, keep bool) packedWeights {
	p := packedWeights{l: l, id: id, versions: make([]int64, parts)}
	if keep {
		p.own = aligned(floats)
		l.ownFloats += len(p.own)
	} else {
		l.needShared = max(l.needShared, floats)
	}
	return p
}

// constant reports whether no instruction writes a buffer.
func (l *loaded) constant(id program.ID) bool {
	if l.p.Buffers[id].Role != program.Param {
		return false
	}
	for _, in := range l.p.Instrs {
		for _, w := range in.Writes() {
			if w == id {
				return false
			}
		}
	}
	return true
}

func (p *packedWeights) data() []float32 {
	if p.own == nil {
		return p.l.shared
	}
	return p.own
}

// old reports whether a part has to be packed, and counts it as packed.
func (p *packedWeights) old(part int) bool {
	if p.own == nil {
		return true
	}
	was := p.versions[part]
	p.versions[part] = p.l.versions[p.id]
	return was != p.versions[part]
}

// halfWeights are weights of a convolution in pairs of bfloat16: [A/16][blocks of
// inputs][KD][KH][8 pairs of b][KW][16 a][2] from [A/16][B/16][KD][KH][16 b][KW][16 a].
// Each input of a concatenation begins a new block. A part is a block of a.
type halfWeights struct {
	packedWeights
	halve    func(*halveArgs)
	from, to kernelLayout
	blocks   []channelBlock
}

// zeroRow stands for a channel that is not there.
var zeroRow [3 * lanes]float32

// halveWeights plans the weights of a convolution and the segments that read them.
func (c *convOp) halveWeights(id program.ID, in []*source) *halfWeights {
	k := newKernelLayout(c.l.shape(id))
	h := &halfWeights{halve: c.half.halve, from: k}
	var channels []int
	for _, s := range in {
		channels = append(channels, s.channels)
	}
	h.blocks = channelBlocks(channels)
	h.to = kernelLayout{a: k.a, b: len(h.blocks) * lanes, kd: k.kd, kh: k.kh, kw: k.kw, rows: lanes / 2}
	for b, block := range h.blocks {
		c.segments = append(c.segments, segment{block: b, channels: c.half.steps(block.channels), w: 4 * h.to.row(b*lanes, 0)})
	}
	h.packedWeights = c.l.newPackedWeights(id, h.to.floats(), blocks(k.a), c.l.constant(id))
	c.weights = h.data
	return h
}

func (h *halfWeights) phase() phase { return phase{blocks(h.from.a), h.item, 2 * h.to.floats()} }

// item packs one block of a.
func (h *halfWeights) item(w *worker, i int) {
	if !h.old(i) {
		return
	}
	src, dst := h.l.floats(h.id)[i*h.from.next():], h.data()[i*h.to.next():]
	w.halve.n = h.from.kw
	for b, block := range h.blocks {
		to := dst[h.to.row(b*lanes, 0):]
		if h.whole(block) {
			h.allTaps(&w.halve, to, src[h.from.row(block.first, 0):])
			continue
		}
		for tap := range h.from.taps() {
			h.tap(&w.halve, to[tap*h.to.tapFloats():], src, block, tap)
		}
	}
}

// allTaps packs a whole block, whose rows lie next to each other in both.
func (h *halfWeights) allTaps(a *halveArgs, dst, src []float32) {
	a.rows, a.step = h.from.taps()*lanes/2, 2*h.from.kw*pixelBytes
	a.dst, a.even, a.odd = ptr(dst, 0), ptr(src, 0), ptr(src, h.from.kw*lanes)
	h.halve(a)
}

// tap packs one tap of another block, row by row.
func (h *halfWeights) tap(a *halveArgs, dst, src []float32, b channelBlock, tap int) {
	a.rows = 1
	for pair := range lanes / 2 {
		a.dst = ptr(dst, pair*h.from.kw*lanes)
		a.even, a.odd = h.row(src, b, 2*pair, tap), h.row(src, b, 2*pair+1, tap)
		h.halve(a)
	}
}

// whole reports whether a block of inputs is one of the weights.
func (h *halfWeights) whole(b channelBlock) bool {
	return h.from.rows == lanes && b.first%lanes == 0 && (b.channels == lanes || b.first+b.channels == h.from.b)
}

// row returns channel c of a block of inputs at a tap.
func (h *halfWeights) row(src []float32, b channelBlock, c, tap int) unsafe.Pointer {
	if c >= b.channels {
		return unsafe.Pointer(&zeroRow)
	}
	return ptr(src, h.from.row(b.first+c, tap))
}
