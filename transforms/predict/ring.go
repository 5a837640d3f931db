package predict

import (
	"runtime"
	"sync"
	"sync/atomic"

	"noisystudent/transforms/patch"
)

// ring holds the planes that tiles may still add to: as many as a tile is deep,
// plane z at place z mod depth. Logits of the models are apart, for softmax comes
// after blending.
type ring struct {
	Settings
	size   [3]int      // of the padded image
	gauss  []float32   // (D, H, W) of a tile
	weight []float32   // (ring, H, W): sum of Gaussians, the same for all models
	blend  [][]float32 // a model: (C, ring, H, W)

	scratch []*scratch // a thread
}

func newRing(s Settings, models int, size [3]int) *ring {
	r := &ring{Settings: s, size: size, gauss: patch.Gaussian(s.Patch), scratch: make([]*scratch, maxThreads)}
	planes := s.Patch[0] * size[1] * size[2]
	r.weight = make([]float32, planes)
	for range models {
		r.blend = append(r.blend, make([]float32, s.Classes*planes))
	}
	return r
}

// add blends plane z (C, H, W) of the logits of a tile into a model's planes.
func (r *ring) add(model int, at [3]int, z int, logits []float32) {
	d, plane := r.Patch[0], r.size[1]*r.size[2]
	size := r.Patch[1] * r.Patch[2]
	blend, gauss, to := r.blend[model], r.gauss[z*size:][:size], (at[0]+z)%d*plane
	parallel(r.Classes, func(_, c int) {
		r.addPlane(blend[c*d*plane+to:][:plane], at, logits[c*size:][:size], gauss)
		if model == 0 && c == 0 {
			r.addPlane(r.weight[to:][:plane], at, nil, gauss)
		}
	})
}

// addPlane adds values (H, W) of a tile times its Gaussian to a plane; nil values are ones.
func (r *ring) addPlane(plane []float32, at [3]int, values, gauss []float32) {
	h, w := r.Patch[1], r.Patch[2]
	for y := range h {
		row, g := plane[(at[1]+y)*r.size[2]+at[2]:][:w], gauss[y*w:][:w]
		if values == nil {
			for x := range row {
				row[x] += g[x]
			}
			continue
		}
		v := values[y*w:][:w]
		for x := range row {
			row[x] += float32(v[x] * g[x])
		}
	}
}

// scratch is what one thread needs to finish a row of a plane. It is kept, for what
// rows leave behind would grow to the size of the ring before it is collected.
type scratch struct {
	rows, logits    [][]float32 // a class each
	scale, top, sum []float32
	all             []float32 // behind logits
}

// plane turns a finished plane of all models into the scores (C, H, W), labels and votes
// (H, W) of the unpadded image.
func (r *ring) plane(z int, shape, before [3]int, f *Finished) {
	h, w := shape[1], shape[2]
	finish := r.logits
	if len(r.blend) > 1 && !r.Softmax {
		finish = r.probabilities
	}
	parallel(h, func(worker, y int) {
		s := r.worker(worker, w)
		for c := range s.rows {
			s.rows[c] = f.Scores[(c*h+y)*w:][:w]
			clear(s.rows[c])
		}
		at := (z%r.Patch[0]*r.size[1]+y+before[1])*r.size[2] + before[2]
		for x, v := range r.weight[at:][:w] {
			s.scale[x] = 1 / v
		}
		if r.Temperature != 0 {
			for x := range s.scale {
				s.scale[x] /= r.Temperature
			}
		}
		for m, votes := range f.Votes {
			clear(s.all)
			r.addScaled(s.logits, r.blend[m], at, s.scale)
			argMax(s.logits, s.top, votes[y*w:][:w])
		}
		finish(at, s)
		argMax(s.rows, s.top, f.Labels[y*w:][:w])
	})
}

// worker returns the scratch of a thread for rows of a width.
func (r *ring) worker(i, w int) *scratch {
	if s := r.scratch[i]; s != nil {
		return s
	}
	s := &scratch{
		rows: make([][]float32, r.Classes), logits: make([][]float32, r.Classes), all: make([]float32, r.Classes*w),
		scale: make([]float32, w), top: make([]float32, w), sum: make([]float32, w),
	}
	for c := range s.logits {
		s.logits[c] = s.all[c*w:][:w]
	}
	r.scratch[i] = s
	return s
}

// logits adds the mean of the models' values in a row, which begins at a place of
// the ring, to the scratch's rows.
func (r *ring) logits(at int, s *scratch) {
	for x := range s.scale {
		s.scale[x] /= float32(len(r.blend))
	}
	for _, blend := range r.blend {
		r.addScaled(s.rows, blend, at, s.scale)
	}
}

// probabilities is logits with a softmax before the mean.
func (r *ring) probabilities(at int, s *scratch) {
	for _, blend := range r.blend {
		clear(s.all)
		r.addScaled(s.logits, blend, at, s.scale)
		softmaxRow(s.logits, s.top, s.sum, 1/float32(len(r.blend)))
		for c, row := range s.rows {
			for x, v := range s.logits[c] {
				row[x] += v
			}
		}
	}
}

func (r *ring) addScaled(rows [][]float32, blend []float32, at int, scale []float32) {
	planes := r.Patch[0] * r.size[1] * r.size[2]
	for c, row := range rows {
		from, by := blend[c*planes+at:][:len(row)], scale[:len(row)]
		for x := range row {
			row[x] += float32(from[x] * by[x])
		}
	}
}

// argMax writes the class of the largest score to each voxel, the lowest among
// equals. top is overwritten.
func argMax(rows [][]float32, top []float32, labels []uint8) {
	clear(labels)
	copy(top, rows[0])
	for c := 1; c < len(rows); c++ {
		row, labels := rows[c][:len(top)], labels[:len(top)]
		for x, v := range row {
			if v > top[x] {
				top[x], labels[x] = v, uint8(c)
			}
		}
	}
}

// clear empties the place of a finished plane for the tiles below.
func (r *ring) clear(z int) {
	d, plane := r.Patch[0], r.size[1]*r.size[2]
	clear(r.weight[z%d*plane:][:plane])
	parallel(r.Classes*len(r.blend), func(_, i int) {
		clear(r.blend[i%len(r.blend)][(i/len(r.blend)*d+z%d)*plane:][:plane])
	})
}

// maxThreads that share a plane: more would wait for memory.
const maxThreads = 32

// parallel calls work for 0 to n-1 on as many threads as Go may use, the caller's
// among them, and tells it which of them it is.
func parallel(n int, work func(worker, i int)) {
	var next atomic.Int64
	share := func(worker int) {
		for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
			work(worker, i)
		}
	}
	var group sync.WaitGroup
	for worker := 1; worker < min(runtime.GOMAXPROCS(0), maxThreads, n); worker++ {
		group.Go(func() { share(worker) })
	}
	share(0)
	group.Wait()
}
