package predict

import (
	"runtime"
	"sync"
	"sync/atomic"

	"noisystudent/transforms/patch"
)

// ring holds what tiles may still add to: of the planes that a row of tiles covers, plane
// z at place z mod depth, the rows that a tile has reached and that are not finished.
// Logits of the models are apart, for softmax comes after blending.
type ring struct {
	Settings
	size  [3]int    // of the padded image
	gauss []float32 // (D, H, W) of a tile
	blend []*rows   // a model: (C, W) in a row; the last model's (C+1, W), with the sum of Gaussians, the same for all models

	scratch []*scratch // a thread
}

func newRing(s Settings, models int, size [3]int) *ring {
	r := &ring{Settings: s, size: size, gauss: patch.Gaussian(s.Patch), scratch: make([]*scratch, maxThreads)}
	for m := range models {
		channels := s.Classes
		if m == models-1 {
			channels++
		}
		r.blend = append(r.blend, &rows{at: make([][]float32, s.Patch[0]*size[1]), length: channels * size[2]})
	}
	return r
}

// place is where a row of a plane stands in rows.
func (r *ring) place(z, y int) int { return z%r.Patch[0]*r.size[1] + y }

// rows are those of a model that are in work. What is given back serves again.
type rows struct {
	at     [][]float32 // by place; nil where there is nothing
	free   [][]float32 // zeros
	length int
}

const (
	rowsAtOnce = 64   // get memory together
	pageFloats = 1024 // of a page of memory
)

// reach makes n rows from a place on.
func (r *rows) reach(from, n int) {
	for i := from; i < from+n; i++ {
		if r.at[i] != nil {
			continue
		}
		if len(r.free) == 0 {
			all := make([]float32, rowsAtOnce*r.length)
			for at := 0; at < len(all); at += pageFloats {
				all[at] = 0 // a page that is read first costs two faults, and the other threads an interrupt
			}
			for ; len(all) > 0; all = all[r.length:] {
				r.free = append(r.free, all[:r.length:r.length])
			}
		}
		last := len(r.free) - 1
		r.at[i], r.free = r.free[last], r.free[:last]
	}
}

// release empties n rows from a place on.
func (r *rows) release(from, n int) {
	parallel(n, func(_, i int) { clear(r.at[from+i]) })
	for i := from; i < from+n; i++ {
		if r.at[i] != nil {
			r.at[i], r.free = nil, append(r.free, r.at[i])
		}
	}
}

// add blends plane z (C, H, W) of the logits of a tile into a model's planes.
func (r *ring) add(model int, at [3]int, z int, logits []float32) {
	h, w, wide := r.Patch[1], r.Patch[2], r.size[2]
	blend, gauss, from := r.blend[model], r.gauss[z*h*w:][:h*w], r.place(at[0]+z, at[1])
	blend.reach(from, h)
	parallel(h, func(_, y int) {
		row, g := blend.at[from+y][at[2]:], gauss[y*w:][:w]
		for c := range r.Classes {
			addWeighted(row[c*wide:][:w], logits[(c*h+y)*w:][:w], g)
		}
		if model == len(r.blend)-1 {
			sum := row[r.Classes*wide:][:w]
			for x := range sum {
				sum[x] += g[x]
			}
		}
	})
}

// addWeighted adds values times their weights to a row.
func addWeighted(row, values, weights []float32) {
	values, weights = values[:len(row)], weights[:len(row)]
	for x := range row {
		row[x] += float32(values[x] * weights[x])
	}
}

// scratch is what one thread needs to finish a row of a plane. It is kept, for what
// rows leave behind would grow to the size of the ring before it is collected.
type scratch struct {
	rows, logits    [][]float32 // a class each
	scale, top, sum []float32
	all             []float32 // behind logits
}

// finish turns rows of a finished plane of all models into the scores (C, n, W), labels and
// votes (n, W) of the unpadded image, whose width is w and which begins at before.
func (r *ring) finish(z, y, w, before int, f Finished) {
	n, finish := len(f.Labels)/w, r.logits
	if len(r.blend) > 1 && !r.Softmax {
		finish = r.probabilities
	}
	parallel(n, func(worker, i int) {
		s := r.worker(worker, w)
		for c := range s.rows {
			s.rows[c] = f.Scores[(c*n+i)*w:][:w]
			clear(s.rows[c])
		}
		at := r.place(z, y+i)
		for x, v := range r.blend[len(r.blend)-1].at[at][r.Classes*r.size[2]+before:][:w] {
			s.scale[x] = 1 / v
		}
		if r.Temperature != 0 {
			for x := range s.scale {
				s.scale[x] /= r.Temperature
			}
		}
		for m, votes := range f.Votes {
			clear(s.all)
			r.addScaled(s.logits, r.blend[m].at[at][before:], s.scale)
			argMax(s.logits, s.top, votes[i*w:][:w])
		}
		finish(at, before, s)
		argMax(s.rows, s.top, f.Labels[i*w:][:w])
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

// logits adds the mean of the models' values in a row at a place, from before on, to the
// scratch's rows.
func (r *ring) logits(at, before int, s *scratch) {
	for x := range s.scale {
		s.scale[x] /= float32(len(r.blend))
	}
	for _, blend := range r.blend {
		r.addScaled(s.rows, blend.at[at][before:], s.scale)
	}
}

// probabilities is logits with a softmax before the mean.
func (r *ring) probabilities(at, before int, s *scratch) {
	for _, blend := range r.blend {
		clear(s.all)
		r.addScaled(s.logits, blend.at[at][before:], s.scale)
		softmaxRow(s.logits, s.top, s.sum, 1/float32(len(r.blend)))
		for c, row := range s.rows {
			for x, v := range s.logits[c] {
				row[x] += v
			}
		}
	}
}

func (r *ring) addScaled(rows [][]float32, blend, scale []float32) {
	for c, row := range rows {
		addWeighted(row, blend[c*r.size[2]:], scale)
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

// clear empties n rows of a plane for the tiles to come.
func (r *ring) clear(z, y, n int) {
	for _, blend := range r.blend {
		blend.release(r.place(z, y), n)
	}
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
