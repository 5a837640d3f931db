package cpu

import "unsafe"

var genericWinograd = &winogradKernels{
	genericWinogradInput, genericWinogradWeight, genericWinogradOutput, genericWinogradOutputGrad, genericWinogradWeightGrad,
}

// square is the 4x4 vectors that one square of 2x2 outputs takes, in either domain.
type square [4][4][lanes]float32

func genericWinogradInput(a *winogradInputArgs) {
	scale, shift := vector(a.scale, 0), vector(a.shift, 0)
	for s := range (a.px + 1) / 2 {
		var x square
		for r, row := range a.rows {
			for c := range 4 {
				if at := 2*s - 1 + c; row >= 0 && at >= 0 && at < a.px {
					for l, v := range vector(a.src, row+at*pixelBytes) {
						x[r][c][l] = leaky(v*scale[l]+shift[l], a.slope)
					}
				}
			}
		}
		for i := range 4 {
			for l := range lanes {
				x[0][i][l], x[1][i][l], x[2][i][l], x[3][i][l] = inputPoints(x[0][i][l], x[1][i][l], x[2][i][l], x[3][i][l])
			}
		}
		for r := range x {
			for l := range lanes {
				x[r][0][l], x[r][1][l], x[r][2][l], x[r][3][l] = inputPoints(x[r][0][l], x[r][1][l], x[r][2][l], x[r][3][l])
			}
		}
		x.store(a.points, s*pixelBytes, a.point)
	}
}

func inputPoints(a, b, c, d float32) (float32, float32, float32, float32) {
	return a - c, b + c, c - b, b - d
}

func (x *square) store(p unsafe.Pointer, at, point int) {
	for i := range 16 {
		*vector(p, at+i*point) = x[i/4][i%4]
	}
}

func genericWinogradWeight(a *winogradWeightArgs) {
	for c := range a.n {
		var x square
		for kw := range 3 {
			at := c*a.step + kw*pixelBytes
			g0, g1, g2 := vector(a.weights, at), vector(a.weights, at+a.row), vector(a.weights, at+2*a.row)
			for l := range lanes {
				x[0][kw][l], x[1][kw][l], x[2][kw][l], x[3][kw][l] = weightPoints(g0[l], g1[l], g2[l])
			}
		}
		for r := range x {
			for l := range lanes {
				x[r][0][l], x[r][1][l], x[r][2][l], x[r][3][l] = weightPoints(x[r][0][l], x[r][1][l], x[r][2][l])
			}
		}
		x.store(a.points, c*a.next, a.point)
	}
}

func weightPoints(a, b, c float32) (float32, float32, float32, float32) {
	return a, 0.5 * (a + c + b), 0.5 * (a + c - b), c
}

func genericWinogradOutput(a *winogradOutputArgs) {
	for s := range (a.px + 1) / 2 {
		at, right := 2*s*pixelBytes, pixelBytes
		if 2*s+1 == a.px {
			right = 0
		}
		out := [4]*[lanes]float32{vector(a.out, at+a.row+right), vector(a.out, at+a.row), vector(a.out, at+right), vector(a.out, at)}
		for l := range lanes {
			var upper, lower [4]float32
			for j := range 4 {
				m := func(r int) float32 { return vector(a.points, s*pixelBytes+(4*r+j)*a.point)[l] }
				upper[j], lower[j] = outputs(m(0), m(1), m(2), m(3))
			}
			var y [4]float32
			y[1], y[0] = outputs(lower[0], lower[1], lower[2], lower[3])
			y[3], y[2] = outputs(upper[0], upper[1], upper[2], upper[3])
			if a.add != 0 {
				y[0], y[1], y[2], y[3] = y[0]+out[0][l], y[1]+out[1][l], y[2]+out[2][l], y[3]+out[3][l]
			}
			for i := range y {
				out[i][l] = y[i]
			}
		}
	}
}

func outputs(a, b, c, d float32) (float32, float32) { return b + c + a, b - c - d }

func genericWinogradOutputGrad(a *winogradOutputArgs) {
	for s := range (a.px + 1) / 2 {
		var x square
		for r := range 2 {
			for c := range 2 {
				if (r == 0 || a.row != 0) && 2*s+c < a.px {
					x[3*r][3*c] = *vector(a.out, r*a.row+(2*s+c)*pixelBytes)
				}
			}
		}
		for _, r := range []int{0, 3} {
			for l := range lanes {
				x[r][1][l], x[r][2][l] = x[r][0][l]+x[r][3][l], x[r][0][l]-x[r][3][l]
			}
		}
		for c := range 4 {
			for l := range lanes {
				x[1][c][l], x[2][c][l] = x[0][c][l]+x[3][c][l], x[0][c][l]-x[3][c][l]
			}
		}
		x.store(a.points, s*pixelBytes, a.point)
	}
}

func genericWinogradWeightGrad(a *winogradWeightArgs) {
	for c := range a.n {
		for l := range lanes {
			var rows [3][4]float32
			for j := range 4 {
				m := func(r int) float32 { return vector(a.points, c*a.next+(4*r+j)*a.point)[l] }
				rows[0][j], rows[1][j], rows[2][j] = weightGrads(m(0), m(1), m(2), m(3))
			}
			for kh, r := range rows {
				at := c*a.step + kh*a.row
				g := [3]*[lanes]float32{vector(a.weights, at), vector(a.weights, at+pixelBytes), vector(a.weights, at+2*pixelBytes)}
				g[0][l], g[1][l], g[2][l] = weightGrads(r[0], r[1], r[2], r[3])
			}
		}
	}
}

func weightGrads(a, b, c, d float32) (float32, float32, float32) {
	return a + 0.5*(b+c), 0.5 * (b - c), 0.5*(b+c) - d
}
