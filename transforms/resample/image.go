package resample

import (
	"context"
	"math"

	"noisystudent/io/volume"
)

// view is the part of a volume that is resampled, normalised while it is read.
type view struct {
	*volume.Compact
	box       volume.Box
	normalise func(row []float32) // in place; nil: values as they are
}

// viewOf is the view of a box of values in float32.
func viewOf(data []float32, shape [3]int, box volume.Box, normalise func(row []float32)) view {
	return view{&volume.Compact{Geometry: volume.Geometry{Shape: shape}, Float: data}, box, normalise}
}

// row reads one row of the box.
func (v view) row(dst []float32, z, y int) {
	v.Read(dst, ((v.box.Lo[0]+z)*v.Shape[1]+v.box.Lo[1]+y)*v.Shape[2]+v.box.Lo[2])
	if v.normalise != nil {
		v.normalise(dst)
	}
}

// Image resamples by cubic B-spline, the coarse axis by nearest neighbour, and
// clips to the range of the input (of the slice, where an axis is apart). It
// panics unless data fills the mapping's grid; the error is that of ctx.
func Image(ctx context.Context, data []float32, m Mapping) ([]float32, error) {
	mustFill(len(data), m.From)
	return resampleView(ctx, viewOf(data, m.From, volume.Whole(m.From), nil), m)
}

// resampleView resamples a view in two stages: every plane through x and y, then
// the volume through z. Maps of different axes commute, so this is the spline of
// three dimensions.
func resampleView(ctx context.Context, v view, m Mapping) ([]float32, error) {
	stage := newPlaneStage(v, m)
	sources := stage.sources()
	size := m.To[1] * m.To[2]
	// Planes are made in the output, which has room for the larger number of them.
	data := make([]float32, max(len(sources), m.To[0])*size)
	if err := stage.run(ctx, sources, data); err != nil {
		return nil, err
	}
	switch {
	case m.Coarse == 0:
		spread(data, nearest(m.From[0], m.To[0]), size)
	case m.cubic(0) || m.cubic(1) || m.cubic(2):
		if err := throughZ(ctx, data, m, stage.limits()); err != nil {
			return nil, err
		}
	}
	return data[:m.voxels():m.voxels()], nil
}

// cubic reports whether an axis is resampled by splines.
func (m Mapping) cubic(axis int) bool { return axis != m.Coarse && m.From[axis] != m.To[axis] }

// spread puts planes, made in the order of their first use, to every place that
// uses them. Going down from the top overwrites none that is still needed: plane
// z comes from one at or below z.
func spread(data []float32, near []int32, size int) {
	rank := make([]int, len(near))
	for z := 1; z < len(near); z++ {
		rank[z] = rank[z-1]
		if near[z] != near[z-1] {
			rank[z]++
		}
	}
	for z := len(near) - 1; z >= 0; z-- {
		if rank[z] != z {
			copy(data[z*size:(z+1)*size], data[rank[z]*size:])
		}
	}
}

// throughZ resamples along z in place, one row of y at a time, and clips.
func throughZ(ctx context.Context, data []float32, m Mapping, l limits) error {
	n, N, width, size := m.From[0], m.To[0], m.To[2], m.To[1]*m.To[2]
	if !m.cubic(0) {
		return parallel(ctx, workers(N), N, func(_, z int) {
			for y := range m.To[1] {
				l.clip(data[z*size+y*width:z*size+(y+1)*width], y)
			}
		})
	}
	taps := newCubic(n, N)
	scratch := make([][]float32, workers(m.To[1]))
	return parallel(ctx, len(scratch), m.To[1], func(worker, y int) {
		if scratch[worker] == nil {
			scratch[worker] = make([]float32, (n+2*margin)*width)
		}
		rows := scratch[worker]
		for z := range n {
			copy(rows[(margin+z)*width:(margin+z+1)*width], data[z*size+y*width:])
		}
		prefilterRows(rows, n, width)
		for z := range N {
			dst := data[z*size+y*width : z*size+(y+1)*width]
			combineRows(dst, rowsFrom(rows, int(taps.first[z]), width), &taps.weight[z])
			l.clip(dst, y)
		}
	})
}

// limits is the range that the output is clipped to: of the whole input, or of
// each slice of the axis that is apart.
type limits struct {
	axis   int       // 1 or 2: index by that axis of the output; else one range
	near   []int32   // source slice of each output slice of the axis
	lo, hi []float32 // by source slice
}

func newLimits(m Mapping) limits {
	l := limits{axis: m.Coarse, near: []int32{0}, lo: []float32{0}, hi: []float32{0}}
	if m.Coarse > 0 {
		n := m.From[m.Coarse]
		l = limits{m.Coarse, nearest(n, m.To[m.Coarse]), make([]float32, n), make([]float32, n)}
	}
	l.reset()
	return l
}

func (l limits) reset() {
	for i := range l.lo {
		l.lo[i], l.hi[i] = float32(math.Inf(1)), float32(math.Inf(-1))
	}
}

// extend takes in row y of the input.
func (l limits) extend(row []float32, y int) {
	switch l.axis {
	case 2:
		for x, v := range row {
			l.lo[x], l.hi[x] = min(l.lo[x], v), max(l.hi[x], v)
		}
	case 1:
		lo, hi := extent(row)
		l.lo[y], l.hi[y] = min(l.lo[y], lo), max(l.hi[y], hi)
	default:
		lo, hi := extent(row)
		l.lo[0], l.hi[0] = min(l.lo[0], lo), max(l.hi[0], hi)
	}
}

// merge takes in the limits of another part of the input.
func (l limits) merge(o limits) {
	for i := range l.lo {
		l.lo[i], l.hi[i] = min(l.lo[i], o.lo[i]), max(l.hi[i], o.hi[i])
	}
}

// clip cuts row y of the output.
func (l limits) clip(row []float32, y int) {
	if l.axis == 2 {
		for x, i := range l.near {
			row[x] = min(max(row[x], l.lo[i]), l.hi[i])
		}
		return
	}
	i := int32(0)
	if l.axis == 1 {
		i = l.near[y]
	}
	clipRow(row, l.lo[i], l.hi[i])
}

func clipRow(row []float32, lo, hi float32) {
	for x, v := range row {
		if v < lo {
			row[x] = lo
		} else if v > hi {
			row[x] = hi
		}
	}
}

// extent returns the smallest and largest value of a row.
func extent(row []float32) (lo, hi float32) {
	lo, hi = row[0], row[0]
	for _, v := range row {
		if v < lo {
			lo = v
		} else if v > hi {
			hi = v
		}
	}
	return lo, hi
}
