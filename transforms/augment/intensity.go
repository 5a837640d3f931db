package augment

import (
	"math"

	"noisystudent/model/random"
)

// addNoise adds white Gaussian noise: voxel i gets the i-th normal number of the
// seed's stream, so that the order of computation cannot matter.
func addNoise(v []float32, sd float64, seed uint64) {
	s := random.New(seed)
	for i := range v {
		v[i] += float32(sd * s.NormalAt(uint64(i)))
	}
}

// brighten multiplies.
func brighten(v []float32, factor float64) {
	f := float32(factor)
	for i := range v {
		v[i] *= f
	}
}

// stretch multiplies the distance to the mean and cuts off at the old extremes.
func stretch(v []float32, factor float64) {
	lo, hi := extremes(v)
	mean, _ := moments(v)
	m, f := float32(mean), float32(factor)
	for i, x := range v {
		v[i] = min(max((x-m)*f+m, lo), hi)
	}
}

// correct raises the image, scaled to 0..1, to a power, then restores its mean and
// standard deviation.
func correct(v []float32, g Gamma) {
	if g.Invert {
		negate(v)
	}
	mean, sd := moments(v)
	lo, hi := extremes(v)
	span := hi - lo
	norm := 1 / max(span, epsilon)
	exponent := float32(g.Exponent)
	for i, x := range v {
		v[i] = pow((x-lo)*norm, exponent)*span + lo
	}
	newMean, newSD := moments(v)
	scale, shift := float32(sd/max(newSD, epsilon)), float32(newMean)
	for i, x := range v {
		v[i] = (x-shift)*scale + float32(mean)
	}
	if g.Invert {
		negate(v)
	}
}

// epsilon guards the divisions, as in batchgeneratorsv2's GammaTransform.
const epsilon = 1e-7

func negate(v []float32) {
	for i, x := range v {
		v[i] = -x
	}
}

func extremes(v []float32) (lo, hi float32) {
	lo, hi = v[0], v[0]
	for _, x := range v {
		lo, hi = min(lo, x), max(hi, x)
	}
	return lo, hi
}

// moments returns the mean and the standard deviation with n-1, as torch.std.
func moments(v []float32) (mean, sd float64) {
	var sum, squares float64
	first := float64(v[0]) // a shift near the mean keeps the difference exact
	for _, x := range v {
		d := float64(x) - first
		sum += d
		squares += d * d
	}
	n := float64(len(v))
	if len(v) < 2 {
		return first, 0
	}
	return first + sum/n, math.Sqrt(max(squares-sum*sum/n, 0) / (n - 1))
}
