package resample

import (
	"context"
	"slices"
)

// planeStage takes planes of a view through x and y.
type planeStage struct {
	view    view
	mapping Mapping
	sources []int32 // planes of the view to make, ascending
	x, y    cubicTaps
	nearX   []int32
	nearY   []int32
	workers []*planeWorker
}

func newPlaneStage(v view, m Mapping) *planeStage {
	s := &planeStage{
		view: v, mapping: m,
		x: newCubic(m.From[2], m.To[2]), y: newCubic(m.From[1], m.To[1]),
		nearX: nearest(m.From[2], m.To[2]), nearY: nearest(m.From[1], m.To[1]),
	}
	if m.Coarse == 0 {
		s.sources = slices.Compact(nearest(m.From[0], m.To[0])) // some planes may not be needed
	} else {
		s.sources = nearest(m.From[0], m.From[0])
	}
	s.workers = make([]*planeWorker, workers(len(s.sources)))
	return s
}

// run makes all planes, one after the other in dst.
func (s *planeStage) run(ctx context.Context, dst []float32) error {
	size := s.mapping.To[1] * s.mapping.To[2]
	return parallel(ctx, len(s.workers), len(s.sources), func(worker, i int) {
		if s.workers[worker] == nil {
			s.workers[worker] = newPlaneWorker(s)
		}
		s.workers[worker].plane(dst[i*size:(i+1)*size], int(s.sources[i]))
	})
}

// limits returns the range of the input over all planes.
func (s *planeStage) limits() limits {
	l := newLimits(s.mapping)
	for _, w := range s.workers {
		if w != nil {
			l.merge(w.limits)
		}
	}
	return l
}

// planeWorker holds what one worker needs: four lines, and a plane that has been
// through x, with the margin of y.
type planeWorker struct {
	*planeStage
	limits limits
	lines  [4][]float32
	rows   []float32
}

func newPlaneWorker(s *planeStage) *planeWorker {
	w := &planeWorker{planeStage: s, limits: newLimits(s.mapping)}
	for i := range w.lines {
		w.lines[i] = make([]float32, s.mapping.From[2]+2*margin)
	}
	if s.mapping.From[1] != s.mapping.To[1] {
		w.rows = make([]float32, (s.mapping.From[1]+2*margin)*s.mapping.To[2])
	}
	return w
}

// plane makes one plane of the output from plane z of the view.
func (w *planeWorker) plane(dst []float32, z int) {
	m, width := w.mapping, w.mapping.To[2]
	if m.Coarse == 0 {
		w.limits.reset()
	}
	if m.From[1] == m.To[1] {
		w.throughX(dst, z)
	} else {
		w.throughX(w.rows[margin*width:(margin+m.From[1])*width], z)
		w.throughY(dst)
	}
	if m.Coarse == 0 && (m.cubic(1) || m.cubic(2)) {
		clipRow(dst, w.limits.lo[0], w.limits.hi[0])
	}
}

// throughX reads the rows of plane z and resamples them along x, four at a time.
func (w *planeWorker) throughX(dst []float32, z int) {
	m, n, width := w.mapping, w.mapping.From[2], w.mapping.To[2]
	for y := 0; y < m.From[1]; y += len(w.lines) {
		count := min(len(w.lines), m.From[1]-y)
		for k, line := range w.lines[:count] {
			samples := line[margin : margin+n]
			w.view.row(samples, z, y+k)
			w.limits.extend(samples, y+k)
		}
		if m.cubic(2) {
			prefilterLines(&w.lines, n)
		}
		for k, line := range w.lines[:count] {
			w.lineThroughX(dst[(y+k)*width:(y+k+1)*width], line)
		}
	}
}

func (w *planeWorker) lineThroughX(dst, line []float32) {
	switch {
	case w.mapping.cubic(2):
		weights := w.x.weight[:len(dst)]
		for x, k := range w.x.first[:len(dst)] {
			c, t := line[k:k+4:k+4], &weights[x]
			dst[x] = t[0]*c[0] + t[1]*c[1] + t[2]*c[2] + t[3]*c[3]
		}
	case len(dst) != w.mapping.From[2]:
		for x, i := range w.nearX {
			dst[x] = line[margin+i]
		}
	default:
		copy(dst, line[margin:])
	}
}

// throughY resamples the plane in rows along y.
func (w *planeWorker) throughY(dst []float32) {
	m, width := w.mapping, w.mapping.To[2]
	if m.cubic(1) {
		prefilterRows(w.rows, m.From[1], width)
	}
	for y := range m.To[1] {
		out := dst[y*width : (y+1)*width]
		if m.cubic(1) {
			combineRows(out, w.rows[int(w.y.first[y])*width:], &w.y.weight[y])
		} else {
			copy(out, w.rows[(margin+int(w.nearY[y]))*width:])
		}
	}
}
