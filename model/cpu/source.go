package cpu

import (
	"unsafe"

	"noisystudent/model/program"
)

// source is one activation as an instruction reads it: its memory in blocks and
// the affine map and slope that apply on the way.
type source struct {
	data         []float32
	channels     int
	blocks       int
	batch        int
	voxels       int
	norm         []float32 // (N, C, 2), or nil
	slope        float32
	scale, shift []float32   // norm by lanes, (N, blocks*16); zero in lanes without a channel
	expand       []float32   // the unblocked data to expand into data, or nil
	up           *upsampling // computes the rows, for there is no data; or nil
}

// source makes a source of a view. A plain image becomes blocks in memory of its own.
func (l *loaded) source(v program.View) *source {
	if v.Up != nil {
		return l.upsampled(v)
	}
	b := l.p.Buffers[v.Buf]
	s := &source{batch: b.Shape[0], channels: b.Shape[1], blocks: blocks(b.Shape[1]), voxels: voxels(b.Shape)}
	s.data = l.floats(v.Buf)
	if plain(b) {
		s.expand, s.data = s.data, aligned(s.batch*lanes*s.voxels)
	}
	s.identity()
	if v.Norm != program.None {
		s.norm, s.slope = l.floats(v.Norm), v.Slope
		clear(s.scale)
	}
	return s
}

// identity sets the map that changes nothing.
func (s *source) identity() {
	s.scale, s.shift, s.slope = aligned(s.batch*s.blocks*lanes), aligned(s.batch*s.blocks*lanes), 1
	for i := range s.scale {
		s.scale[i] = 1
	}
}

// prepare brings norm and an expanded image up to date.
func (s *source) prepare() {
	if s.up != nil {
		s.up.prepare()
	}
	for i, x := range s.expand {
		s.data[i*lanes] = x
	}
	if s.norm == nil {
		return
	}
	for n := range s.batch {
		for c := range s.channels {
			at := 2 * (n*s.channels + c)
			s.scale[n*s.blocks*lanes+c], s.shift[n*s.blocks*lanes+c] = s.norm[at], s.norm[at+1]
		}
	}
}

// at returns the block of batch element n as an offset into data, in floats.
func (s *source) at(n, block int) int { return (n*s.blocks + block) * s.voxels * lanes }

func ptr(s []float32, i int) unsafe.Pointer { return unsafe.Pointer(&s[i]) }

// columns are pixels of an input row that lie next to each other when packed.
type columns struct{ start, step, count int }

// packBlock is one block of one source.
type packBlock struct {
	src   *source
	block int
}

// format is how pixels are packed: the kernel and the bytes of one.
type format struct {
	pack  func(*packArgs)
	pixel int
}

// packed are columns in a packed row: where the first of them goes and what pad is
// for the kernel.
type packed struct {
	columns
	at, pad int
}

// packer copies rows of an instruction's inputs into scratch: for each block of
// channels, rows of rowBytes.
type packer struct {
	format
	blocks   []packBlock
	grid     [3]int
	parts    []packed
	rowBytes int
	gather   *gather
}

// newPacker plans rows of columns one after another, with pad (of one part only) a
// zero pixel before and after them.
func newPacker(f format, in []*source, grid [3]int, cols []columns, pad bool) *packer {
	p := &packer{format: f, grid: grid}
	for _, s := range in {
		for b := range s.blocks {
			p.blocks = append(p.blocks, packBlock{s, b})
		}
	}
	for _, c := range cols {
		part := packed{columns: c, at: p.rowBytes}
		if pad {
			part.at, part.pad = p.rowBytes+f.pixel, 1
		}
		p.parts = append(p.parts, part)
		p.rowBytes += (c.count + 2*part.pad) * f.pixel
	}
	return p
}

