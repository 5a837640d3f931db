package devicetest

import (
	"fmt"
	"math"

	"noisystudent/model/optim"
	"noisystudent/model/program"
)

func vectorCases() []testCase {
	all := []testCase{
		{"weighted sum", weightedSum, true},
		{"grad norm/never clips", func() *problem { return gradNorm(0, 4, 1) }, true},
		{"grad norm/clips", func() *problem { return gradNorm(0.02, 1024, 1) }, false},
		{"grad norm/large bound", func() *problem { return gradNorm(1e6, 1, 1) }, false},
		{"grad norm/not finite", func() *problem { return gradNorm(1, 1, float32(math.Inf(1))) }, false},
	}
	for _, rule := range []program.Rule{program.SGD, program.AdamW} {
		for _, bad := range []bool{false, true} {
			name := fmt.Sprintf("update/%s, not finite %v", rule, bad)
			all = append(all, testCase{name, func() *problem { return update(rule, bad) }, true})
		}
	}
	return all
}

func weightedSum() *problem {
	b := newProblem(15)
	i := program.WeightedSum{Weights: []float32{0.5, 0.25, 0.125, -3}, Out: b.want("out", program.Vector, 3)}
	for k := range i.Weights {
		i.Terms = append(i.Terms, b.vector(fmt.Sprintf("term%d", k), 1, 3))
	}
	b.Emit(i)
	return b
}

// gradNorm has gradients of every class and of lengths around vector widths, one
// of them times scale.
func gradNorm(bound, seed, scale float32) *problem {
	b := newProblem(16)
	var grads []program.ID
	for k, shape := range [][]int{{16, 7, 3, 3, 3}, {33, 16, 1, 3, 3}, {3, 17, 2, 2, 2}, {33, 32, 3, 3, 3}} {
		grads = append(grads, b.given(fmt.Sprintf("kernel%d", k), program.Kernel, program.Input, 1, 0, shape...))
	}
	for k, n := range []int{1, 7, 16, 33} {
		grads = append(grads, b.vector(fmt.Sprintf("vector%d", k), 0, n))
	}
	b.values[grads[1]][5] *= scale
	b.Emit(program.GradNorm{Grads: grads, Seed: b.constant("seed", seed), Out: b.want("out", program.Vector, 2), MaxNorm: bound})
	return b
}

// update runs three steps on parameters of both classes; with bad, a gradient that
// is not finite must leave everything as it is.
func update(rule program.Rule, bad bool) *problem {
	b := newProblem(17, uint64(rule))
	b.runs = 3
	h := optim.Default(rule)
	hyper := b.constant("hyper", h.Vector(rule, 2)...)
	norm := b.constant("norm", 0.9, 0.375)
	if bad {
		b.values[norm][0] = float32(math.Inf(1))
	}
	kernel := [][]int{{17, 3, 3, 3, 3}, {16, 16, 1, 3, 3}, {7, 14, 2, 2, 2}, {33, 32, 3, 3, 3}}
	for k, shape := range append(kernel, []int{1}, []int{16}, []int{33}) {
		class := program.Vector
		if k < len(kernel) {
			class = program.Kernel
		}
		name := fmt.Sprintf("%s%d", class, k)
		i := program.Update{Rule: rule, Hyper: hyper, Norm: norm}
		i.Param = b.given(name, class, program.Param, 1, 0, shape...)
		i.Grad = b.given(name+" gradient", class, program.Input, 1, 0, shape...)
		if bad {
			b.values[i.Grad][0] = float32(math.NaN())
		}
		for s := range rule.States() {
			i.State = append(i.State, b.New(fmt.Sprintf("%s state %d", name, s), class, program.State, shape...))
		}
		b.wanted = append(append(b.wanted, i.Param), i.State...)
		b.Emit(i)
	}
	return b
}
