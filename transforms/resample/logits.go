package resample

import (
	"context"
	"fmt"
	"slices"
)

// Linear resamples one channel of logits or probabilities with order 1, the coarse
// axis by nearest neighbour, in float64 as nnU-Net does. It is for those who want
// the values themselves; labels are made by an Exporter. It panics unless data
// fills the mapping's grid; the error is that of ctx.
func Linear(ctx context.Context, data []float32, m Mapping) ([]float32, error) {
	mustFill(len(data), m.From)
	dst := make([]float32, m.voxels())
	var t [3]linearTaps
	for a := range 3 {
		t[a] = newLinear(m.From[a], m.To[a], a == m.Coarse)
	}
	ny, nx, size := m.From[1], m.From[2], m.To[1]*m.To[2]
	err := parallel(ctx, workers(m.To[0]), m.To[0], func(_, z int) {
		row := make([]float64, nx)
		for y := range m.To[1] {
			clear(row)
			for k := range 4 {
				sz, wz := t[0].tap(z, k&2 != 0)
				sy, wy := t[1].tap(y, k&1 != 0)
				for x, v := range data[(sz*ny+sy)*nx : (sz*ny+sy+1)*nx] {
					row[x] += wz * wy * float64(v)
				}
			}
			out := dst[z*size+y*m.To[2] : z*size+(y+1)*m.To[2]]
			for x := range out {
				out[x] = float32(t[2].wlo[x]*row[t[2].lo[x]] + t[2].whi[x]*row[t[2].hi[x]])
			}
		}
	})
	return dst, err
}

// Exporter makes labels on another grid from scores (logits, or the probabilities
// of an ensemble) that come by rows of planes: the class with the largest linearly
// resampled score, the lowest among equals. It is nnU-Net's export (scores
// resampled with order 1, then arg-max) without resampled scores: where all source
// voxels of an output have one class no mixture of their scores can prefer
// another, so only voxels along the borders of classes are computed. It holds two
// planes of scores.
type Exporter struct {
	mapping Mapping
	classes int
	borders *borders
	scores  [2][]float32 // (C, Y, X), plane k at k&1
	last    map[int]line // the last row that came of each plane, where more of the plane are to come
	made    int          // output rows
	labels  []uint8
}

// line is a row (C, X) of scores.
type line struct {
	y      int
	scores []float32
}

// NewExporter returns an exporter for scores of the given number of classes on
// the mapping's source grid.
func NewExporter(m Mapping, classes int) *Exporter {
	size := m.From[1] * m.From[2]
	e := &Exporter{mapping: m, classes: classes, borders: newBorders(make([]uint8, m.From[0]*size), m), labels: make([]uint8, m.voxels()), last: map[int]line{}}
	for k := range e.scores {
		e.scores[k] = make([]float32, classes*size)
	}
	return e
}

// Rows takes the scores (C, n, X) of the rows of source plane z from y on, and the class
// with the largest score at each of their voxels, the lowest among equals. Rows of a plane
// come in their order, each once, and after those of the plane above. So planes come one
// after the other, or some together by their rows: the first rows of all, then the next. Both
// are copied. The error is that of ctx, after which the exporter must not be used.
func (e *Exporter) Rows(ctx context.Context, z, y int, scores []float32, labels []uint8) error {
	m, nx := e.mapping, e.mapping.From[2]
	n := len(labels) / nx
	if z >= m.From[0] || y+n > m.From[1] || n < 1 || len(labels) != n*nx || len(scores) != e.classes*len(labels) {
		panic(fmt.Sprintf("resample: rows from %d of plane %d of %v with %d scores and %d labels", y, z, m.From, len(scores), len(labels)))
	}
	for class := range e.classes {
		copy(e.scores[z&1][(class*m.From[1]+y)*nx:], scores[class*n*nx:(class+1)*n*nx])
	}
	copy(e.borders.labels[(z*m.From[1]+y)*nx:], labels)
	e.join(z-1, y, y+n)
	e.join(z, y, y+n)
	planes, rows := reached(e.borders.taps[0].hi, z, z+1), reached(e.borders.taps[1].hi, y, y+n)
	count := (planes[1] - planes[0]) * (rows[1] - rows[0])
	e.made += count
	choosers := make([]*mixture, workers(count))
	return parallel(ctx, len(choosers), count, func(worker, i int) {
		if choosers[worker] == nil {
			choosers[worker] = &mixture{Exporter: e, sum: make([]float64, e.classes)}
		}
		z, y := planes[0]+i/(rows[1]-rows[0]), rows[0]+i%(rows[1]-rows[0])
		e.borders.row(e.labels[(z*m.To[1]+y)*m.To[2]:][:m.To[2]], z, y, choosers[worker])
	})
}

// join puts back the row of plane z before y, over which other planes may have gone, and
// keeps the one before end for the rows to come.
func (e *Exporter) join(z, y, end int) {
	if z < 0 {
		return
	}
	ny, nx, plane := e.mapping.From[1], e.mapping.From[2], e.scores[z&1]
	l := e.last[z]
	if y > 0 && l.y == y-1 && l.scores != nil {
		for class := range e.classes {
			copy(plane[(class*ny+y-1)*nx:], l.scores[class*nx:(class+1)*nx])
		}
	}
	if end == ny {
		delete(e.last, z)
		return
	}
	if l.scores == nil {
		l.scores = make([]float32, e.classes*nx)
	}
	l.y = end - 1
	for class := range e.classes {
		copy(l.scores[class*nx:(class+1)*nx], plane[(class*ny+l.y)*nx:])
	}
	e.last[z] = l
}

// reached are the outputs [from, to) whose upper source lies in [lo, hi).
func reached(upper []int32, lo, hi int) [2]int {
	from, _ := slices.BinarySearch(upper, int32(lo))
	to, _ := slices.BinarySearch(upper, int32(hi))
	return [2]int{from, to}
}

// Labels returns the result, once every source plane was given.
func (e *Exporter) Labels() []uint8 {
	if rows := e.mapping.To[0] * e.mapping.To[1]; e.made != rows {
		panic(fmt.Sprintf("resample: %d of %d rows were exported", e.made, rows))
	}
	return e.labels
}

// mixture resamples the scores of one voxel.
type mixture struct {
	*Exporter
	sum    []float64
	around corners
}

func (x *mixture) corners() *corners { return &x.around }

func (x *mixture) choose() uint8 {
	c := &x.around
	clear(x.sum)
	size := x.mapping.From[1] * x.mapping.From[2]
	for k := range c.n {
		plane := x.scores[c.voxel[k]/size&1]
		i, w := c.voxel[k]%size, c.weight[k]
		for class := range x.sum {
			x.sum[class] += w * float64(plane[class*size+i])
		}
	}
	best := 0
	for class, v := range x.sum {
		if v > x.sum[best] {
			best = class
		}
	}
	return uint8(best)
}
