package cpu

import (
	"math"

	"noisystudent/model/program"
)

// newNormScale plans scale = gamma/sqrt(var+eps), shift = beta - mean*scale.
func (l *loaded) newNormScale(i program.NormScale) op {
	moments, out := l.floats(i.Moments), l.floats(i.Out)
	gamma, beta := l.floats(i.Gamma), l.floats(i.Beta)
	return op{"norm scale", []phase{once(func() {
		for k := range len(out) / 2 {
			c := k % len(gamma)
			scale := float64(gamma[c]) / math.Sqrt(float64(moments[2*k+1])+float64(i.Eps))
			out[2*k], out[2*k+1] = float32(scale), float32(float64(beta[c])-float64(moments[2*k])*scale)
		}
	})}}
}

// normGrad goes backward through an instance norm and leaky ReLU in two passes:
// sums of g and g*(x-mean), then dx = g*a + (x-mean)*b + c.
type normGrad struct {
	l             *loaded
	i             program.NormGrad
	x             *source // seen through the norm
	dy            *source
	dx            []float32
	size, parts   int       // voxels of a part, parts of a block
	sums          []float64 // (N, block, part, 2, lane)
	mean, a, b, c []float32 // (N, blocks*16)
}

func (l *loaded) newNormGrad(i program.NormGrad) op {
	g := &normGrad{l: l, i: i, x: l.source(program.View{Buf: i.Raw, Norm: i.Norm, Slope: i.Slope}), dx: l.floats(i.DIn)}
	g.dy = l.source(program.View{Buf: i.DOut, Norm: program.None})
	n := g.x.batch * g.x.blocks
	g.size = l.dev.sizes.voxels
	g.parts = ceilDiv(g.x.voxels, g.size)
	g.sums = make([]float64, n*g.parts*2*lanes)
	for _, v := range []*[]float32{&g.mean, &g.a, &g.b, &g.c} {
		*v = aligned(n * lanes)
	}
	return op{"norm gradient", []phase{
		once(g.begin),
		{n * g.parts, g.sum, 2 * len(g.x.data)},
		once(g.finish),
		{n * g.parts, g.apply, 2 * len(g.x.data)},
	}}
}

func (g *normGrad) begin() {
	prepare([]*source{g.x, g.dy})
	moments := g.l.floats(g.i.Moments)
	for n := range g.x.batch {
		for c := range g.x.channels {
			g.mean[n*g.x.blocks*lanes+c] = moments[2*(n*g.x.channels+c)]
		}
	}
}

// args points at part i of the activation.
func (g *normGrad) args(w *worker, i int) *normGradArgs {
	a := &w.norm
	part, block := i%g.parts, i/g.parts
	at := (block*g.x.voxels + part*g.size) * lanes
	a.n = min(g.size, g.x.voxels-part*g.size)
	a.x, a.dy, a.dx, a.slope = ptr(g.x.data, at), ptr(g.dy.data, at), ptr(g.dx, at), g.x.slope
	copy(a.scale[:], g.x.scale[block*lanes:])
	copy(a.shift[:], g.x.shift[block*lanes:])
	copy(a.mean[:], g.mean[block*lanes:])
	return a
}

func (g *normGrad) sum(w *worker, i int) {
	a := g.args(w, i)
	g.l.dev.table.normSums(a)
	for k, v := range a.sums {
		g.sums[i*2*lanes+k] = float64(v)
	}
}

func (g *normGrad) apply(w *worker, i int) {
	a, block := g.args(w, i), i/g.parts*lanes
	copy(a.a[:], g.a[block:])
	copy(a.b[:], g.b[block:])
	copy(a.c[:], g.c[block:])
	g.l.dev.table.normApply(a)
}

// finish adds the parts and makes the coefficients of the second pass:
// dx = gamma*inv*(g - mean(g) - xhat*mean(g*xhat)), xhat = (x-mean)*inv.
func (g *normGrad) finish() {
	gamma, moments := g.l.floats(g.i.Gamma), g.l.floats(g.i.Moments)
	dgamma, dbeta := g.l.floats(g.i.DGamma), g.l.floats(g.i.DBeta)
	voxels := float64(g.x.voxels)
	for c := range g.x.channels {
		var sumGamma, sumBeta float64
		for n := range g.x.batch {
			var sum, sumX float64
			block := n*g.x.blocks + c/lanes
			for p := range g.parts {
				at := (block*g.parts+p)*2*lanes + c%lanes
				sum += g.sums[at]
				sumX += g.sums[at+lanes]
			}
			inv := 1 / math.Sqrt(float64(moments[2*(n*g.x.channels+c)+1])+float64(g.i.Eps))
			sumX *= inv
			sumBeta += sum
			sumGamma += sumX
			factor, at := float64(gamma[c])*inv, block*lanes+c%lanes
			g.a[at] = float32(factor)
			g.b[at] = float32(-factor * inv * sumX / voxels)
			g.c[at] = float32(-factor * sum / voxels)
		}
		dgamma[c], dbeta[c] = float32(sumGamma), float32(sumBeta)
	}
}
