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

func (l *loaded) newPackedWeights(id program.ID, floats, parts int) packedWeights {
	p := packedWeights{l: l, id: id, versions: make([]int64, parts)}
	if l.constant(id) {
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
	blocks   []turnBlock
}

// zeroRow stands for a channel that is not there.
var zeroRow [3 * lanes]float32

// halveWeights plans the weights of a convolution and the segments that read them.
func (c *convOp) halveWeights(id program.ID, in []*source) *halfWeights {
	k := newKernelLayout(c.l.shape(id))
	h := &halfWeights{halve: c.half.halve, from: k}
	first := 0
	for _, s := range in {
		for b := 0; b < s.channels; b += lanes {
			h.blocks = append(h.blocks, turnBlock{first + b, min(lanes, s.channels-b)})
		}
		first += s.channels
	}
	h.to = kernelLayout{a: k.a, b: len(h.blocks) * lanes, kd: k.kd, kh: k.kh, kw: k.kw, rows: lanes / 2}
	for b, block := range h.blocks {
		c.segments = append(c.segments, segment{block: b, channels: pairs(block.channels), w: 4 * h.to.row(b*lanes, 0)})
	}
	h.packedWeights = c.l.newPackedWeights(id, h.to.floats(), blocks(k.a))
	c.weights = h.data
	return h
}

// pairs is how many pairs cover n.
func pairs(n int) int { return (n + 1) / 2 }

func (h *halfWeights) phase() phase { return phase{blocks(h.from.a), h.item, 2 * h.to.floats()} }

// item packs one block of a.
func (h *halfWeights) item(w *worker, i int) {
	if !h.old(i) {
		return
	}
	src, dst := h.l.floats(h.id)[i*h.from.next():], h.data()[i*h.to.next():]
	a := &w.halve
	a.n = h.from.kw
	for b, block := range h.blocks {
		if h.whole(block) {
			// All taps in one go: 16 rows of each lie next to each other in both.
			row := h.from.row(block.first, 0)
			a.rows, a.step = h.from.taps()*lanes/2, 2*h.from.kw*pixelBytes
			a.dst, a.even, a.odd = ptr(dst, h.to.row(b*lanes, 0)), ptr(src, row), ptr(src, row+h.from.kw*lanes)
			h.halve(a)
			continue
		}
		a.rows = 1
		for tap := range h.from.taps() {
			for pair := range lanes / 2 {
				a.dst = ptr(dst, h.to.row(b*lanes, tap)+pair*h.from.kw*lanes)
				a.even, a.odd = h.row(src, block, 2*pair, tap), h.row(src, block, 2*pair+1, tap)
				h.halve(a)
			}
		}
	}
}

// whole reports whether a block of inputs is one of the weights.
func (h *halfWeights) whole(b turnBlock) bool {
	return h.from.rows == lanes && b.first%lanes == 0 && (b.channels == lanes || b.first+b.channels == h.from.b)
}

// row returns channel c of a block of inputs at a tap.
func (h *halfWeights) row(src []float32, b turnBlock, c, tap int) unsafe.Pointer {
	if c >= b.channels {
		return unsafe.Pointer(&zeroRow)
	}
	return ptr(src, h.from.row(b.first+c, tap))
}