// rows packs rows [h, h+count) of plane d of block b to byte offset at of scratch.
func (p *packer) rows(w *worker, n, d, h, count, b, at int) {
	if p.gather != nil {
		p.gather.rows(p, w, n, d, h, count, at)
		return
	}
	p.rowsTo(w, n, d, h, count, b, ptr(w.scratch, at/4))
}

// rowsTo is rows for blocked sources, to anywhere.
func (p *packer) rowsTo(w *worker, n, d, h, count, b int, dst unsafe.Pointer) {
	src := p.blocks[b].src
	if src.up != nil {
		p.upsample(w, n, d, h, count, b, dst)
		return
	}
	p.copy(w, n, count, b, dst, ptr(src.data, src.at(n, p.blocks[b].block)+(d*p.grid[1]+h)*p.grid[2]*lanes))
}

// copy packs rows that lie one after another.
func (p *packer) copy(w *worker, n, count, b int, dst, rows unsafe.Pointer) {
	src := p.blocks[b].src
	a, lane := &w.pack, (n*src.blocks+p.blocks[b].block)*lanes
	a.scale, a.shift, a.slope = ptr(src.scale, lane), ptr(src.shift, lane), src.slope
	a.rows, a.dstRow, a.srcRow = count, p.rowBytes, p.grid[2]*pixelBytes
	for _, c := range p.parts {
		a.dst, a.src = unsafe.Add(dst, c.at), unsafe.Add(rows, c.start*pixelBytes)
		a.px, a.srcStep, a.pad = c.count, c.step*pixelBytes, c.pad
		p.pack(a)
	}
}

// upsample is rowsTo for a source that is upsampled. Where rows are packed as they are
// computed they go to their place at once, else through rows of the worker.
func (p *packer) upsample(w *worker, n, d, h, count, b int, dst unsafe.Pointer) {
	up, block := p.blocks[b].src.up, p.blocks[b].block
	if p.pixel != pixelBytes {
		for from := 0; from < count; {
			some := min(count-from, up.kernel[1]-(h+from)%up.kernel[1])
			up.rows(w, n, d, h+from, some, block, ptr(w.rows, 0), p.grid[2]*pixelBytes)
			p.copy(w, n, some, b, unsafe.Add(dst, from*p.rowBytes), ptr(w.rows, 0))
			from += some
		}
		return
	}
	if p.parts[0].pad > 0 {
		for r := range count {
			*vector(dst, r*p.rowBytes) = [lanes]float32{}
			*vector(dst, (r+1)*p.rowBytes-pixelBytes) = [lanes]float32{}
		}
		dst = unsafe.Add(dst, pixelBytes)
	}
	up.rows(w, n, d, h, count, block, dst, p.rowBytes)
}

// gather packs a plain one-channel image for a convolution: the channels of a
// packed pixel are the rows of the image under the kernel's (KD, KH), so that one
// vector feeds up to nine taps instead of one.
type gather struct {
	table *table
	image []float32
	in    [3]int
	taps  [2][][]tap // by output plane and row
	kh    int
}

func (g *gather) rows(p *packer, w *worker, n, d, h, count, at int) {
	a := &w.transpose
	a.src, a.n, a.dstStep = ptr(g.image, n*g.in[0]*g.in[1]*g.in[2]), p.parts[0].count, pixelBytes
	for r := h; r < h+count; r++ {
		for i := range a.rows {
			a.rows[i] = -1
		}
		for _, td := range g.taps[0][d] {
			for _, th := range g.taps[1][r] {
				a.rows[td.k*g.kh+th.k] = 4 * (td.in*g.in[1] + th.in) * g.in[2]
			}
		}
		a.dst = ptr(w.scratch, (at+p.parts[0].at)/4)
		if p.parts[0].pad > 0 {
			*vector(a.dst, -pixelBytes) = [lanes]float32{}
			*vector(a.dst, a.n*pixelBytes) = [lanes]float32{}
		}
		g.table.transpose(a)
		at += p.rowBytes
	}
}
