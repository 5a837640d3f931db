package cpu

import "noisystudent/model/program"

// reduction takes mean and spread of every channel of an activation.
type reduction struct {
	l     *loaded
	src   *source
	size  int       // voxels of a part
	parts int       // of a block
	sums  []float64 // (N, block, part, lane, 2)
}

func (l *loaded) newReduction(id program.ID) *reduction {
	r := &reduction{l: l, src: l.source(program.View{Buf: id, Norm: program.None})}
	r.size = l.dev.sizes.voxels
	r.parts = ceilDiv(r.src.voxels, r.size)
	r.sums = make([]float64, r.src.batch*r.src.blocks*r.parts*2*lanes)
	return r
}

func (r *reduction) phases() []phase {
	return []phase{
		once(r.src.prepare),
		{r.src.batch * r.src.blocks * r.parts, r.item, len(r.src.data)},
	}
}

func (r *reduction) item(w *worker, i int) {
	a := &w.sum
	part, block := i%r.parts, i/r.parts
	from := part * r.size
	at := (block*r.src.voxels + from) * lanes
	a.n = min(r.size, r.src.voxels-from)
	a.src, a.shift = ptr(r.src.data, at), ptr(r.src.data, at)
	r.l.dev.table.sum(a)
	for l := range lanes {
		r.sums[2*(i*lanes+l)], r.sums[2*(i*lanes+l)+1] = float64(a.sums[l]), float64(a.sums[lanes+l])
	}
}

// spread joins the parts of channel c of batch element n.
func (r *reduction) spread(n, c int) spread {
	var all spread
	block, lane := n*r.src.blocks+c/lanes, c%lanes
	for part := range r.parts {
		from := part * r.size
		at := 2 * ((block*r.parts+part)*lanes + lane)
		shift := r.src.data[(block*r.src.voxels+from)*lanes+lane]
		all = all.join(deviations(min(r.size, r.src.voxels-from), shift, r.sums[at], r.sums[at+1]))
	}
	return all
}

// newMoments plans mean and variance of an activation.
func (l *loaded) newMoments(i program.Moments) op {
	r := l.newReduction(i.In)
	out := l.floats(i.Out)
	finish := once(func() {
		for n := range r.src.batch {
			for c := range r.src.channels {
				s := r.spread(n, c)
				at := 2 * (n*r.src.channels + c)
				out[at], out[at+1] = float32(s.mean), float32(s.sq/s.n)
			}
		}
	})
	return op{"moments", append(r.phases(), finish)}
}
