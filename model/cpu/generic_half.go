package cpu

import (
	"math"
	"unsafe"
)

// Plain Go kernels of bfloat16 factors. They are slower than those of float32 and
// no default anywhere: they define what the assembly computes.

func genericHalf() *halfTable {
	h := &halfTable{pack: genericPackHalf, pairs: genericPairs, halve: genericHalve}
	for k := range kinds {
		for px := range genericPixels + 1 {
			h.conv[k][0] = append(h.conv[k][0], genericConvHalf(k, px))
		}
	}
	h.wgrad[0][0] = gradKernel{genericChannels, func(a *gradArgs) { genericGradHalf(a, 3) }}
	h.wgrad[1][0] = gradKernel{genericChannels, func(a *gradArgs) { genericGradHalf(a, 1) }}
	return h
}

// bf16 rounds to the nearest bfloat16, ties to even, and returns its bits, as
// VCVTNEPS2BF16 does: NaN stays NaN, a subnormal number becomes zero.
func bf16(x float32) uint16 {
	b := math.Float32bits(x)
	switch {
	case x != x:
		return uint16(b>>16) | 0x40
	case b&0x7f800000 == 0:
		return uint16(b>>16) & 0x8000
	}
	return uint16((b + 0x7fff + b>>16&1) >> 16)
}

func u16(p unsafe.Pointer, off int) *uint16 { return (*uint16)(unsafe.Add(p, off)) }

// addProducts adds to each sum the products of a pair x with that lane's pair of y.
func addProducts(sums *[lanes]float32, x, y unsafe.Pointer) {
	x0, x1 := unpair(*(*uint32)(x))
	for l, p := range (*[lanes]uint32)(y) {
		y0, y1 := unpair(p)
		sums[l] += x0*y0 + x1*y1
	}
}

func unpair(p uint32) (first, second float32) {
	return math.Float32frombits(p << 16), math.Float32frombits(p &^ 0xffff)
}

func genericConvHalf(k kind, px int) func(*convArgs) {
	taps, step := 3, pixelBytes/2
	switch k {
	case wide2:
		step = pixelBytes
	case point:
		taps = 1
	}
	return func(a *convArgs) {
		outStep := pixelBytes
		if k == point {
			outStep = a.outStep
		}
		for p := range px {
			out := vector(a.out, p*outStep)
			if a.add == 0 {
				*out = *vector(a.bias, 0)
			}
			for _, e := range unsafe.Slice(a.list, a.n) {
				for c := range e.channels {
					for t := range taps {
						in, w := e.in+p*step+4*c+t*pixelBytes/2, e.w+c*a.wStep+t*pixelBytes
						addProducts(out, unsafe.Add(a.in, in), unsafe.Add(a.w, w))
					}
				}
			}
		}
	}
}

func genericGradHalf(a *gradArgs, taps int) {
	for c := range genericChannels {
		for k, tap := range []int{0, a.tap1, a.tap2}[:taps] {
			dw := vector(a.dw, c*a.dwStep+k*pixelBytes)
			var sums [lanes]float32
			for _, e := range unsafe.Slice(a.list, a.n) {
				for p := range a.px {
					addProducts(&sums, unsafe.Add(a.in, e.in+tap+p*pairBytes+4*c), unsafe.Add(a.dy, e.dy+p*pairBytes))
				}
			}
			for l := range sums {
				dw[l] += sums[l]
			}
		}
	}
}

func genericPackHalf(a *packArgs) {
	for r := range a.rows {
		to := r * a.dstRow
		for p := -a.pad; p < a.px+a.pad; p++ {
			for l := range lanes {
				*u16(a.dst, to+p*pixelBytes/2+2*l) = bf16(seen(a, r, p, l))
			}
		}
	}
}

// seen is a pixel's lane as the view sees it, 0 outside the row.
func seen(a *packArgs, row, p, lane int) float32 {
	if p < 0 || p >= a.px {
		return 0
	}
	x := vector(a.src, row*a.srcRow+p*a.srcStep)[lane]
	return leaky(x*vector(a.scale, 0)[lane]+vector(a.shift, 0)[lane], a.slope)
}

func genericPairs(a *packArgs) {
	for r := range a.rows {
		genericPairRow(a, r, 0, a.px/2+1)
		if a.pad != 0 {
			genericPairRow(a, r, 1, a.px/2+2)
		}
	}
}

// genericPairRow writes n pairs that begin shift pixels earlier.
func genericPairRow(a *packArgs, row, shift, n int) {
	for i := range n {
		to := row*a.dstRow + shift*a.pad + i*pairBytes
		for l := range lanes {
			*u16(a.dst, to+4*l) = bf16(seen(a, row, 2*i-shift, l))
			*u16(a.dst, to+4*l+2) = bf16(seen(a, row, 2*i-shift+1, l))
		}
	}
}

func genericHalve(a *halveArgs) {
	for r := range a.rows {
		for i := range a.n * lanes {
			to, from := (r*a.n*lanes+i)*4, r*a.step+4*i
			*u16(a.dst, to) = bf16(*f32(a.even, from))
			*u16(a.dst, to+2) = bf16(*f32(a.odd, from))
		}
	}
}
