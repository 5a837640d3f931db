package resample

import (
	"context"
	"fmt"
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
// of an ensemble) that come plane by plane: the class with the largest linearly
// resampled score, the lowest among equals. It is nnU-Net's export (scores
// resampled with order 1, then arg-max) without resampled scores: where all source
// voxels of an output have one class no mixture of their scores can prefer
// another, so only voxels along the borders of classes are computed. It holds two
// planes of scores.
type Exporter struct {
	mapping Mapping
	classes int
	borders *borders
	scores  [2][]float32 // (C, Y, X) of planes z-1 and z, plane k at k&1
	next    int          // the source plane to come
	made    int          // output planes
	labels  []uint8
}

// NewExporter returns an exporter for scores of the given number of classes on
// the mapping's source grid.
func NewExporter(m Mapping, classes int) *Exporter {
	size := m.From[1] * m.From[2]
	e := &Exporter{mapping: m, classes: classes, borders: newBorders(make([]uint8, m.From[0]*size), m), labels: make([]uint8, m.voxels())}
	for k := range e.scores {
		e.scores[k] = make([]float32, classes*size)
	}
	return e
}

// Plane takes the scores (C, Y, X) of the next source plane, z ascending from 0, and
// the class with the largest score at each of its voxels, the lowest among
// equals. Both are copied. The error is that of ctx, after which the exporter must
// not be used.
func (e *Exporter) Plane(ctx context.Context, scores []float32, labels []uint8) error {
	m, size := e.mapping, e.mapping.From[1]*e.mapping.From[2]
	if e.next == m.From[0] || len(scores) != e.classes*size || len(labels) != size {
		panic(fmt.Sprintf("resample: plane %d of %v with %d scores and %d labels", e.next, m.From, len(scores), len(labels)))
	}
	copy(e.scores[e.next&1], scores)
	copy(e.borders.labels[e.next*size:], labels)
	first := e.made
	for e.made < m.To[0] && int(e.borders.taps[0].hi[e.made]) <= e.next {
		e.made++
	}
	e.next++
	rows := (e.made - first) * m.To[1]
	choosers := make([]*mixture, workers(rows))
	return parallel(ctx, len(choosers), rows, func(worker, i int) {
		if choosers[worker] == nil {
			choosers[worker] = &mixture{Exporter: e, sum: make([]float64, e.classes)}
		}
		at := first*m.To[1] + i
		e.borders.row(e.labels[at*m.To[2]:(at+1)*m.To[2]], at/m.To[1], at%m.To[1], choosers[worker])
	})
}

// Labels returns the result, once every source plane was given.
func (e *Exporter) Labels() []uint8 {
	if e.made != e.mapping.To[0] {
		panic(fmt.Sprintf("resample: %d of %d planes were exported", e.made, e.mapping.To[0]))
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
