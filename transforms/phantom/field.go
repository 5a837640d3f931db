package phantom

import (
	"math"

	"noisystudent/model/random"
)

// field is a smooth random function on a voxel grid with mean 0 and SD 1: cubic
// B-splines on a coarse lattice of normal numbers. It is evaluated a slice at a time,
// so that a large volume needs no further volumes.
type field struct {
	shape [3]int
	step  [3]float64 // voxels between knots
	knots [3]int
	value []float64
}

// unitSD brings the SD of a sum of normal numbers weighted by cubic B-splines to 1:
// (315/151)^(3/2).
var unitSD = math.Pow(315./151, 1.5)

// newField draws a field whose knots lie step voxels apart (z, y, x).
func newField(s *random.Stream, shape [3]int, step [3]float64) field {
	f := field{shape: shape, step: step}
	n := 1
	for a := range 3 {
		f.knots[a] = int(float64(shape[a]-1)/step[a]) + 4
		n *= f.knots[a]
	}
	f.value = make([]float64, n)
	for i := range f.value {
		f.value[i] = s.Normal() * unitSD
	}
	return f
}

// plane writes the values of slice z.
func (f field) plane(z int, dst []float32) {
	ny, nx := f.knots[1], f.knots[2]
	lattice, line := make([]float64, ny*nx), make([]float64, nx)
	first, w := spline(float64(z) / f.step[0])
	for k := range 4 {
		for i, v := range f.value[(first+k)*ny*nx : (first+k+1)*ny*nx] {
			lattice[i] += w[k] * v
		}
	}
	for y := range f.shape[1] {
		first, w := spline(float64(y) / f.step[1])
		for i := range line {
			line[i] = w[0]*lattice[first*nx+i] + w[1]*lattice[(first+1)*nx+i] + w[2]*lattice[(first+2)*nx+i] + w[3]*lattice[(first+3)*nx+i]
		}
		row := dst[y*f.shape[2] : (y+1)*f.shape[2]]
		for x := range row {
			first, w := spline(float64(x) / f.step[2])
			row[x] = float32(w[0]*line[first] + w[1]*line[first+1] + w[2]*line[first+2] + w[3]*line[first+3])
		}
	}
}

// spline returns the first of the four knots about t and their weights.
func spline(t float64) (first int, w [4]float64) {
	first = int(t)
	u := t - float64(first)
	v := 1 - u
	w[0], w[3] = v*v*v/6, u*u*u/6
	w[1] = 2./3 - u*u*(1-u/2)
	w[2] = 1 - w[0] - w[1] - w[3]
	return first, w
}

// gauss blurs a volume with one sigma in voxels, repeating the faces; under 0.2 it
// does nothing.
func gauss(v []float32, shape [3]int, sigma float64) {
	if sigma < 0.2 {
		return
	}
	k := make([]float32, int(4*sigma+0.5)+1)
	sum := float32(0)
	for i := range k {
		k[i] = float32(math.Exp(-0.5 * float64(i*i) / (sigma * sigma)))
		sum += k[i]
		if i > 0 {
			sum += k[i]
		}
	}
	for i := range k {
		k[i] /= sum
	}
	margin := len(k) - 1
	line := make([]float32, max(shape[0], shape[1], shape[2])+2*margin)
	stride := len(v)
	for _, n := range shape {
		stride /= n
		for block := 0; block < len(v); block += n * stride {
			for i := range stride {
				gaussLine(v[block+i:], n, stride, k, line[:n+2*margin])
			}
		}
	}
}

// gaussLine blurs n voxels that lie stride apart; line has room for them and for
// len(k)-1 repeated ones at each end.
func gaussLine(v []float32, n, stride int, k, line []float32) {
	margin := len(k) - 1
	for i := range line {
		line[i] = v[min(max(i-margin, 0), n-1)*stride]
	}
	for i := range n {
		sum := k[0] * line[margin+i]
		for t := 1; t < len(k); t++ {
			sum += float32(k[t] * (line[margin+i-t] + line[margin+i+t])) // see doc.go: never fused
		}
		v[i*stride] = sum
	}
}
