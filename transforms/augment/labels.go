package augment

import "math"

// outside marks a neighbour beyond the case. nnU-Net pads labels with -1, lets it
// compete with the labels while interpolating, and turns it into background last.
const outside = -1

// sampleLabels gives each voxel of a row the label with the largest linearly
// interpolated indicator.
func (b box) sampleLabels(q, step [3]float64, first, end int, row []uint8) {
	for x := range first {
		row[x] = b.labelNearEdge(q, step, x)
	}
	nx, nyx := b.shape[2], b.shape[1]*b.shape[2]
	for x := first; x < end; x++ {
		t := float64(x)
		pz, py, px := q[0]+t*step[0], q[1]+t*step[1], q[2]+t*step[2]
		iz, iy, ix := int(pz), int(py), int(px)
		o := iz*nyx + iy*nx + ix
		a, c := b.labels[o:o+2], b.labels[o+nx:o+nx+2]
		d, e := b.labels[o+nyx:o+nyx+2], b.labels[o+nyx+nx:o+nyx+nx+2]
		v := a[0]
		if (v^a[1])|(v^c[0])|(v^c[1])|(v^d[0])|(v^d[1])|(v^e[0])|(v^e[1]) == 0 {
			row[x] = v // inside one organ: the usual case
			continue
		}
		fz, fy, fx := float32(pz-float64(iz)), float32(py-float64(iy)), float32(px-float64(ix))
		var votes vote
		for i, w := range [4]float32{(1 - fz) * (1 - fy), (1 - fz) * fy, fz * (1 - fy), fz * fy} {
			pair := [4][]uint8{a, c, d, e}[i]
			votes.add(int(pair[0]), 1000*(w*(1-fx)))
			votes.add(int(pair[1]), 1000*(w*fx))
		}
		row[x] = b.elect(&votes, q, step, x)
	}
	for x := end; x < len(row); x++ {
		row[x] = b.labelNearEdge(q, step, x)
	}
}

func (b box) labelNearEdge(q, step [3]float64, x int) uint8 {
	near, f := neighbours(q, step, x)
	var v vote
	for corner := range 8 {
		label := outside
		if o, ok := b.offset(near, corner); ok {
			label = int(b.labels[o])
		}
		v.add(label, 1000*weight(f, corner))
	}
	return b.elect(&v, q, step, x)
}

// elect returns the winner of a vote at voxel x; among equals the nearest voxel's
// label, if it is one of them.
func (b box) elect(v *vote, q, step [3]float64, x int) uint8 {
	best, top, tied := v.winner()
	if tied {
		if n := b.nearestLabel(q, step, x); v.score(n) == top {
			best = n
		}
	}
	return uint8(max(best, 0))
}

// nearestLabel rounds half to even in coordinates of the case, as grid_sample does.
func (b box) nearestLabel(q, step [3]float64, x int) int {
	var at [3]int
	for c := range 3 {
		p := q[c] + float64(x)*step[c] + float64(b.lo[c])
		at[c] = int(math.RoundToEven(p)) - b.lo[c]
	}
	if o, ok := b.offset(at, 0); ok {
		return int(b.labels[o])
	}
	return outside
}

// vote adds up the weights of the labels around a position.
type vote struct {
	label [8]int
	sum   [8]float32
	n     int
}

func (v *vote) add(label int, weight float32) {
	for i := range v.n {
		if v.label[i] == label {
			v.sum[i] += weight
			return
		}
	}
	v.label[v.n], v.sum[v.n] = label, weight
	v.n++
}

// winner returns the label with the largest score, the lowest one among equals, and
// whether there are any.
func (v *vote) winner() (label int, score float32, tied bool) {
	for i := range v.n {
		switch s := half(v.sum[i]); {
		case i == 0 || s > score:
			label, score, tied = v.label[i], s, false
		case s == score:
			label, tied = min(label, v.label[i]), true
		}
	}
	return label, score, tied
}

func (v *vote) score(label int) float32 {
	for i := range v.n {
		if v.label[i] == label {
			return half(v.sum[i])
		}
	}
	return float32(math.Inf(-1))
}

// half rounds to 16-bit precision. batchgeneratorsv2 compares scores of 0..1000 as
// float16, which makes near ties exact ties, and those go to the nearest voxel.
func half(v float32) float32 {
	b := math.Float32bits(v)
	return math.Float32frombits((b + 0xfff + b>>13&1) &^ 0x1fff)
}
