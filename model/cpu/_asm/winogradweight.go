package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// weightSix transforms three weights; t, u and v are scratch. It calls put with each point.
func weightSix(k map[*winogradConstant]reg.VecPhysical, g [3]reg.VecPhysical, t, u reg.VecPhysical, place func(i int) reg.VecPhysical, put func(i int, x reg.VecPhysical)) {
	put(0, g[0])
	VMULPS(k[nearG], g[0], t)
	VFMADD231PS(k[nearG2], g[2], t)
	VMULPS(k[nearG1], g[1], u)
	for i := range 2 {
		if i == 1 {
			VMULPS(k[farG], g[0], t)
			VFNMADD231PS(k[nearG2], g[2], t) // farG times far2 is -nearG2
			VMULPS(k[farG1], g[1], u)
		}
		x, y := place(1+2*i), place(2+2*i)
		VADDPS(u, t, x)
		put(1+2*i, x)
		VSUBPS(u, t, y)
		put(2+2*i, y)
	}
	put(5, g[2])
}

// winogradWeight transforms the 3x3 weights of one channel after another.
func winogradWeight() {
	const name = "winogradWeightAVX512"
	text(name, "winogradWeightArgs")
	a := arguments("winogradWeightArgs", reg.R15)
	k := loadConstants(nearG, nearG1, nearG2, farG, farG1)
	base, p := rowsOf(a)
	weights, row, n := a.load("weights", reg.R8), a.load("row", reg.R9), a.load("n", reg.RCX)
	step, next := a.load("step", reg.R10), a.load("next", reg.R11)
	t, u := zs[18], zs[19]
	at := func(r, c int) reg.VecPhysical { return zs[6*c+r] }
	Label(name + "_channel")
	for kw := range 3 {
		g := [3]reg.VecPhysical{at(0, kw), zs[20], at(5, kw)}
		for kh, x := range g {
			m := Mem{Base: weights, Disp: 64 * kw}
			if kh > 0 {
				m.Index, m.Scale = row, uint8(kh)
			}
			VMOVUPS(m, x)
		}
		weightSix(k, g, t, u, func(r int) reg.VecPhysical { return at(r, kw) }, func(int, reg.VecPhysical) {})
	}
	writeRows(base, p, func(r int) {
		weightSix(k, [3]reg.VecPhysical{at(r, 0), at(r, 1), at(r, 2)}, t, u,
			func(i int) reg.VecPhysical { return zs[20+i] },
			func(i int, x reg.VecPhysical) { VMOVUPS(x, p.at(i)) })
	})
	ADDQ(step, weights)
	ADDQ(next, base)
	DECQ(n)
	JNE(LabelRef(name + "_channel"))
	VZEROUPPER()
	RET()
}

// winogradWeightGrad is winogradWeight the other way round: from sums of products to
// the gradient of 3x3 weights, one channel after another.
func winogradWeightGrad() {
	const name = "winogradWeightGradAVX512"
	text(name, "winogradWeightArgs")
	a := arguments("winogradWeightArgs", reg.R15)
	k := loadConstants(nearG, nearG1, nearG2, farG, farG1)
	p := columnsOf(a)
	weights, row, n := a.load("weights", reg.R8), a.load("row", reg.R9), a.load("n", reg.RCX)
	step, next := a.load("step", reg.R10), a.load("next", reg.R11)
	t := [4]reg.VecPhysical(zs[18:22])
	three := func(x0, x1, x5 reg.VecPhysical) { // from x0, t and x5
		VFMADD231PS(k[nearG], t[0], x0)
		VFMADD231PS(k[farG], t[2], x0)
		VMULPS(k[nearG1], t[1], x1)
		VFMADD231PS(k[farG1], t[3], x1)
		VFMADD231PS(k[nearG2], t[0], x5)
		VFNMADD231PS(k[nearG2], t[2], x5)
	}
	Label(name + "_channel")
	readColumns(a, p, next, func(c int) {
		x := zs[3*c : 3*c+3]
		VMOVUPS(p.at(0), x[0])
		VMOVUPS(p.at(5), x[2])
		pairs(t, p.at)
		three(x[0], x[1], x[2])
	})
	for r := range 3 {
		x := func(c int) reg.VecPhysical { return zs[3*c+r] }
		sums(t, x)
		three(x(0), x(1), x(5))
		for kw, y := range []reg.VecPhysical{x(0), x(1), x(5)} {
			m := Mem{Base: weights, Disp: 64 * kw}
			if r > 0 {
				m.Index, m.Scale = row, uint8(r)
			}
			VMOVUPS(y, m)
		}
	}
	ADDQ(step, weights)
	DECQ(n)
	JNE(LabelRef(name + "_channel"))
	VZEROUPPER()
	RET()
}
