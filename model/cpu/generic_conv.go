package cpu

import "unsafe"

// Plain Go kernels: what runs where no assembly fits, and what the assembly is
// compared with. They keep eight sums in registers, which is as far as Go's
// compiler goes without vector instructions.

const (
	genericPixels   = 12
	genericChannels = 4
)

func genericTable() *table {
	t := &table{
		name: "generic", pack: genericPack, transpose: genericTranspose, sum: genericSum,
		normSums: genericNormSums, normApply: genericNormApply, sgd: genericSGD, adamw: genericAdamW,
		squares: genericSquares, add: genericAdd,
		loss:     [widths]func(*lossArgs){one: genericLoss},
		lossGrad: [widths]func(*lossArgs){one: genericLossGrad},
		winograd: genericWinograd,
	}
	for k := range kinds {
		for px := range genericPixels + 1 {
			t.conv[k][0] = append(t.conv[k][0], genericConv(k, px))
		}
	}
	t.wgrad[0][0] = gradKernel{genericChannels, func(a *gradArgs) { genericGrad(a, 3) }}
	t.wgrad[1][0] = gradKernel{genericChannels, func(a *gradArgs) { genericGrad(a, 1) }}
	return t
}

func f32(p unsafe.Pointer, off int) *float32     { return (*float32)(unsafe.Add(p, off)) }
func quad(p unsafe.Pointer, off int) *[4]float32 { return (*[4]float32)(unsafe.Add(p, off)) }

func vector(p unsafe.Pointer, off int) *[lanes]float32 {
	return (*[lanes]float32)(unsafe.Add(p, off))
}

func genericConv(k kind, px int) func(*convArgs) {
	taps, step := 3, pixelBytes
	switch k {
	case wide2:
		step = 2 * pixelBytes
	case point:
		taps = 1
	}
	return func(a *convArgs) {
		outStep := pixelBytes
		if k == point {
			outStep = a.outStep
		}
		for lane := 0; lane < pixelBytes; lane += 16 {
			p := 0
			for ; p+1 < px; p += 2 {
				genericPair(a, taps, step, lane, p, outStep)
			}
			if p < px {
				genericSingle(a, taps, step, lane, p, outStep)
			}
		}
	}
}

// genericPair computes four channels, lane bytes from the first, of pixels p and p+1.
func genericPair(a *convArgs, taps, step, lane, p, outStep int) {
	out0, out1 := quad(a.out, p*outStep+lane), quad(a.out, (p+1)*outStep+lane)
	r, s := *out0, *out1
	if a.add == 0 {
		r = *quad(a.bias, lane)
		s = r
	}
	r0, r1, r2, r3, s0, s1, s2, s3 := r[0], r[1], r[2], r[3], s[0], s[1], s[2], s[3]
	for _, e := range unsafe.Slice(a.list, a.n) {
		in, w := e.in+p*step, e.w+lane
		for range e.channels {
			for k := 0; k < taps*pixelBytes; k += pixelBytes {
				x, y, q := *f32(a.in, in+k), *f32(a.in, in+k+step), quad(a.w, w+k)
				r0 += x * q[0]
				r1 += x * q[1]
				r2 += x * q[2]
				r3 += x * q[3]
				s0 += y * q[0]
				s1 += y * q[1]
				s2 += y * q[2]
				s3 += y * q[3]
			}
			in += 4
			w += a.wStep
		}
	}
	*out0, *out1 = [4]float32{r0, r1, r2, r3}, [4]float32{s0, s1, s2, s3}
}

// genericSingle is genericPair for one pixel.
func genericSingle(a *convArgs, taps, step, lane, p, outStep int) {
	out := quad(a.out, p*outStep+lane)
	r := *out
	if a.add == 0 {
		r = *quad(a.bias, lane)
	}
	for _, e := range unsafe.Slice(a.list, a.n) {
		in, w := e.in+p*step, e.w+lane
		for range e.channels {
			for k := 0; k < taps*pixelBytes; k += pixelBytes {
				x, q := *f32(a.in, in+k), quad(a.w, w+k)
				r[0] += x * q[0]
				r[1] += x * q[1]
				r[2] += x * q[2]
				r[3] += x * q[3]
			}
			in += 4
			w += a.wStep
		}
	}
	*out = r
}

func genericGrad(a *gradArgs, taps int) {
	for c := 0; c < genericChannels; c += 2 {
		for k := range taps {
			for lane := 0; lane < pixelBytes; lane += 16 {
				genericGradPair(a, 4*c+k*pixelBytes, lane, c*a.dwStep+k*pixelBytes+lane)
			}
		}
	}
}

// genericGradPair sums two input channels against four output channels.
func genericGradPair(a *gradArgs, in, lane, dw int) {
	var r0, r1, r2, r3, s0, s1, s2, s3 float32
	for _, e := range unsafe.Slice(a.list, a.n) {
		i, j := e.in+in, e.dy+lane
		for range a.px {
			x, y, q := *f32(a.in, i), *f32(a.in, i+4), quad(a.dy, j)
			r0 += x * q[0]
			r1 += x * q[1]
			r2 += x * q[2]
			r3 += x * q[3]
			s0 += y * q[0]
			s1 += y * q[1]
			s2 += y * q[2]
			s3 += y * q[3]
			i += a.inStep
			j += pixelBytes
		}
	}
	r, s := quad(a.dw, dw), quad(a.dw, dw+a.dwStep)
	r[0], r[1], r[2], r[3] = r[0]+r0, r[1]+r1, r[2]+r2, r[3]+r3
	s[0], s[1], s[2], s[3] = s[0]+s0, s[1]+s1, s[2]+s2, s[3]+s3
}
