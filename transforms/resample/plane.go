package resample

import (
	"context"
	"slices"
)

// planeStage takes planes of a view through x and y.
type planeStage struct {
	view    view
	mapping Mapping
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
	s.workers = make([]*planeWorker, workers(m.From[0]))
	return s
}

// sources lists the planes of the view that the output is made of, ascending.
func (s *planeStage) sources() []int32 {
	if s.mapping.Coarse == 0 {
		return slices.Compact(nearest(s.mapping.From[0], s.mapping.To[0])) // some planes may not be needed
	}
	return upTo(0, s.mapping.From[0])
}

// run makes planes of the view, one after the other in dst.
func (s *planeStage) run(ctx context.Context, sources []int32, dst []float32) error {
	size := s.mapping.To[1] * s.mapping.To[2]
	return s.each(ctx, sources, func(i int) []float32 { return dst[i*size : (i+1)*size] })
}

// each makes planes of the view where to puts them.
func (s *planeStage) each(ctx context.Context, sources []int32, to func(i int) []float32) error {
	return parallel(ctx, min(len(s.workers), len(sources)), len(sources), func(worker, i int) {
		s.worker(worker).plane(to(i), int(sources[i]))
	})
}

func (s *planeStage) worker(i int) *planeWorker {
	if s.workers[i] == nil {
		s.workers[i] = newPlaneWorker(s)
	}
	return s.workers[i]
}

// measure finds limits without making planes.
func (s *planeStage) measure(ctx context.Context) (limits, error) {
	m := s.mapping
	err := parallel(ctx, len(s.workers), m.From[0], func(worker, z int) {
		w := s.worker(worker)
		row := w.lines[0][margin : margin+m.From[2]]
		for y := range m.From[1] {
			s.view.row(row, z, y)
			w.limits.extend(row, y)
		}
	})
	return s.limits(), err
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
			combineRows(out, rowsFrom(w.rows, int(w.y.first[y]), width), &w.y.weight[y])
		} else {
			copy(out, w.rows[(margin+int(w.nearY[y]))*width:])
		}
	}
}
