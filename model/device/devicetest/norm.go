package devicetest

import (
	"fmt"

	"noisystudent/model/program"
)

const (
	eps   = 1e-5
	slope = 0.01
)

func normCases() []testCase {
	var all []testCase
	for k, c := range channels {
		shape := []int{1 + k%2, c, 1 + k%3, 2 + k%4, widths[(k+1)%len(widths)]}
		seed := uint64(k)
		add := func(name string, always bool, f func(seed uint64, shape []int) *problem) {
			all = append(all, testCase{fmt.Sprintf("%s/%v", name, shape), func() *problem { return f(seed, shape) }, always})
		}
		add("moments, norm scale", false, normScale)
		add("norm act", false, normAct)
		add("concat", false, concat)
		add("norm grad", false, func(s uint64, shape []int) *problem { return normGrad(s, shape, false) })
		add("norm grad in place", k == 5, func(s uint64, shape []int) *problem { return normGrad(s, shape, true) })
		add("add", false, addInPlace)
	}
	all = append(all,
		testCase{"moments/far from zero", farMoments, true},
		testCase{"norm grad/many voxels", func() *problem { return normGrad(99, []int{1, 72, 16, 48, 48}, false) }, false})
	return all
}

// normScale has a mean far larger than the deviation in some channels.
func normScale(seed uint64, shape []int) *problem {
	b := newProblem(7, seed)
	n, c := shape[0], shape[1]
	x := b.given("x", program.Activation, program.Input, 2, 3, shape...)
	gamma, beta := b.vector("gamma", 1, c), b.vector("beta", 0, c)
	m := b.want("moments", program.Vector, n, c, 2)
	out := b.want("out", program.Vector, n, c, 2)
	b.Emit(program.Moments{In: x, Out: m}, program.NormScale{Moments: m, Gamma: gamma, Beta: beta, Out: out, Eps: eps})
	return b
}

// farMoments has a mean a hundred times the deviation: the variance must not be
// taken as a difference of large numbers.
func farMoments() *problem {
	b := newProblem(8)
	x := b.given("x", program.Activation, program.Input, 0.01, 1, 1, 17, 4, 13, 24)
	m := b.New("moments", program.Vector, program.Temp, 1, 17, 2)
	ones, zeros := b.given("ones", program.Vector, program.Input, 0, 1, 17), b.given("zeros", program.Vector, program.Input, 0, 0, 17)
	norm := b.New("norm", program.Vector, program.Temp, 1, 17, 2)
	out := b.want("out", program.Activation, 1, 17, 4, 13, 24)
	b.Emit(program.Moments{In: x, Out: m}, program.NormScale{Moments: m, Gamma: ones, Beta: zeros, Out: norm, Eps: eps},
		program.NormAct{In: program.View{Buf: x, Norm: norm, Slope: slope}, Out: out})
	return b
}

func normAct(seed uint64, shape []int) *problem {
	b := newProblem(9, seed)
	v, plain := b.view("x", true, shape...), b.view("plain", false, shape...)
	b.Emit(program.NormAct{In: v, Out: b.want("out", program.Activation, shape...)},
		program.NormAct{In: plain, Out: b.want("copy", program.Activation, shape...)})
	return b
}

// concat joins 3, shape[1] and 14 channels, the middle ones through a norm.
func concat(seed uint64, shape []int) *problem {
	b := newProblem(10, seed)
	with := func(c int) []int { return append([]int{shape[0], c}, shape[2:]...) }
	in := []program.View{b.view("a", false, with(3)...), b.view("b", true, shape...), b.view("c", false, with(14)...)}
	b.Emit(program.Concat{In: in, Out: b.want("out", program.Activation, with(17+shape[1])...)})
	return b
}

// normGrad takes moments and norm from the raw values, as in a network.
func normGrad(seed uint64, shape []int, inPlace bool) *problem {
	b := newProblem(11, seed)
	n, c := shape[0], shape[1]
	raw := b.given("raw", program.Activation, program.Input, 1.5, 0.4, shape...)
	gamma, beta := b.vector("gamma", 1, c), b.vector("beta", 0.1, c)
	m, norm := b.New("moments", program.Vector, program.Temp, n, c, 2), b.New("norm", program.Vector, program.Temp, n, c, 2)
	b.Emit(program.Moments{In: raw, Out: m}, program.NormScale{Moments: m, Gamma: gamma, Beta: beta, Out: norm, Eps: eps})
	g := program.NormGrad{Raw: raw, Moments: m, Norm: norm, Gamma: gamma, Slope: slope, Eps: eps}
	if inPlace {
		g.DOut = b.written("dout and din", shape...)
		g.DIn = g.DOut
	} else {
		g.DOut = b.activation("dout", shape...)
		g.DIn = b.want("din", program.Activation, shape...)
	}
	g.DGamma, g.DBeta = b.want("dgamma", program.Vector, c), b.want("dbeta", program.Vector, c)
	b.Emit(g)
	return b
}

// addInPlace adds activations, into a third one and into either operand, and kernels.
func addInPlace(seed uint64, shape []int) *problem {
	b := newProblem(12, seed)
	x, y := b.activation("x", shape...), b.activation("y", shape...)
	sum := b.want("x+y", program.Activation, shape...)
	into := b.written("x+y+z", shape...)
	b.Emit(program.Add{A: x, B: y, Out: sum})
	if seed%2 == 0 {
		b.Emit(program.Add{A: into, B: sum, Out: into})
	} else {
		b.Emit(program.Add{A: sum, B: into, Out: into})
	}
	k := []int{shape[1], 3, 1, 3, 3}
	b.Emit(program.Add{A: b.kernel("k", k...), B: b.kernel("l", k...), Out: b.want("k+l", program.Kernel, k...)})
	b.Emit(program.Add{A: b.vector("u", 0, shape[1]), B: b.vector("v", 0, shape[1]), Out: b.want("u+v", program.Vector, shape[1])})
	return b
}
