package main

import (
	"fmt"
	"strings"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// winograds writes the transforms of Winograd's F(2x2, 3x3); vectors are 16 channels.
func winograds() {
	winogradHalf = constant("winogradHalf", 0.5)
	winogradInput()
	winogradWeight()
	winogradOutput()
	winogradOutputGrad()
	winogradWeightGrad()
}

var winogradHalf Mem

// points is how the sixteen points of a transform are reached: a pointer to the first of
// every four, and the distance between two in a register.
type points struct {
	rows        [4]reg.Register
	step, step3 reg.Register
}

// newPoints sets the pointers from rows[0], which holds the first.
func newPoints(a frame, rows ...reg.Register) points {
	p := points{[4]reg.Register(rows), a.load("point", reg.R12), reg.R13}
	LEAQ(Mem{Base: p.step, Index: p.step, Scale: 2}, p.step3)
	for i := range 3 {
		LEAQ(Mem{Base: p.rows[i], Index: p.step, Scale: 4}, p.rows[i+1])
	}
	return p
}

func (p points) at(row, column int) Mem {
	m := Mem{Base: p.rows[row]}
	switch column {
	case 1, 2:
		m.Index, m.Scale = p.step, uint8(column)
	case 3:
		m.Index, m.Scale = p.step3, 1
	}
	return m
}

func (p points) advance(by reg.Register) {
	for _, r := range p.rows {
		if by == nil {
			ADDQ(Imm(64), r)
		} else {
			ADDQ(by, r)
		}
	}
}

// Vectors of winogradInput: four columns of pixels, transformed along H.
var (
	winogradColumns = [4][]reg.VecPhysical{zs[0:4], zs[4:8], zs[8:12], zs[12:16]}
	winogradPixels  = zs[16:20]
	winogradScale   = zs[20]
	winogradShift   = zs[21]
	winogradSlope   = zs[22]
	winogradZero    = zs[23]
)

// winogradInput transforms the 4x4 pixels under each square of a row of them. Columns
// go from one square to the next; K1 to K4 are empty for rows of zeros.
func winogradInput() {
	const name = "winogradInputAVX512"
	text(name, "winogradInputArgs")
	a := arguments("winogradInputArgs", reg.R15)
	VMOVUPS(Mem{Base: a.load("scale", reg.RAX)}, winogradScale)
	VMOVUPS(Mem{Base: a.load("shift", reg.RAX)}, winogradShift)
	VBROADCASTSS(a.at("slope"), winogradSlope)
	VPXORD(winogradZero, winogradZero, winogradZero)
	rows := [4]reg.Register{reg.R8, reg.R9, reg.R10, reg.R11}
	masks := [4]reg.OpmaskPhysical{reg.K1, reg.K2, reg.K3, reg.K4}
	for r := range rows {
		winogradRow(a, name, r, rows[r], masks[r])
	}
	p := newPoints(a, a.load("points", reg.RDI), reg.RSI, reg.RBX, reg.RDX)
	n := a.load("px", reg.RCX)
	c := winogradColumns
	for i := range 4 {
		VMOVAPS(winogradZero, c[0][i])
	}
	winogradColumn(rows, masks, 0, c[1])
	DECQ(n)
	SHRQ(Imm(1), n)
	JE(LabelRef(name + "_last"))
	Label(name + "_square")
	for r := range rows {
		ADDQ(Imm(128), rows[r])
	}
	winogradColumn(rows, masks, -64, c[2])
	winogradColumn(rows, masks, 0, c[3])
	winogradSquare(p, true)
	DECQ(n)
	JNE(LabelRef(name + "_square"))
	Label(name + "_last")
	MOVQ(a.at("px"), n)
	ANDQ(Imm(1), n)
	DECQ(n)
	KMOVW(n.(reg.GPPhysical).As32(), reg.K5) // full where the last square has its second column
	for r := range rows {
		KANDW(reg.K5, masks[r], masks[r])
	}
	winogradColumn(rows, masks, 64, c[2])
	for i := range 4 {
		VMOVAPS(winogradZero, c[3][i])
	}
	winogradSquare(p, false)
	VZEROUPPER()
	RET()
}

// winogradRow points at row r, and empties its mask where it is one of zeros.
func winogradRow(a frame, name string, r int, row reg.Register, mask reg.OpmaskPhysical) {
	KXNORW(mask, mask, mask)
	m := a.at("rows")
	m.Disp += 8 * r
	MOVQ(m, row)
	TESTQ(row, row)
	there := fmt.Sprintf("%s_row%d", name, r)
	JNS(LabelRef(there))
	KXORW(mask, mask, mask)
	XORQ(row, row)
	Label(there)
	ADDQ(a.at("src"), row)
}

// winogradColumn reads a column of four pixels as a view sees them and transforms
// it along H.
func winogradColumn(rows [4]reg.Register, masks [4]reg.OpmaskPhysical, at int, to []reg.VecPhysical) {
	x := winogradPixels
	for r := range rows {
		VMOVUPS_Z(Mem{Base: rows[r], Disp: at}, masks[r], x[r])
		VFMADD213PS_Z(winogradShift, winogradScale, masks[r], x[r])
		VCMPPS(Imm(less), winogradZero, x[r], reg.K6)
		VMULPS(winogradSlope, x[r], reg.K6, x[r])
	}
	VSUBPS(x[2], x[0], to[0])
	VADDPS(x[2], x[1], to[1])
	VSUBPS(x[1], x[2], to[2])
	VSUBPS(x[3], x[1], to[3])
}

// winogradSquare transforms four columns along W, writes the points and, where more
// follow, makes the last two columns the first.
func winogradSquare(p points, more bool) {
	c, t := winogradColumns, zs[24:28]
	for r := range 4 {
		VSUBPS(c[2][r], c[0][r], t[0])
		VADDPS(c[2][r], c[1][r], t[1])
		VSUBPS(c[1][r], c[2][r], t[2])
		VSUBPS(c[3][r], c[1][r], t[3])
		for j := range 4 {
			VMOVUPS(t[j], p.at(r, j))
		}
	}
	if !more {
		return
	}
	for r := range 4 {
		VMOVAPS(c[2][r], c[0][r])
		VMOVAPS(c[3][r], c[1][r])
	}
	p.advance(nil)
}

// winogradWeight transforms the 3x3 weights of one channel after another.
func winogradWeight() {
	const name = "winogradWeightAVX512"
	text(name, "winogradWeightArgs")
	a := arguments("winogradWeightArgs", reg.R15)
	p := newPoints(a, a.load("points", reg.RDI), reg.RSI, reg.RBX, reg.RDX)
	weights, row, n := a.load("weights", reg.R8), a.load("row", reg.R9), a.load("n", reg.RCX)
	step, next := a.load("step", reg.R10), a.load("next", reg.R11)
	half := zs[31]
	VBROADCASTSS(winogradHalf, half)
	third := func(x, y, z, minus reg.VecPhysical) { // x, y, z become x, (x+y+z)/2, z; minus (x-y+z)/2
		sum := zs[30]
		VADDPS(z, x, sum)
		VSUBPS(y, sum, minus)
		VADDPS(y, sum, y)
		VMULPS(half, y, y)
		VMULPS(half, minus, minus)
	}
	Label(name + "_channel")
	for kw := range 3 {
		VMOVUPS(Mem{Base: weights, Disp: 64 * kw}, zs[kw])
		VMOVUPS(Mem{Base: weights, Index: row, Scale: 1, Disp: 64 * kw}, zs[4+kw])
		VMOVUPS(Mem{Base: weights, Index: row, Scale: 2, Disp: 64 * kw}, zs[12+kw])
		third(zs[kw], zs[4+kw], zs[12+kw], zs[8+kw])
	}
	for r := range 4 {
		v := zs[4*r:]
		third(v[0], v[1], v[2], v[3])
		for j, i := range []int{0, 1, 3, 2} {
			VMOVUPS(v[i], p.at(r, j))
		}
	}
	ADDQ(step, weights)
	p.advance(next)
	DECQ(n)
	JNE(LabelRef(name + "_channel"))
	VZEROUPPER()
	RET()
}

// winogradOutput turns the points of a row of squares into two rows of pixels. What
// lies outside the output has the address of what lies inside and is written before.
func winogradOutput() {
	const name = "winogradOutputAVX512"
	text(name, "winogradOutputArgs")
	a := arguments("winogradOutputArgs", reg.R15)
	p := newPoints(a, a.load("points", reg.RDI), reg.RSI, reg.RBX, reg.RDX)
	out, below, right := a.load("out", reg.R8), a.load("row", reg.R9), reg.R10
	ADDQ(out, below)
	MOVQ(U32(64), right)
	n := a.load("px", reg.RCX)
	SHRQ(Imm(1), n)
	JE(LabelRef(name + "_last"))
	Label(name + "_square")
	winogradPixelsOut(a, p, name, out, below, right)
	p.advance(nil)
	ADDQ(Imm(128), out)
	ADDQ(Imm(128), below)
	DECQ(n)
	JNE(LabelRef(name + "_square"))
	Label(name + "_last")
	TESTQ(right, right)
	JE(LabelRef(name + "_done"))
	MOVQ(a.at("px"), n)
	ANDQ(Imm(1), n)
	JE(LabelRef(name + "_done"))
	XORQ(right, right)
	JMP(LabelRef(name + "_square"))
	Label(name + "_done")
	VZEROUPPER()
	RET()
}

func winogradPixelsOut(a frame, p points, name string, out, below, right reg.Register) {
	upper, lower := zs[0:4], zs[4:8]
	for j := range 4 {
		VMOVUPS(p.at(1, j), zs[8])
		VMOVUPS(p.at(2, j), zs[9])
		VADDPS(zs[9], zs[8], upper[j])
		VSUBPS(zs[9], zs[8], lower[j])
		VADDPS(p.at(0, j), upper[j], upper[j])
		VSUBPS(p.at(3, j), lower[j], lower[j])
	}
	for _, row := range [][]reg.VecPhysical{upper, lower} {
		VADDPS(row[2], row[1], zs[8])
		VSUBPS(row[2], row[1], zs[9])
		VADDPS(zs[8], row[0], row[0])
		VSUBPS(row[3], zs[9], row[1])
	}
	places := []struct {
		x reg.VecPhysical
		m Mem
	}{
		{lower[1], Mem{Base: below, Index: right, Scale: 1}}, {lower[0], Mem{Base: below}},
		{upper[1], Mem{Base: out, Index: right, Scale: 1}}, {upper[0], Mem{Base: out}},
	}
	CMPQ(a.at("add"), Imm(0))
	JE(LabelRef(name + "_assign"))
	for _, to := range places {
		VADDPS(to.m, to.x, to.x)
	}
	Label(name + "_assign")
	for _, to := range places {
		VMOVUPS(to.x, to.m)
	}
}

// winogradOutputGrad is winogradOutput the other way round: each square of 2x2 pixels
// becomes sixteen points. K1 and K2 are empty where there is no lower row and no right
// column.
func winogradOutputGrad() {
	const name = "winogradOutputGradAVX512"
	text(name, "winogradOutputArgs")
	a := arguments("winogradOutputArgs", reg.R15)
	p := newPoints(a, a.load("points", reg.RDI), reg.RSI, reg.RBX, reg.RDX)
	out, below, n := a.load("out", reg.R8), a.load("row", reg.R9), a.load("px", reg.RCX)
	KXORW(reg.K1, reg.K1, reg.K1)
	KXNORW(reg.K2, reg.K2, reg.K2)
	TESTQ(below, below)
	JE(LabelRef(name + "_rows"))
	KXNORW(reg.K1, reg.K1, reg.K1)
	Label(name + "_rows")
	ADDQ(out, below)
	SHRQ(Imm(1), n)
	JE(LabelRef(name + "_last"))
	Label(name + "_square")
	upper, lower := [4]reg.VecPhysical(zs[0:4]), [4]reg.VecPhysical(zs[4:8])
	VMOVUPS(Mem{Base: out}, upper[0])
	VMOVUPS_Z(Mem{Base: out, Disp: 64}, reg.K2, upper[3])
	VMOVUPS_Z(Mem{Base: below}, reg.K1, lower[0])
	KANDW(reg.K1, reg.K2, reg.K3)
	VMOVUPS_Z(Mem{Base: below, Disp: 64}, reg.K3, lower[3])
	for _, row := range [][4]reg.VecPhysical{upper, lower} {
		VADDPS(row[3], row[0], row[1])
		VSUBPS(row[3], row[0], row[2])
	}
	for j := range 4 {
		VADDPS(lower[j], upper[j], zs[8+j])
		VSUBPS(lower[j], upper[j], zs[12+j])
	}
	for j := range 4 {
		for r, x := range []reg.VecPhysical{upper[j], zs[8+j], zs[12+j], lower[j]} {
			VMOVUPS(x, p.at(r, j))
		}
	}
	p.advance(nil)
	ADDQ(Imm(128), out)
	ADDQ(Imm(128), below)
	DECQ(n)
	JG(LabelRef(name + "_square"))
	JL(LabelRef(name + "_done")) // the last was half a square
	Label(name + "_last")
	MOVQ(a.at("px"), n)
	ANDQ(Imm(1), n)
	JE(LabelRef(name + "_done"))
	KXORW(reg.K2, reg.K2, reg.K2)
	XORQ(n, n)
	JMP(LabelRef(name + "_square"))
	Label(name + "_done")
	VZEROUPPER()
	RET()
}

// winogradWeightGrad is winogradWeight the other way round: from sums of products to
// the gradient of 3x3 weights, one channel after another. Points of the last row and
// column come with the sign that winogradOutputGrad leaves out.
func winogradWeightGrad() {
	const name = "winogradWeightGradAVX512"
	text(name, "winogradWeightArgs")
	a := arguments("winogradWeightArgs", reg.R15)
	p := newPoints(a, a.load("points", reg.RDI), reg.RSI, reg.RBX, reg.RDX)
	weights, row, n := a.load("weights", reg.R8), a.load("row", reg.R9), a.load("n", reg.RCX)
	step, next := a.load("step", reg.R10), a.load("next", reg.R11)
	half, sum := zs[31], zs[30]
	VBROADCASTSS(winogradHalf, half)
	third := func(x []reg.VecPhysical) { // three of four
		VADDPS(x[2], x[1], sum)
		VSUBPS(x[2], x[1], x[1])
		VMULPS(half, sum, sum)
		VMULPS(half, x[1], x[1])
		VADDPS(sum, x[0], x[0])
		VSUBPS(x[3], sum, x[2])
	}
	Label(name + "_channel")
	for j := range 4 {
		x := zs[4*j:][:4]
		for r := range 4 {
			VMOVUPS(p.at(r, j), x[r])
		}
		third(x)
	}
	for r := range 3 {
		x := []reg.VecPhysical{zs[r], zs[4+r], zs[8+r], zs[12+r]}
		third(x)
		for kw := range 3 {
			m := Mem{Base: weights, Disp: 64 * kw}
			if r > 0 {
				m.Index, m.Scale = row, uint8(r)
			}
			VMOVUPS(x[kw], m)
		}
	}
	ADDQ(step, weights)
	p.advance(next)
	DECQ(n)
	JNE(LabelRef(name + "_channel"))
	VZEROUPPER()
	RET()
}

func winogradTables(b *strings.Builder) {
	b.WriteString("\nvar winogradAVX512 = &winogradKernels{\n")
	for _, k := range declared {
		fmt.Fprintf(b, "\t%s,\n", k.name)
	}
	b.WriteString("}\n")
}
