package cpu

import "noisystudent/model/program"

// newConcat plans the unfused form of views: channels one after another, norm and
// activation applied. Where a view begins inside a block, lanes are moved one by one.
func (l *loaded) newConcat(name string, in []program.View, id program.ID) op {
	out := l.floats(id)
	sources := l.sources(in)
	shape := l.shape(id)
	all, voxels := blocks(shape[1]), voxels(shape)
	size := l.dev.sizes.voxels
	parts := ceilDiv(voxels, size)
	phases := []phase{once(func() { prepare(sources) })}
	first := 0
	for _, s := range sources {
		start := first
		// One phase a source: the next one may write lanes of the same block.
		phases = append(phases, phase{s.batch * s.blocks * parts, func(w *worker, i int) {
			part, block, n := i%parts, i/parts%s.blocks, i/parts/s.blocks
			from := part * size
			count := min(size, voxels-from)
			c := start + block*lanes
			to := ((n*all+c/lanes)*voxels + from) * lanes
			if c%lanes == 0 {
				l.packRow(w, s, n, block, from, count, out[to:])
				return
			}
			l.moveLanes(w, s, n, block, from, count, func(lane, v int, x float32) {
				at := c%lanes + lane
				out[to+at/lanes*voxels*lanes+v*lanes+at%lanes] = x
			})
		}, len(s.data)})
		first += s.channels
	}
	return op{name, append(l.clearTail(out, shape, first == sources[0].channels), phases...)}
}

// clearTail zeroes an output whose lanes are written one by one.
func (l *loaded) clearTail(out []float32, shape []int, whole bool) []phase {
	if whole || shape[1]%lanes == 0 {
		return nil
	}
	return []phase{once(func() { clear(out) })}
}

// packRow writes count voxels of a source's block as its reader sees them.
func (l *loaded) packRow(w *worker, s *source, n, block, from, count int, dst []float32) {
	a := &w.pack
	lane := (n*s.blocks + block) * lanes
	a.scale, a.shift, a.slope = ptr(s.scale, lane), ptr(s.shift, lane), s.slope
	a.dst, a.src = ptr(dst, 0), ptr(s.data, s.at(n, block)+from*lanes)
	a.px, a.rows, a.srcStep, a.pad, a.dstRow, a.srcRow = count, 1, pixelBytes, 0, 0, 0
	l.dev.table.pack(a)
}

// moveLanes calls put for every channel and voxel of a part of a block.
func (l *loaded) moveLanes(w *worker, s *source, n, block, from, count int, put func(lane, voxel int, x float32)) {
	for v := range count {
		l.packRow(w, s, n, block, from+v, 1, w.vectors[:])
		for lane := range min(lanes, s.channels-block*lanes) {
			put(lane, v, w.vectors[lane])
		}
	}
}

// newAdd plans a + b of activations, kernels or vectors.
func (l *loaded) newAdd(i program.Add) op {
	out := l.floats(i.Out)
	a, b := l.addend(i.A), l.addend(i.B)
	piece := l.dev.sizes.piece
	return op{"add", []phase{
		once(func() { prepare([]*source{a, b}) }),
		{ceilDiv(len(out), piece), func(w *worker, p int) {
			at := p * piece
			w.add(l.dev.table, out[at:min(at+piece, len(out))], a.data[at:], b.data[at:])
		}, 2 * len(out)},
	}}
}

// add writes a + b to dst; what is no whole vector is left to plain Go.
func (w *worker) add(t *table, dst, a, b []float32) {
	whole := len(dst) &^ (lanes - 1)
	if whole > 0 {
		w.plus = addArgs{ptr(dst, 0), ptr(a, 0), ptr(b, 0), whole}
		t.add(&w.plus)
	}
	for i := whole; i < len(dst); i++ {
		dst[i] = a[i] + b[i]
	}
}

func (l *loaded) addend(id program.ID) *source {
	if l.p.Buffers[id].Class == program.Activation {
		return l.source(program.View{Buf: id, Norm: program.None})
	}
	return &source{data: l.floats(id)}
}

// newLabelsNearest plans labels on another grid: source = floor((o+0.5)*in/out).
func (l *loaded) newLabelsNearest(i program.LabelsNearest) op {
	in, out := l.shape(i.In), l.shape(i.Out)
	src, dst := l.labels(i.In), l.labels(i.Out)
	at := func(axis, o int) int { return (2*o + 1) * in[axis] / (2 * out[axis]) }
	columns := make([]int, out[3])
	for w := range columns {
		columns[w] = at(3, w)
	}
	return op{"labels nearest", []phase{{out[0] * out[1], func(_ *worker, p int) {
		n, d := p/out[1], p%out[1]
		for h := range out[2] {
			row := src[((n*in[1]+at(1, d))*in[2]+at(2, h))*in[3]:]
			to := dst[(p*out[2]+h)*out[3]:][:out[3]]
			for w, c := range columns {
				to[w] = row[c]
			}
		}
	}, len(dst)}}}
}

// newWeightedSum plans a weighted sum of short vectors.
func (l *loaded) newWeightedSum(i program.WeightedSum) op {
	out := l.floats(i.Out)
	return op{"weighted sum", []phase{once(func() {
		for j := range out {
			sum := 0.0
			for t, id := range i.Terms {
				sum += float64(i.Weights[t]) * float64(l.floats(id)[j])
			}
			out[j] = float32(sum)
		}
	})}}
}
