package main

import (
	"fmt"
	"math"
	"strings"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// winograds writes the transforms of Winograd's F(4x4, 3x3): see winograd.go of package
// cpu, which has the matrices. Vectors are 16 channels; a cell is 4x4 outputs and, in
// points, 6 rows of 6.
func winograds() {
	for _, c := range winogradConstants {
		c.mem = constant(c.name, c.value)
	}
	winogradInput()
	winogradWeight()
	winogradWeightGrad()
	winogradOutput()
	winogradOutputGrad()
}

func winogradTables(b *strings.Builder) {
	b.WriteString("\nvar winogradAVX512 = &winogradKernels{\n")
	for _, k := range declared {
		fmt.Fprintf(b, "\t%s,\n", k.name)
	}
	b.WriteString("}\n")
}

// winogradConstant is a number that a transform keeps in a register.
type winogradConstant struct {
	name  string
	value float64
	mem   Mem
}

// The inner points are +-near and +-far, whose product is 1.
var (
	near    = &winogradConstant{name: "winogradNear", value: math.Sqrt2 / 2}
	far     = &winogradConstant{name: "winogradFar", value: math.Sqrt2}
	near2   = &winogradConstant{name: "winogradNear2", value: 0.5}
	far2    = &winogradConstant{name: "winogradFar2", value: 2}
	near3   = &winogradConstant{name: "winogradNear3", value: math.Sqrt2 / 4}
	far3    = &winogradConstant{name: "winogradFar3", value: 2 * math.Sqrt2}
	between = &winogradConstant{name: "winogradBetween", value: 2.5} // near2 + far2
	// Rows of G are divided by derivatives of x(x-near)(x+near)(x-far)(x+far).
	nearG  = &winogradConstant{name: "winogradNearG", value: -2.0 / 3}
	nearG1 = &winogradConstant{name: "winogradNearG1", value: -math.Sqrt2 / 3}
	nearG2 = &winogradConstant{name: "winogradNearG2", value: -1.0 / 3}
	farG   = &winogradConstant{name: "winogradFarG", value: 1.0 / 6}
	farG1  = &winogradConstant{name: "winogradFarG1", value: math.Sqrt2 / 6}

	winogradConstants = []*winogradConstant{near, far, near2, far2, near3, far3, between, nearG, nearG1, nearG2, farG, farG1}
)

// loadConstants broadcasts numbers into registers from the end of zs down.
func loadConstants(list ...*winogradConstant) map[*winogradConstant]reg.VecPhysical {
	m := map[*winogradConstant]reg.VecPhysical{}
	for i, c := range list {
		m[c] = zs[len(zs)-1-i]
		VBROADCASTSS(c.mem, m[c])
	}
	return m
}

// sixPoints is how six points are reached: a pointer to the first and odd multiples of
// the distance between two.
type sixPoints struct{ base, step, step3, step5 reg.Register }

func (p sixPoints) at(i int) Mem {
	m := Mem{Base: p.base}
	switch i {
	case 1, 2, 4:
		m.Index, m.Scale = p.step, uint8(i)
	case 3:
		m.Index, m.Scale = p.step3, 1
	case 5:
		m.Index, m.Scale = p.step5, 1
	}
	return m
}

// multiples sets the odd multiples of step.
func (p sixPoints) multiples() {
	LEAQ(Mem{Base: p.step, Index: p.step, Scale: 2}, p.step3)
	LEAQ(Mem{Base: p.step, Index: p.step, Scale: 4}, p.step5)
}

// writeRows calls row for the six rows of a cell, each with its points in place.
func writeRows(base reg.Register, p sixPoints, row func(r int)) {
	MOVQ(base, p.base)
	for r := range 6 {
		row(r)
		if r < 5 {
			LEAQ(Mem{Base: p.base, Index: p.step3, Scale: 2}, p.base)
		}
	}
}

// readColumns calls column for the six columns of a cell, each with its points in place,
// and goes on by next bytes.
func readColumns(a frame, p sixPoints, next Op, column func(c int)) {
	for c := range 6 {
		column(c)
		ADDQ(a.at("point"), p.base)
	}
	SUBQ(p.step, p.base) // six points
	ADDQ(next, p.base)
}

// rowsOf returns points for writing, columnsOf for reading.
func rowsOf(a frame) (base reg.Register, p sixPoints) {
	base, p = a.load("points", reg.RDI), sixPoints{reg.RDX, reg.R12, reg.R13, reg.R14}
	a.load("point", p.step)
	p.multiples()
	return base, p
}

func columnsOf(a frame) sixPoints {
	p := sixPoints{a.load("points", reg.RDI), reg.R12, reg.R13, reg.R14}
	a.load("point", p.step)
	LEAQ(Mem{Base: p.step, Index: p.step, Scale: 2}, p.step)
	ADDQ(p.step, p.step)
	p.multiples()
	return p
}

// pairs puts sum and difference of points 1 and 2 and of 3 and 4 into t, from memory.
func pairs(t [4]reg.VecPhysical, at func(i int) Mem) {
	for i := range 2 {
		VMOVUPS(at(1+2*i), t[2*i])
		VSUBPS(at(2+2*i), t[2*i], t[2*i+1])
		VADDPS(at(2+2*i), t[2*i], t[2*i])
	}
}

// sums is pairs from registers.
func sums(t [4]reg.VecPhysical, x func(i int) reg.VecPhysical) {
	for i := range 2 {
		VADDPS(x(2+2*i), x(1+2*i), t[2*i])
		VSUBPS(x(2+2*i), x(1+2*i), t[2*i+1])
	}
}

// zero clears registers.
func zero(list []reg.VecPhysical) {
	for _, z := range list {
		VPXORD(z, z, z)
	}
}
