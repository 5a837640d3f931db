package augment

import "math"

// blur convolves with a Gaussian along z, then y, then x. The kernel is
// batchgeneratorsv2's: the odd number of taps nearest to 6 sigma + 1/2, normalised
// to sum 1; the patch is reflected at its faces without repeating the face.
func (s *Scratch) blur(p Patch, sigma [3]float64) {
	s.work = room(s.work, len(p.Image))
	for axis := range 3 {
		if k := kernel(sigma[axis]); len(k) > 1 {
			s.convolve(p, axis, k)
		}
	}
}

// kernel returns the taps from the centre outwards.
func kernel(sigma float64) []float32 {
	half := taps(6*sigma+0.5) / 2
	k := make([]float32, half+1)
	var sum float32
	for i := range k {
		k[i] = float32(math.Exp(-0.5 * float64(i) * float64(i) / (sigma * sigma)))
		sum += k[i]
		if i > 0 {
			sum += k[i]
		}
	}
	for i := range k {
		k[i] /= sum
	}
	return k
}

// taps rounds to an odd number: an even rounding moves towards the side n lies on.
func taps(n float64) int {
	r := int(math.RoundToEven(n))
	switch {
	case r%2 == 1:
		return r
	case n >= float64(r):
		return r + 1
	default:
		return r - 1
	}
}

// convolve blurs along one axis. The patch is outer x n x inner voxels, n along the
// axis; whole rows of inner voxels are added, so that every axis runs at the speed
// of memory.
func (s *Scratch) convolve(p Patch, axis int, k []float32) {
	if axis == 2 {
		s.convolveRows(p, k)
		return
	}
	n, inner := p.Shape[axis], p.Shape[2]
	if axis == 0 {
		inner *= p.Shape[1]
	}
	for o := 0; o < len(p.Image); o += n * inner {
		for i := range n {
			row := func(j int) []float32 { at := o + reflect(j, n)*inner; return p.Image[at : at+inner] }
			sumRows(s.work[o+i*inner:o+(i+1)*inner], row, i, k)
		}
	}
	copy(p.Image, s.work)
}

// sumRows writes the weighted sum of the rows about i to dst, a stretch at a time so
// that dst stays in the nearest cache.
func sumRows(dst []float32, row func(int) []float32, i int, k []float32) {
	const stretch = 2048
	for from := 0; from < len(dst); from += stretch {
		end := min(from+stretch, len(dst))
		d := dst[from:end]
		for x, v := range row(i)[from:end] {
			d[x] = k[0] * v
		}
		for t := 1; t < len(k); t++ {
			a, b, w := row(i - t)[from:end], row(i + t)[from:end], k[t]
			b = b[:len(a)]
			d = d[:len(a)]
			for x, v := range a {
				d[x] += w * (v + b[x])
			}
		}
	}
}

func (s *Scratch) convolveRows(p Patch, k []float32) {
	n, margin := p.Shape[2], len(k)-1
	s.row = room(s.row, n+2*margin)
	for o := 0; o < len(p.Image); o += n {
		row := p.Image[o : o+n]
		copy(s.row[margin:], row)
		for t := 1; t <= margin; t++ {
			s.row[margin-t] = row[reflect(-t, n)]
			s.row[margin+n-1+t] = row[reflect(n-1+t, n)]
		}
		for x := range row {
			row[x] = k[0] * s.row[margin+x]
		}
		for t := 1; t < len(k); t++ {
			a, b, w := s.row[margin-t:][:n], s.row[margin+t:][:n], k[t]
			for x := range row {
				row[x] += w * (a[x] + b[x])
			}
		}
	}
}

// reflect folds an index into [0, n) about the first and the last voxel.
func reflect(i, n int) int {
	if n == 1 {
		return 0
	}
	for i < 0 || i >= n {
		if i < 0 {
			i = -i
		} else {
			i = 2*(n-1) - i
		}
	}
	return i
}
