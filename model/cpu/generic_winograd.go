package cpu

import (
	"math"
	"unsafe"
)

var genericWinograd = &winogradKernels{
	genericWinogradInput, genericWinogradWeight, genericWinogradOutput, genericWinogradOutputGrad, genericWinogradWeightGrad,
}

// The inner points along W are +-near and +-far, whose product is 1; nearG and farG are
// the divisors of their rows of G.
const (
	near  = math.Sqrt2 / 2
	far   = math.Sqrt2
	nearG = -2.0 / 3
	farG  = 1.0 / 6
)

// cell is the 4x6 points of one cell, or 4x6 pixels.
type cell [4][6][lanes]float32

// columns changes every column by f, rows every row by g.
func (x *cell) columns(f func(*[4]float32)) {
	for c := range 6 {
		for l := range lanes {
			v := [4]float32{x[0][c][l], x[1][c][l], x[2][c][l], x[3][c][l]}
			f(&v)
			x[0][c][l], x[1][c][l], x[2][c][l], x[3][c][l] = v[0], v[1], v[2], v[3]
		}
	}
}

func (x *cell) rows(g func(*[6]float32)) {
	for r := range x {
		for l := range lanes {
			var v [6]float32
			for c := range v {
				v[c] = x[r][c][l]
			}
			g(&v)
			for c := range v {
				x[r][c][l] = v[c]
			}
		}
	}
}

func (x *cell) load(p unsafe.Pointer, at, point int) {
	for i := range winogradPoints {
		x[i/6][i%6] = *vector(p, at+i*point)
	}
}

func (x *cell) store(p unsafe.Pointer, at, point int) {
	for i := range winogradPoints {
		*vector(p, at+i*point) = x[i/6][i%6]
	}
}

func genericWinogradInput(a *winogradInputArgs) {
	scale, shift := vector(a.scale, 0), vector(a.shift, 0)
	for i := range ceilDiv(a.px, cellWidth) {
		var x cell
		for r, row := range a.rows {
			for c := range x[r] {
				if at := cellWidth*i - 1 + c; row >= 0 && at >= 0 && at < a.px {
					for l, v := range vector(a.src, row+at*pixelBytes) {
						x[r][c][l] = leaky(v*scale[l]+shift[l], a.slope)
					}
				}
			}
		}
		x.columns(func(v *[4]float32) { *v = [4]float32{v[0] - v[2], v[1] + v[2], v[2] - v[1], v[1] - v[3]} })
		x.rows(func(v *[6]float32) {
			e, o := v[4]-far*far*v[2], near*(v[3]-far*far*v[1])
			f, q := v[4]-near*near*v[2], far*(v[3]-near*near*v[1])
			*v = [6]float32{v[0] + v[4] - 2.5*v[2], e + o, e - o, f + q, f - q, v[1] + v[5] - 2.5*v[3]}
		})
		x.store(a.points, i*pixelBytes, a.point)
	}
}

func genericWinogradWeight(a *winogradWeightArgs) {
	for i := range a.n {
		var x cell
		for kh := range 3 {
			for kw := range 3 {
				x[kh][kw] = *vector(a.weights, i*a.step+kh*a.row+kw*pixelBytes)
			}
		}
		x.columns(func(v *[4]float32) {
			*v = [4]float32{v[0], 0.5 * (v[0] + v[2] + v[1]), 0.5 * (v[0] + v[2] - v[1]), v[2]}
		})
		x.rows(func(v *[6]float32) {
			e, o := nearG*(v[0]+near*near*v[2]), nearG*near*v[1]
			f, q := farG*(v[0]+far*far*v[2]), farG*far*v[1]
			*v = [6]float32{v[0], e + o, e - o, f + q, f - q, v[2]}
		})
		x.store(a.points, i*a.next, a.point)
	}
}

func genericWinogradOutput(a *winogradOutputArgs) {
	bias := vector(a.bias, 0)
	for i := range ceilDiv(a.px, cellWidth) {
		var x cell
		x.load(a.points, i*pixelBytes, a.point)
		x.columns(func(v *[4]float32) { v[0], v[1] = v[1]+v[2]+v[0], v[1]-v[2]-v[3] })
		x.rows(func(v *[6]float32) {
			s, d, t, e := v[1]+v[2], v[1]-v[2], v[3]+v[4], v[3]-v[4]
			v[0] += s + t
			v[1], v[2] = near*d+far*e, near*near*s+far*far*t
			v[3] = v[5] + near*near*near*d + far*far*far*e
		})
		rows := 2
		if a.row == 0 {
			rows = 1
		}
		for r := range rows {
			for c := range min(cellWidth, a.px-i*cellWidth) {
				for l, old := range vector(a.out, r*a.row+(i*cellWidth+c)*pixelBytes) {
					y := x[r][c][l] + bias[l]
					if a.add != 0 {
						y += old
					}
					vector(a.out, r*a.row+(i*cellWidth+c)*pixelBytes)[l] = y
				}
			}
		}
	}
}

func genericWinogradOutputGrad(a *winogradOutputArgs) {
	for i := range ceilDiv(a.px, cellWidth) {
		var x cell
		for c := range min(cellWidth, a.px-i*cellWidth) {
			at := (i*cellWidth + c) * pixelBytes
			x[0][c] = *vector(a.out, at)
			if a.row != 0 {
				x[3][c] = *vector(a.out, a.row+at)
			}
		}
		x.columns(func(v *[4]float32) { v[1], v[2] = v[0]+v[3], v[0]-v[3] })
		x.rows(func(v *[6]float32) {
			e, o := v[0]+near*near*v[2], near*v[1]+near*near*near*v[3]
			f, q := v[0]+far*far*v[2], far*v[1]+far*far*far*v[3]
			*v = [6]float32{v[0], e + o, e - o, f + q, f - q, v[3]}
		})
		x.store(a.points, i*pixelBytes, a.point)
	}
}

func genericWinogradWeightGrad(a *winogradWeightArgs) {
	for i := range a.n {
		var x cell
		x.load(a.points, i*a.next, a.point)
		x.columns(func(v *[4]float32) {
			*v = [4]float32{v[0] + 0.5*(v[1]+v[2]), 0.5 * (v[1] - v[2]), 0.5*(v[1]+v[2]) - v[3]}
		})
		x.rows(func(v *[6]float32) {
			s, d, t, e := v[1]+v[2], v[1]-v[2], v[3]+v[4], v[3]-v[4]
			v[0] += nearG*s + farG*t
			v[1], v[2] = nearG*near*d+farG*far*e, nearG*near*near*s+farG*far*far*t+v[5]
		})
		for kh := range 3 {
			for kw := range 3 {
				*vector(a.weights, i*a.step+kh*a.row+kw*pixelBytes) = x[kh][kw]
			}
		}
	}
}
