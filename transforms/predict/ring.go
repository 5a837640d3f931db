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
}

func newRing(s Settings, models int, size [3]int) *ring {
	r := &ring{Settings: s, size: size, gauss: patch.Gaussian(s.Patch)}
	planes := s.Patch[0] * size[1] * size[2]
	r.weight = make([]float32, planes)
	for range models {
		r.blend = append(r.blend, make([]float32, s.Classes*planes))
	}
	return r
}

// add blends the logits (C, D, H, W) of a tile into a model's planes.
func (r *ring) add(model int, at [3]int, logits []float32) {
	d, plane := r.Patch[0], r.size[1]*r.size[2]
	size := r.Patch[1] * r.Patch[2]
	blend := r.blend[model]
	parallel(r.Classes*d, func(i int) {
		c, z := i/d, i%d
		to := (at[0] + z) % d * plane
		gauss := r.gauss[z*size:][:size]
		r.addPlane(blend[c*d*plane+to:][:plane], at, logits[i*size:][:size], gauss)
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

// plane turns a finished plane of all models into the scores (C, H, W) and labels
// (H, W) of the unpadded image.
func (r *ring) plane(z int, shape, before [3]int, scores []float32, labels []uint8) {
	h, w := shape[1], shape[2]
	finish := r.logits
	if len(r.blend) > 1 && !r.Softmax {
		finish = r.probabilities
	}
	parallel(h, func(y int) {
		rows := make([][]float32, r.Classes)
		for c := range rows {
			rows[c] = scores[(c*h+y)*w:][:w]
			clear(rows[c])
		}
		at := (z%r.Patch[0]*r.size[1]+y+before[1])*r.size[2] + before[2]
		scale := make([]float32, w)
		for x, v := range r.weight[at:][:w] {
			scale[x] = 1 / v
		}
		finish(at, scale, rows)
		argMax(rows, labels[y*w:][:w])
	})
}

// logits adds the mean of the models' values in a row, which begins at a place of
// the ring, to rows, a class each.
func (r *ring) logits(at int, scale []float32, rows [][]float32) {
	for x := range scale {
		scale[x] /= float32(len(r.blend))
	}
	for _, blend := range r.blend {
		r.addScaled(rows, blend, at, scale)
	}
}

// probabilities is logits with a softmax before the mean.
func (r *ring) probabilities(at int, scale []float32, rows [][]float32) {
	w := len(scale)
	all := make([]float32, len(rows)*w)
	one := make([][]float32, len(rows))
	for c := range one {
		one[c] = all[c*w:][:w]
	}
	for _, blend := range r.blend {
		clear(all)
		r.addScaled(one, blend, at, scale)
		softmaxRow(one, 1/float32(len(r.blend)))
		for c, row := range rows {
			for x, v := range one[c] {
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

// argMax writes the class of the largest score to each voxel, the lowest among equals.
func argMax(rows [][]float32, labels []uint8) {
	clear(labels)
	top := make([]float32, len(labels))
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
	parallel(r.Classes*len(r.blend), func(i int) {
		clear(r.blend[i%len(r.blend)][(i/len(r.blend)*d+z%d)*plane:][:plane])
	})
}

// parallel calls work for 0 to n-1, on as many threads as Go may use.
func parallel(n int, work func(i int)) {
	var next atomic.Int64
	var group sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), n) {
		group.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				work(i)
			}
		})
	}
	group.Wait()
}
