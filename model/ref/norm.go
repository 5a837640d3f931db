package ref

import "math"

// Moments computes mean and biased variance of x over the voxels of each (n, c).
// Shapes: x (N, C, V), out (N, C, 2).
func Moments[T Float](s Shape, x, out []T) {
	fit("moments", "input", x, s.Len())
	fit("moments", "output", out, s.N*s.C*2)
	parallel(s.N*s.C, func(i int) {
		xc := x[i*s.V:][:s.V]
		mean, sq := 0.0, 0.0
		for _, v := range xc {
			mean += float64(v)
		}
		mean /= float64(s.V)
		for _, v := range xc {
			d := float64(v) - mean
			sq += d * d
		}
		out[2*i], out[2*i+1] = T(mean), T(sq/float64(s.V))
	})
}

// NormScale turns moments into the affine map of an instance norm: scale =
// gamma/sqrt(var+eps), shift = beta - mean*scale. Shapes: moments and out
// (N, C, 2), gamma and beta (C).
func NormScale[T Float](s Shape, moments, gamma, beta []T, eps float64, out []T) {
	fit("norm scale", "moments", moments, s.N*s.C*2)
	fit("norm scale", "output", out, s.N*s.C*2)
	for i := range s.N * s.C {
		scale := float64(gamma[i%s.C]) / math.Sqrt(float64(moments[2*i+1])+eps)
		out[2*i], out[2*i+1] = T(scale), T(float64(beta[i%s.C])-float64(moments[2*i])*scale)
	}
}

// NormAct computes leakyReLU(scale*x + shift), or copies x where norm is nil.
// Shapes: x and out (N, C, V), norm (N, C, 2). Reference:
// torch.nn.functional.leaky_relu after instance_norm, with Moments and NormScale.
func NormAct[T Float](s Shape, x, norm []T, slope float64, out []T) {
	fit("norm act", "input", x, s.Len())
	fit("norm act", "output", out, s.Len())
	if norm == nil {
		copy(out, x)
		return
	}
	fit("norm act", "norm", norm, s.N*s.C*2)
	parallel(s.N*s.C, func(i int) {
		scale, shift := float64(norm[2*i]), float64(norm[2*i+1])
		for k, v := range x[i*s.V:][:s.V] {
			y := scale*float64(v) + shift
			if y <= 0 {
				y *= slope
			}
			out[i*s.V+k] = T(y)
		}
	})
}

// Norm is what NormGrad reads besides the gradient: the raw input of an instance
// norm, its moments and affine map (N, C, 2), gamma (C), and its constants.
type Norm[T Float] struct {
	Raw, Moments, Scale, Gamma []T
	Slope, Eps                 float64
}

// NormGrad computes the gradients of leakyReLU(instanceNorm(Raw)) from dout, that
// of the activated value: din, that of Raw, which may be dout itself, and dgamma
// and dbeta (C), summed over N. The slope of leaky ReLU at 0 is the negative one,
// as in PyTorch.
func NormGrad[T Float](s Shape, v Norm[T], dout, din, dgamma, dbeta []T) {
	fit("norm gradient", "raw", v.Raw, s.Len())
	fit("norm gradient", "dout", dout, s.Len())
	fit("norm gradient", "din", din, s.Len())
	sums := make([][2]float64, s.N*s.C) // of dy and of dy*xhat
	parallel(s.N*s.C, func(i int) { sums[i] = normGradChannel(s, v, i, dout, din) })
	for c := range s.C {
		b, g := 0.0, 0.0
		for n := range s.N {
			b, g = b+sums[n*s.C+c][0], g+sums[n*s.C+c][1]
		}
		dbeta[c], dgamma[c] = T(b), T(g)
	}
}

// normGradChannel goes backward through one (n, c) and returns the sums that
// dbeta and dgamma are made of.
func normGradChannel[T Float](s Shape, v Norm[T], i int, dout, din []T) [2]float64 {
	mean, inv := float64(v.Moments[2*i]), 1/math.Sqrt(float64(v.Moments[2*i+1])+v.Eps)
	scale, shift := float64(v.Scale[2*i]), float64(v.Scale[2*i+1])
	raw, dy := v.Raw[i*s.V:][:s.V], make([]float64, s.V)
	var sum, sumX float64
	for k, g := range dout[i*s.V:][:s.V] {
		dy[k] = float64(g)
		if scale*float64(raw[k])+shift <= 0 {
			dy[k] *= v.Slope
		}
		sum += dy[k]
		sumX += dy[k] * (float64(raw[k]) - mean) * inv
	}
	factor, voxels := float64(v.Gamma[i%s.C])*inv, float64(s.V)
	for k := range dy {
		xhat := (float64(raw[k]) - mean) * inv
		din[i*s.V+k] = T(factor * (dy[k] - sum/voxels - xhat*sumX/voxels))
	}
	return [2]float64{sum, sumX}
}
