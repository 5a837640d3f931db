package cpu

import (
	"unsafe"

	"noisystudent/model/program"
)

// upsampling computes rows of a transposed convolution where a packer would copy
// rows of an activation (see program.Upsampling). A row of low resolution is packed
// with its norm into scratch that stays in the first-level cache; the kernels of a
// transposed convolution then write its pixels to where the packed row is wanted. A
// row is computed again for each reader, band and span of channels that needs it,
// which is cheap beside what the reading convolution does with it.
type upsampling struct {
	low     *packer // of the activation that is upsampled
	kernels *convKernels
	kernel  [3]int
	turn    *turn
	bias    []float32 // or nil
	biases  []float32 // by lanes
	lists   [][]entry // by kernel position (kd, kh, kw): a packed row of each block
	tiles   []tile
}

// upsampled makes a source of a view that is upsampled while it is read.
func (l *loaded) upsampled(v program.View) *source {
	weight := l.shape(v.Up.Weight)
	shape := program.Upsampled(l.shape(v.Buf), weight)
	k := newKernelLayout(weight)
	u := &upsampling{kernels: &l.dev.table.conv, kernel: grid(weight), turn: l.newTurn(v.Up.Weight, []int{k.b}, false, l.half)}
	u.turn.packedWeights = l.newPackedWeights(v.Up.Weight, u.turn.to.floats(), len(u.turn.blocks), true)
	u.biases = aligned(blocks(k.b) * lanes)
	if v.Up.Bias != program.None {
		u.bias = l.floats(v.Up.Bias)
	}
	v.Up = nil
	in := grid(l.shape(v.Buf))
	f := l.dev.table.format()
	if l.half != nil {
		u.kernels, f = &l.half.conv, l.half.format()
		l.needRows = max(l.needRows, u.kernel[1]*shape[4]*lanes)
	}
	u.low = newPacker(f, []*source{l.source(v)}, in, []columns{{0, 1, in[2]}}, false)
	u.tiles = tiles(in[2], len(u.kernels[point][one])-1)
	u.listRows()
	l.needLow = max(l.needLow, len(u.low.blocks)*u.low.rowBytes/4)
	s := &source{batch: shape[0], channels: shape[1], blocks: blocks(shape[1]), voxels: voxels(shape), up: u}
	s.identity()
	return s
}

// listRows writes what a pixel sums at each kernel position.
func (u *upsampling) listRows() {
	for tap := range u.turn.to.taps() {
		for kw := range u.turn.to.kw {
			var list []entry
			for b := range u.low.blocks {
				n := u.turn.half.steps(min(lanes, u.turn.to.b-b*lanes))
				list = append(list, entry{b * u.low.rowBytes, 4*u.turn.to.row(b*lanes, tap) + kw*pixelBytes, n})
			}
			u.lists = append(u.lists, list)
		}
	}
}

func (u *upsampling) prepare() {
	prepare([]*source{u.low.blocks[0].src})
	copy(u.biases, u.bias)
}

// rows computes rows [h, h+count) of plane d of a block: pixels next to each other
// from dst on, rows dstRow bytes apart.
func (u *upsampling) rows(w *worker, n, d, h, count, block int, dst unsafe.Pointer, dstRow int) {
	for r := h; r < h+count; r++ {
		if r == h || r%u.kernel[1] == 0 {
			u.pack(w, n, d/u.kernel[0], r/u.kernel[1])
		}
		u.row(w, (d%u.kernel[0])*u.kernel[1]+r%u.kernel[1], block, dst)
		dst = unsafe.Add(dst, dstRow)
	}
}

// pack packs a row of all blocks of low resolution.
func (u *upsampling) pack(w *worker, n, d, h int) {
	for b := range u.low.blocks {
		u.low.rowsTo(w, n, d, h, 1, b, ptr(w.low, b*u.low.rowBytes/4))
	}
}

// row computes one row of a block from the packed row, at a kernel position (kd, kh).
func (u *upsampling) row(w *worker, tap, block int, dst unsafe.Pointer) {
	a, kw := &w.conv, u.kernel[2]
	a.w = unsafe.Pointer(&u.turn.data()[block*u.turn.to.next()])
	a.bias, a.add = ptr(u.biases, block*lanes), 0
	a.wStep, a.outStep = kw*pixelBytes, kw*pixelBytes
	for j := range kw {
		list := u.lists[tap*kw+j]
		a.list, a.n = &list[0], len(list)
		for _, t := range u.tiles {
			a.in = ptr(w.low, t.x*u.low.pixel/4)
			a.out = unsafe.Add(dst, (t.x*kw+j)*pixelBytes)
			u.kernels[point][one][t.px](a)
		}
	}
}
