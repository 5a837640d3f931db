package cpu

import (
	"math"
	"unsafe"
)

func leaky(x, slope float32) float32 {
	if x < 0 {
		return x * slope
	}
	return x
}

func genericPack(a *packArgs) {
	scale, shift := vector(a.scale, 0), vector(a.shift, 0)
	for r := range a.rows {
		to, from := r*a.dstRow, r*a.srcRow
		if a.pad != 0 {
			*vector(a.dst, to-pixelBytes) = [lanes]float32{}
			*vector(a.dst, to+a.px*pixelBytes) = [lanes]float32{}
		}
		for range a.px {
			d, s := vector(a.dst, to), vector(a.src, from)
			for l := range d {
				d[l] = leaky(s[l]*scale[l]+shift[l], a.slope)
			}
			to += pixelBytes
			from += a.srcStep
		}
	}
}

func genericTranspose(a *transposeArgs) {
	for r, from := range a.rows {
		for p := range a.n {
			d := f32(a.dst, p*a.dstStep+4*r)
			*d = 0
			if from >= 0 {
				*d = *f32(a.src, from+4*p)
			}
		}
	}
}

func genericSum(a *sumArgs) {
	shift, sums := vector(a.shift, 0), [2 * lanes]float32{}
	for p := range a.n {
		for l, x := range vector(a.src, p*pixelBytes) {
			x -= shift[l]
			sums[l] += x
			sums[lanes+l] += x * x
		}
	}
	a.sums = sums
}

func genericNormSums(a *normGradArgs) {
	sums := [2 * lanes]float32{}
	for p := range a.n {
		x, dy := vector(a.x, p*pixelBytes), vector(a.dy, p*pixelBytes)
		for l := range x {
			g := dy[l]
			if x[l]*a.scale[l]+a.shift[l] <= 0 {
				g *= a.slope
			}
			sums[l] += g
			sums[lanes+l] += g * (x[l] - a.mean[l])
		}
	}
	a.sums = sums
}

func genericNormApply(a *normGradArgs) {
	for p := range a.n {
		x, dy, dx := vector(a.x, p*pixelBytes), vector(a.dy, p*pixelBytes), vector(a.dx, p*pixelBytes)
		for l := range x {
			g := dy[l]
			if x[l]*a.scale[l]+a.shift[l] <= 0 {
				g *= a.slope
			}
			dx[l] = g*a.a[l] + (x[l]-a.mean[l])*a.b[l] + a.c[l]
		}
	}
}

func genericSGD(a *updateArgs) {
	factor, lr, momentum, decay := a.k[0], a.k[1], a.k[2], a.k[3]
	w, grad, v := slice(a.w, a.n), slice(a.grad, a.n), slice(a.s1, a.n)
	for i := range w {
		g := grad[i]*factor + decay*w[i]
		v[i] = momentum*v[i] + g
		w[i] -= lr * (g + momentum*v[i])
	}
}

func genericAdamW(a *updateArgs) {
	factor, keep, new1, beta2 := a.k[0], a.k[1], a.k[2], a.k[3]
	rate, root, eps, new2 := a.k[4], a.k[5], a.k[6], a.k[7]
	w, grad, m, v := slice(a.w, a.n), slice(a.grad, a.n), slice(a.s1, a.n), slice(a.s2, a.n)
	for i := range w {
		g := grad[i] * factor
		m[i] += new1 * (g - m[i])
		v[i] = beta2*v[i] + new2*g*g
		w[i] = keep*w[i] - rate*m[i]/(float32(math.Sqrt(float64(v[i])))*root+eps)
	}
}

func slice(p unsafe.Pointer, n int) []float32 { return unsafe.Slice((*float32)(p), n) }

func genericSquares(a *squareArgs) {
	s := [4]float64{}
	for i, v := range slice(a.x, a.n) {
		s[i&3] += float64(v) * float64(v)
	}
	a.sum = s[0] + s[1] + (s[2] + s[3])
}

func genericAdd(a *addArgs) {
	d, x, y := slice(a.dst, a.n), slice(a.a, a.n), slice(a.b, a.n)
	for i := range d {
		d[i] = x[i] + y[i]
	}
}
