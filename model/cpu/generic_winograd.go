package cpu

import (
	"math"
	"unsafe"
)

var genericWinograd = &winogradKernels{
	genericWinogradInput, genericWinogradWeight, genericWinogradWeightGrad, genericWinogradOutput, genericWinogradOutputGrad,
}

// The inner points are +-nearPoint and +-farPoint, whose product is 1; nearScale and farScale
// are factors of their rows of G.
const (
	nearPoint = math.Sqrt2 / 2
	farPoint  = math.Sqrt2
	nearScale = -2.0 / 3
	farScale  = 1.0 / 6
)

// cell is the 6x6 points of one cell, or pixels, weights or outputs in their place.
type cell [6][6][lanes]float32

// line is a column or a row of a cell.
type line [6]float32

// columns changes every column by f, rows every row.
func (x *cell) columns(f func(line) line) {
	for c := range 6 {
		for l := range lanes {
			v := f(line{x[0][c][l], x[1][c][l], x[2][c][l], x[3][c][l], x[4][c][l], x[5][c][l]})
			for r := range v {
				x[r][c][l] = v[r]
			}
		}
	}
}

func (x *cell) rows(f func(line) line) {
	for r := range x {
		for l := range lanes {
			v := f(line{x[r][0][l], x[r][1][l], x[r][2][l], x[r][3][l], x[r][4][l], x[r][5][l]})
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

func inputPoints(v line) line {
	e, o := v[4]-farPoint*farPoint*v[2], nearPoint*(v[3]-farPoint*farPoint*v[1])
	f, p := v[4]-nearPoint*nearPoint*v[2], farPoint*(v[3]-nearPoint*nearPoint*v[1])
	return line{v[0] + v[4] - 2.5*v[2], e + o, e - o, f + p, f - p, v[1] + v[5] - 2.5*v[3]}
}

func weightPoints(v line) line {
	e, o := nearScale*(v[0]+nearPoint*nearPoint*v[2]), nearScale*nearPoint*v[1]
	f, p := farScale*(v[0]+farPoint*farPoint*v[2]), farScale*farPoint*v[1]
	return line{v[0], e + o, e - o, f + p, f - p, v[2]}
}

func weightGrads(v line) line {
	s, d, t, e := v[1]+v[2], v[1]-v[2], v[3]+v[4], v[3]-v[4]
	v[0] += nearScale*s + farScale*t
	v[1], v[2] = nearScale*nearPoint*d+farScale*farPoint*e, nearScale*nearPoint*nearPoint*s+farScale*farPoint*farPoint*t+v[5]
	return v
}

func outputs(v line) line {
	s, d, t, e := v[1]+v[2], v[1]-v[2], v[3]+v[4], v[3]-v[4]
	v[0] += s + t
	v[1], v[2] = nearPoint*d+farPoint*e, nearPoint*nearPoint*s+farPoint*farPoint*t
	v[3] = v[5] + nearPoint*nearPoint*nearPoint*d + farPoint*farPoint*farPoint*e
	return v
}

func outputGrads(v line) line {
	e, o := v[0]+nearPoint*nearPoint*v[2], nearPoint*v[1]+nearPoint*nearPoint*nearPoint*v[3]
	f, p := v[0]+farPoint*farPoint*v[2], farPoint*v[1]+farPoint*farPoint*farPoint*v[3]
	return line{v[0], e + o, e - o, f + p, f - p, v[3]}
}

func genericWinogradInput(a *winogradInputArgs) {
	scale, shift := vector(a.scale, 0), vector(a.shift, 0)
	for i := range ceilDiv(a.px, cellSide) {
		var x cell
		for r, row := range a.rows {
			for c := range x[r] {
				if at := cellSide*i - 1 + c; row >= 0 && at >= 0 && at < a.px {
					for l, v := range vector(a.src, row+at*pixelBytes) {
						x[r][c][l] = leaky(v*scale[l]+shift[l], a.slope)
					}
				}
			}
		}
		x.columns(inputPoints)
		x.rows(inputPoints)
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
		x.columns(weightPoints)
		x.rows(weightPoints)
		x.store(a.points, i*a.next, a.point)
	}
}

func genericWinogradWeightGrad(a *winogradWeightArgs) {
	for i := range a.n {
		var x cell
		x.load(a.points, i*a.next, a.point)
		x.columns(weightGrads)
		x.rows(weightGrads)
		for kh := range 3 {
			for kw := range 3 {
				*vector(a.weights, i*a.step+kh*a.row+kw*pixelBytes) = x[kh][kw]
			}
		}
	}
}

func genericWinogradOutput(a *winogradOutputArgs) {
	bias := vector(a.bias, 0)
	for i := range ceilDiv(a.px, cellSide) {
		var x cell
		x.load(a.points, i*pixelBytes, a.point)
		x.columns(outputs)
		x.rows(outputs)
		a.pixels(i, func(r, c int, out *[lanes]float32) {
			for l, old := range out {
				out[l] = x[r][c][l] + bias[l]
				if a.add != 0 {
					out[l] += old
				}
			}
		})
	}
}

func genericWinogradOutputGrad(a *winogradOutputArgs) {
	for i := range ceilDiv(a.px, cellSide) {
		var x cell
		a.pixels(i, func(r, c int, out *[lanes]float32) { x[r][c] = *out })
		x.columns(outputGrads)
		x.rows(outputGrads)
		x.store(a.points, i*pixelBytes, a.point)
	}
}

// pixels calls f for those of cell i that are there.
func (a *winogradOutputArgs) pixels(i int, f func(r, c int, out *[lanes]float32)) {
	for r := range a.rows {
		for c := range min(cellSide, a.px-i*cellSide) {
			f(r, c, vector(a.out, r*a.row+(i*cellSide+c)*pixelBytes))
		}
	}
}
