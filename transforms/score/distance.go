package score

import "math"

// Whether a surface element lies within the tolerance of the other surface is
// all that NSD asks, so the distance transform is cut at the tolerance: around
// an element it looks at the rows of corners in reach, nearest first, and asks
// of each whether any bit is set in the stretch that is near enough. The answer
// is that of the full Euclidean transform, computed to the last bit as SciPy's
// distance_transform_edt does: sqrt((dx*sx)^2 + (dy*sy)^2 + (dz*sz)^2), summed in
// this order.

// stretch is the corners of one row that are within the tolerance of an element:
// those at most reach from its x, in the row dz and dy away.
type stretch struct{ dz, dy, reach int }

// stretches returns the rows within tolerance of an element, nearest first, for
// surfaces in a box of the given size.
func stretches(size [3]int, spacing [3]float64, toleranceMM float64) []stretch {
	var out []stretch
	nearY, nearZ := rings(size[1], spacing[1], toleranceMM), rings(size[0], spacing[0], toleranceMM)
	for ring := 0; ring <= max(nearY, nearZ); ring++ {
		for dz := -min(ring, nearZ); dz <= min(ring, nearZ); dz++ {
			for dy := -min(ring, nearY); dy <= min(ring, nearY); dy++ {
				if max(dz, -dz, dy, -dy) != ring {
					continue
				}
				if reach := reachOf(size[2], spacing, toleranceMM, dz, dy); reach >= 0 {
					out = append(out, stretch{dz, dy, reach})
				}
			}
		}
	}
	return out
}

// rings returns how many rows away along one axis can be in reach.
func rings(n int, spacing, toleranceMM float64) int {
	k := 0
	for k < n && float64(k+1)*spacing <= toleranceMM {
		k++
	}
	return k
}

// reachOf returns the largest dx within the tolerance, or -1.
func reachOf(n int, spacing [3]float64, toleranceMM float64, dz, dy int) int {
	dx := -1
	for dx < n && distance(spacing, dz, dy, dx+1) <= toleranceMM {
		dx++
	}
	return dx
}

// distance in mm. The conversions forbid the fused multiply-add that some
// processors would use, which would round otherwise than SciPy.
func distance(spacing [3]float64, dz, dy, dx int) float64 {
	x, y, z := float64(dx)*spacing[2], float64(dy)*spacing[1], float64(dz)*spacing[0]
	return math.Sqrt(float64(x*x) + float64(y*y) + float64(z*z))
}

// near reports whether the surface has an element within the stretches of a
// corner.
func (s *surface) near(z, y, x int, within []stretch) bool {
	nz, ny, nx := s.mask.size[0], s.mask.size[1], s.mask.size[2]
	for _, w := range within {
		sz, sy := z+w.dz, y+w.dy
		if uint(sz) > uint(nz) || uint(sy) > uint(ny) {
			continue
		}
		if anySet(s.row(sz, sy), max(x-w.reach, 0), min(x+w.reach, nx)) {
			return true
		}
	}
	return false
}

// anySet reports whether any of the bits lo..hi is set.
func anySet(row []uint64, lo, hi int) bool {
	first, last := lo>>6, hi>>6
	from, to := ^uint64(0)<<(uint(lo)&63), ^uint64(0)>>(63-uint(hi)&63)
	if first == last {
		return row[first]&from&to != 0
	}
	if row[first]&from != 0 || row[last]&to != 0 {
		return true
	}
	for i := first + 1; i < last; i++ {
		if row[i] != 0 {
			return true
		}
	}
	return false
}

// surfaceDSC returns the normalised surface Dice of two masks in one box:
// the area of both surfaces that lies within the tolerance of the other one, as
// a part of their whole area. Two empty masks give NaN, one empty mask 0.
func surfaceDSC(ref, pred *mask, spacing [3]float64, toleranceMM float64) float64 {
	r, p := surfaceOf(ref), surfaceOf(pred)
	within := stretches(ref.size, spacing, toleranceMM)
	area := areas(spacing)
	var near, all float64
	for _, pair := range [2][2]*surface{{r, p}, {p, r}} {
		n, a := overlap(pair[0], pair[1], within, &area)
		near, all = near+n, all+a
	}
	return near / all
}

// overlap returns the area of s within the stretches of other, and its whole
// area. Elements are counted by code first, so that the sums do not depend on
// the order of elements.
func overlap(s, other *surface, within []stretch, area *[256]float64) (near, all float64) {
	var counts [2][256]int
	s.each(func(z, y, x int, code uint8) {
		counts[0][code]++
		if other.near(z, y, x, within) {
			counts[1][code]++
		}
	})
	for code, a := range area {
		all += float64(counts[0][code]) * a
		near += float64(counts[1][code]) * a
	}
	return near, all
}
