package resample

import (
	"context"
	"encoding/binary"
)

// Labels resamples classes as nnU-Net does with batchgenerators 0.25.5 (order 1):
// every class is an indicator, resampled linearly (the coarse axis by nearest
// neighbour), and the largest wins. Where several share the largest value, to the
// last bit of float64, the class of the nearest source voxel wins if it is among
// them, else the smallest.
//
// A voxel whose source voxels are all alike needs no arithmetic, and most are:
// only the others are computed. It panics unless data fills the mapping's grid;
// the error is that of ctx.
func Labels(ctx context.Context, data []uint8, m Mapping) ([]uint8, error) {
	mustFill(len(data), m.From)
	b := newBorders(data, m)
	dst := make([]uint8, m.voxels())
	size := m.To[1] * m.To[2]
	repeats := func(z int) bool {
		return m.Coarse == 0 && z > 0 && b.taps[0].near[z] == b.taps[0].near[z-1]
	}
	votes := make([]vote, workers(m.To[0]))
	err := parallel(ctx, len(votes), m.To[0], func(worker, z int) {
		votes[worker].labels = data
		for y := 0; y < m.To[1] && !repeats(z); y++ {
			b.row(dst[z*size+y*m.To[2]:z*size+(y+1)*m.To[2]], z, y, &votes[worker])
		}
	})
	for z := range m.To[0] {
		if repeats(z) {
			copy(dst[z*size:(z+1)*size], dst[(z-1)*size:])
		}
	}
	return dst, err
}

// corners is the source voxels of one output voxel, in ascending order along z,
// then y, then x, with their weights; those of weight 0 are left out.
type corners struct {
	n       int
	voxel   [8]int
	weight  [8]float64
	nearest int
}

// A chooser decides the class of an output voxel whose source voxels differ. It
// serves one worker.
type chooser interface {
	corners() *corners // to be filled in
	choose() uint8
}

// borders finds the output voxels whose source voxels have more than one class.
type borders struct {
	labels   []uint8 // of the source
	from, to [3]int
	taps     [3]linearTaps
	spans    spans
}

func newBorders(labels []uint8, m Mapping) *borders {
	b := &borders{labels: labels, from: m.From, to: m.To}
	for a := range 3 {
		b.taps[a] = newLinear(m.From[a], m.To[a], a == m.Coarse)
	}
	b.spans = newSpans(b.taps[2], m.From[2])
	return b
}

// row makes one output row from the up to four source rows around it: runs of
// outputs with one class get it, the others go to the chooser.
func (b *borders) row(dst []uint8, z, y int, c chooser) {
	tz, ty, nx := &b.taps[0], &b.taps[1], b.from[2]
	var rows [4][]uint8
	for k := range rows {
		sz, _ := tz.tap(z, k&2 != 0)
		sy, _ := ty.tap(y, k&1 != 0)
		at := (sz*b.from[1] + sy) * nx
		rows[k] = b.labels[at : at+nx]
	}
	done := 0
	for x := 0; x < nx; {
		end := uniform(&rows, x)
		if end > x {
			// Outputs whose taps lie all in [x, end).
			from, to := max(b.spans.from[x], done), b.spans.to[end-1]
			if from < to {
				b.mixed(dst, z, y, done, from, c)
				fill(dst[from:to], rows[0][x])
				done = to
			}
		}
		x = max(end, x+1)
	}
	b.mixed(dst, z, y, done, len(dst), c)
}

// uniform returns the end of the run from x in which all rows hold one class, or
// x where they differ there.
func uniform(rows *[4][]uint8, x int) int {
	a, b, c, d := rows[0], rows[1], rows[2], rows[3]
	class := a[x]
	all := uint64(class) * 0x0101010101010101
	for x+8 <= len(a) && binary.LittleEndian.Uint64(a[x:]) == all && binary.LittleEndian.Uint64(b[x:]) == all &&
		binary.LittleEndian.Uint64(c[x:]) == all && binary.LittleEndian.Uint64(d[x:]) == all {
		x += 8
	}
	for x < len(a) && a[x] == class && b[x] == class && c[x] == class && d[x] == class {
		x++
	}
	return x
}

func fill(dst []uint8, class uint8) {
	for i := range dst {
		dst[i] = class
	}
}

// mixed asks the chooser for the outputs [from, to) of a row.
func (b *borders) mixed(dst []uint8, z, y, from, to int, chooser chooser) {
	t, ny, nx, c := &b.taps, b.from[1], b.from[2], chooser.corners()
	for x := from; x < to; x++ {
		c.n, c.nearest = 0, (int(t[0].near[z])*ny+int(t[1].near[y]))*nx+int(t[2].near[x])
		for k := range 8 {
			sz, wz := t[0].tap(z, k&4 != 0)
			sy, wy := t[1].tap(y, k&2 != 0)
			sx, wx := t[2].tap(x, k&1 != 0)
			if wz == 0 || wy == 0 || wx == 0 {
				continue
			}
			c.voxel[c.n], c.weight[c.n] = (sz*ny+sy)*nx+sx, wz*wy*wx
			c.n++
		}
		dst[x] = chooser.choose()
	}
}

// spans tells which outputs of a row have all their taps in [s, e) of the source:
// those in [from[s], to[e-1]).
type spans struct{ from, to []int }

func newSpans(t linearTaps, n int) spans {
	s := spans{make([]int, n), make([]int, n)}
	from, to := 0, 0
	for i := range n {
		for from < len(t.lo) && int(t.lo[from]) < i {
			from++
		}
		for to < len(t.hi) && int(t.hi[to]) <= i {
			to++
		}
		s.from[i], s.to[i] = from, to
	}
	return s
}

// vote adds the weights of equal classes.
type vote struct {
	labels []uint8
	around corners
}

func (v *vote) corners() *corners { return &v.around }

func (v *vote) choose() uint8 {
	c := &v.around
	var class [8]uint8
	var score [8]float64
	n := 0
corner:
	for k := range c.n {
		label := v.labels[c.voxel[k]]
		for i := range n {
			if class[i] == label {
				score[i] += c.weight[k]
				continue corner
			}
		}
		class[n], score[n] = label, c.weight[k]
		n++
	}
	best := 0
	for i := 1; i < n; i++ {
		if score[i] > score[best] || score[i] == score[best] && class[i] < class[best] {
			best = i
		}
	}
	for i := range n {
		if class[i] == v.labels[c.nearest] && score[i] == score[best] {
			return class[i]
		}
	}
	return class[best]
}
