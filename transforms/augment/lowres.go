package augment

import "math"

// coarsen simulates a scan of lower resolution: nearest voxels down to a grid of
// zoom times the shape, then linear interpolation back, both with half-voxel
// centres and the face voxels repeated (torch interpolate, nearest-exact and
// trilinear).
func (s *Scratch) coarsen(p Patch, zoom float64) {
	s.work = room(s.work, len(p.Image))
	copy(s.work, p.Image)
	z, y, x := coarse(p.Shape[0], zoom), coarse(p.Shape[1], zoom), coarse(p.Shape[2], zoom)
	ny, nx := p.Shape[1], p.Shape[2]
	row := room(s.row, nx)
	s.row = row
	line := func(z, y int) []float32 { return s.work[(z*ny+y)*nx:][:nx] }
	for iz, tz := range z {
		for iy, ty := range y {
			blend(row, line(tz.a, ty.a), line(tz.a, ty.b), line(tz.b, ty.a), line(tz.b, ty.b), tz.t, ty.t)
			out := p.Image[(iz*ny+iy)*nx:][:nx]
			for ix, tx := range x {
				out[ix] = lerp(row[tx.a], row[tx.b], tx.t)
			}
		}
	}
}

// blend interpolates four lines along y and z.
func blend(dst, aa, ab, ba, bb []float32, tz, ty float32) {
	aa, ab, ba, bb = aa[:len(dst)], ab[:len(dst)], ba[:len(dst)], bb[:len(dst)]
	for x := range dst {
		dst[x] = lerp(lerp(aa[x], ab[x], ty), lerp(ba[x], bb[x], ty), tz)
	}
}

// between is a place between two voxels of the fine grid that survive on the coarse
// one: a + t (b - a).
type between struct {
	a, b int
	t    float32
}

// coarse composes down and up sampling of one axis: for each voxel, the two fine
// voxels it is interpolated from. Ratios are float32, as in torch.
func coarse(n int, zoom float64) []between {
	m := max(int(math.RoundToEven(float64(n)*float64(float32(zoom)))), 1)
	down, up := float32(n)/float32(m), float32(m)/float32(n)
	kept := func(j int) int { return min(int((float32(j)+0.5)*down), n-1) }
	places := make([]between, n)
	for i := range places {
		at := max((float32(i)+0.5)*up-0.5, 0)
		j := min(int(at), m-1)
		places[i] = between{kept(j), kept(min(j+1, m-1)), at - float32(j)}
	}
	return places
}
