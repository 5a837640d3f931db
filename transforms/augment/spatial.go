package augment

import (
	"context"
	"math"
)

// frame places a turned patch in the case: position(i) = start + i*step, where
// step[a] is the case offset of one voxel along the patch's axis a.
type frame struct {
	start [3]float64
	step  [3][3]float64
}

func newFrame(p Params, corner, shape [3]int) frame {
	m := p.matrix()
	var f frame
	for a := range 3 {
		f.start[a] = float64(corner[a]) + float64(shape[a]-1)/2
	}
	for a := range 3 {
		for c := range 3 {
			f.step[a][c] = m[c][a]
			f.start[c] -= m[c][a] * float64(shape[a]-1) / 2
		}
	}
	return f
}

// row returns the position of the first voxel of a row of the patch.
func (f frame) row(z, y int) (q [3]float64) {
	for c := range 3 {
		q[c] = f.start[c] + float64(z)*f.step[0][c] + float64(y)*f.step[1][c]
	}
	return q
}

// bounds returns the half-open box of voxels that linear interpolation of the
// patch can touch, cut to the case.
func (f frame) bounds(patch, shape [3]int) (lo, hi [3]int) {
	for c := range 3 {
		least, most := f.start[c], f.start[c]
		for a := range 3 {
			d := f.step[a][c] * float64(patch[a]-1)
			least += math.Min(d, 0)
			most += math.Max(d, 0)
		}
		// one voxel more on each side covers rounding
		lo[c] = min(max(int(math.Floor(least))-1, 0), shape[c])
		hi[c] = min(max(int(math.Floor(most))+3, lo[c]), shape[c])
	}
	return lo, hi
}

// box is a part of a case in memory.
type box struct {
	lo, shape [3]int
	image     []float32
	labels    []uint8
}

func (s *Scratch) read(ctx context.Context, src Source, lo, hi [3]int) (box, error) {
	b := box{lo: lo, shape: [3]int{hi[0] - lo[0], hi[1] - lo[1], hi[2] - lo[2]}}
	n := b.shape[0] * b.shape[1] * b.shape[2]
	s.image, s.labels = room(s.image, n), room(s.labels, n)
	b.image, b.labels = s.image, s.labels
	if n == 0 {
		return b, nil
	}
	if err := src.ReadImage(ctx, lo, hi, b.image); err != nil {
		return b, err
	}
	return b, src.ReadLabels(ctx, lo, hi, b.labels)
}

// turn samples the patch of a frame from the case.
func (s *Scratch) turn(ctx context.Context, f frame, src Source, dst Patch) error {
	lo, hi := f.bounds(dst.Shape, src.Shape())
	b, err := s.read(ctx, src, lo, hi)
	if err != nil {
		return err
	}
	for c := range 3 {
		f.start[c] -= float64(lo[c])
	}
	nx := dst.Shape[2]
	for z := range dst.Shape[0] {
		for y := range dst.Shape[1] {
			o := (z*dst.Shape[1] + y) * nx
			q := f.row(z, y)
			first, end := b.inside(q, f.step[2], nx)
			b.sampleImage(q, f.step[2], first, end, dst.Image[o:o+nx])
			b.sampleLabels(q, f.step[2], first, end, dst.Labels[o:o+nx])
		}
	}
	return nil
}

// inside returns the range of a row whose eight neighbours all lie in the box, so
// that the inner loops need no test. Positions are monotone along the row, also in
// floating point, so testing the two ends is enough.
func (b box) inside(q, step [3]float64, n int) (first, end int) {
	first, end = 0, n
	for c := range 3 {
		limit := float64(b.shape[c] - 1)
		if limit <= 0 {
			return 0, 0
		}
		if step[c] == 0 {
			if q[c] < 0 || q[c] >= limit {
				return 0, 0
			}
			continue
		}
		a, z := -q[c]/step[c], (limit-q[c])/step[c] // may be infinite
		within := func(x float64) int { return int(min(max(x, -1), float64(n))) }
		first = max(first, within(math.Ceil(min(a, z))))
		end = min(end, within(math.Floor(max(a, z)))+1)
	}
	for first < end && !b.holds(q, step, first) {
		first++
	}
	for first < end && !b.holds(q, step, end-1) {
		end--
	}
	return first, max(first, end)
}

// holds leaves a hair's breadth at the far faces, for a processor that rounds the
// same sum differently in another loop.
func (b box) holds(q, step [3]float64, x int) bool {
	for c := range 3 {
		if p := q[c] + float64(x)*step[c]; p < 0 || p > float64(b.shape[c]-1)-1e-9 {
			return false
		}
	}
	return true
}

func (b box) sampleImage(q, step [3]float64, first, end int, row []float32) {
	for x := range first {
		row[x] = b.imageNearEdge(q, step, x)
	}
	nx, nyx := b.shape[2], b.shape[1]*b.shape[2]
	for x := first; x < end; x++ {
		t := float64(x)
		pz, py, px := q[0]+t*step[0], q[1]+t*step[1], q[2]+t*step[2]
		iz, iy, ix := int(pz), int(py), int(px)
		fz, fy, fx := float32(pz-float64(iz)), float32(py-float64(iy)), float32(px-float64(ix))
		o := iz*nyx + iy*nx + ix
		a, c := b.image[o:o+2], b.image[o+nx:o+nx+2]
		d, e := b.image[o+nyx:o+nyx+2], b.image[o+nyx+nx:o+nyx+nx+2]
		near := lerp(lerp(a[0], a[1], fx), lerp(c[0], c[1], fx), fy)
		far := lerp(lerp(d[0], d[1], fx), lerp(e[0], e[1], fx), fy)
		row[x] = lerp(near, far, fz)
	}
	for x := end; x < len(row); x++ {
		row[x] = b.imageNearEdge(q, step, x)
	}
}

func lerp(a, b, t float32) float32 { return a + t*(b-a) }

// imageNearEdge interpolates with zeros outside the box: what lies outside it and
// is touched lies outside the case.
func (b box) imageNearEdge(q, step [3]float64, x int) float32 {
	var sum float32
	near, f := neighbours(q, step, x)
	for corner := range 8 {
		if o, ok := b.offset(near, corner); ok {
			sum += weight(f, corner) * b.image[o]
		}
	}
	return sum
}

// neighbours splits the position of voxel x of a row into the lowest of its eight
// neighbours and the fractions beyond it.
func neighbours(q, step [3]float64, x int) (near [3]int, f [3]float32) {
	for c := range 3 {
		p := q[c] + float64(x)*step[c]
		floor := math.Floor(p)
		near[c], f[c] = int(floor), float32(p-floor)
	}
	return near, f
}

// offset returns the place of a neighbour in the box; bits 2, 1, 0 of corner step
// along z, y, x, the order in which grid_sample adds them up.
func (b box) offset(near [3]int, corner int) (int, bool) {
	z, y, x := near[0]+corner>>2, near[1]+corner>>1&1, near[2]+corner&1
	if uint(z) >= uint(b.shape[0]) || uint(y) >= uint(b.shape[1]) || uint(x) >= uint(b.shape[2]) {
		return 0, false
	}
	return (z*b.shape[1]+y)*b.shape[2] + x, true
}

func weight(f [3]float32, corner int) float32 {
	w := float32(1)
	for c := range 3 {
		if corner>>(2-c)&1 == 1 {
			w *= f[c]
		} else {
			w *= 1 - f[c]
		}
	}
	return w
}
