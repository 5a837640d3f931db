package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// winogradOutput turns the points of a row of cells into up to four rows of pixels.
func winogradOutput() {
	const name = "winogradOutputAVX512"
	text(name, "winogradOutputArgs")
	a := arguments("winogradOutputArgs", reg.R15)
	k := loadConstants(near, far, near3, far3)
	p := columnsOf(a)
	o := outputCell{out: a.load("out", reg.R8), bias: Mem{Base: a.load("bias", reg.R9)}, left: a.load("px", reg.RCX)}
	SHRQ(Imm(2), o.left)
	JE(LabelRef(name + "_last"))
	Label(name + "_cell")
	o.write(a, k, p, name+"_next", 4)
	ADDQ(U32(256), o.out)
	DECQ(o.left)
	JNE(LabelRef(name + "_cell"))
	Label(name + "_last")
	a.load("px", o.left)
	ANDQ(Imm(3), o.left)
	JE(LabelRef(name + "_done"))
	o.write(a, k, p, name+"_done", 3)
	VZEROUPPER()
	RET()
}

// outputCell is where a cell of outputs goes.
type outputCell struct {
	out  reg.Register
	bias Mem
	left reg.Register // columns, of the last cell
}

// write transforms the points of one cell. Its end gets a label, where it goes after
// the last row; columns is 4, or 3 for the last cell, which has up to so many.
func (o outputCell) write(a frame, k map[*winogradConstant]reg.VecPhysical, p sixPoints, end string, columns int) {
	t := [4]reg.VecPhysical(zs[24:28])
	readColumns(a, p, Imm(64), func(c int) {
		y := zs[4*c : 4*c+4]
		VMOVUPS(p.at(0), y[0])
		VMOVUPS(p.at(5), y[3])
		pairs(t, p.at)
		outputFour(k, t, y[0], y[1], y[2], y[3])
	})
	row, rows := reg.RSI, reg.RBX
	MOVQ(o.out, row)
	a.load("rows", rows)
	for r := range 4 {
		y := func(c int) reg.VecPhysical { return zs[4*c+r] }
		sums(t, y)
		outputFour(k, t, y(0), y(1), y(2), y(5))
		o.pixels(a, []reg.VecPhysical{y(0), y(1), y(2), y(5)}[:columns], row, fmt.Sprintf("%s_row%d", end, r))
		if r < 3 {
			DECQ(rows)
			JE(LabelRef(end))
			ADDQ(a.at("row"), row)
		}
	}
	Label(end)
}

// pixels adds the bias and, where asked, what is there, and writes a row of a cell.
func (o outputCell) pixels(a frame, y []reg.VecPhysical, row reg.Register, label string) {
	for c, x := range y {
		m, assign := Mem{Base: row, Disp: 64 * c}, fmt.Sprintf("%s_assign%d", label, c)
		VADDPS(o.bias, x, x)
		CMPQ(a.at("add"), Imm(0))
		JE(LabelRef(assign))
		VADDPS(m, x, x)
		Label(assign)
		VMOVUPS(x, m)
		if len(y) == 3 && c < 2 {
			CMPQ(o.left, Imm(uint64(c+1)))
			JE(LabelRef(label + "_end"))
		}
	}
	if len(y) == 3 {
		Label(label + "_end")
	}
}

// outputFour makes four outputs from points 0 and 5, which it has in y0 and y3, and the
// pairs of the others in t.
func outputFour(k map[*winogradConstant]reg.VecPhysical, t [4]reg.VecPhysical, y0, y1, y2, y3 reg.VecPhysical) {
	VADDPS(t[0], y0, y0)
	VADDPS(t[2], y0, y0)
	VMULPS(k[near], t[1], y1)
	VFMADD231PS(k[far], t[3], y1)
	VMULPS_BCST(near2.mem, t[0], y2)
	VFMADD231PS_BCST(far2.mem, t[2], y2)
	VFMADD231PS(k[near3], t[1], y3)
	VFMADD231PS(k[far3], t[3], y3)
}

// winogradOutputGrad is winogradOutput the other way round: the pixels of each cell
// become points.
func winogradOutputGrad() {
	const name = "winogradOutputGradAVX512"
	text(name, "winogradOutputArgs")
	a := arguments("winogradOutputArgs", reg.R15)
	g := gradCell{loadConstants(near, far, near3, far3), [4]reg.OpmaskPhysical{reg.K1, reg.K2, reg.K3, reg.K4}}
	base, p := rowsOf(a)
	out, n := a.load("out", reg.R8), a.load("px", reg.RCX)
	a.load("row", reg.R9)
	LEAQ(Mem{Base: reg.R9, Index: reg.R9, Scale: 2}, reg.R10)
	g.maskRows(a, name)
	SHRQ(Imm(2), n)
	JE(LabelRef(name + "_last"))
	Label(name + "_cell")
	for c := range 4 {
		g.read(c)
	}
	g.write(base, p)
	ADDQ(Imm(64), base)
	ADDQ(U32(256), out)
	DECQ(n)
	JNE(LabelRef(name + "_cell"))
	Label(name + "_last")
	a.load("px", n)
	ANDQ(Imm(3), n)
	JE(LabelRef(name + "_done"))
	zero(zs[6:24])
	for c := range 3 {
		g.read(c)
		if c < 2 {
			DECQ(n)
			JE(LabelRef(name + "_write"))
		}
	}
	Label(name + "_write")
	g.write(base, p)
	Label(name + "_done")
	VZEROUPPER()
	RET()
}

// gradCell is a cell of an output's gradient: four columns of six vectors, zs[0:24].
// Masks are empty for rows that the output does not have; R8 points at the pixels, R9
// and R10 are one and three rows.
type gradCell struct {
	k     map[*winogradConstant]reg.VecPhysical
	masks [4]reg.OpmaskPhysical
}

func (g gradCell) at(r, c int) reg.VecPhysical { return zs[6*c+r] }

// pixels is where the pixels of a column wait for their transform.
func (g gradCell) pixels(c int) [4]reg.VecPhysical {
	return [4]reg.VecPhysical{g.at(0, c), g.at(3, c), g.at(4, c), g.at(5, c)}
}

func (g gradCell) maskRows(a frame, name string) {
	rows := a.load("rows", reg.R11)
	for r, mask := range g.masks {
		there := fmt.Sprintf("%s_row%d", name, r)
		KXNORW(mask, mask, mask)
		CMPQ(rows, Imm(uint64(r)))
		JG(LabelRef(there))
		KXORW(mask, mask, mask)
		Label(there)
	}
}

func (g gradCell) read(c int) {
	m := []Mem{{Base: reg.R8}, {Base: reg.R8, Index: reg.R9, Scale: 1}, {Base: reg.R8, Index: reg.R9, Scale: 2}, {Base: reg.R8, Index: reg.R10, Scale: 1}}
	for r, x := range g.pixels(c) {
		m[r].Disp = 64 * c
		VMOVUPS_Z(m[r], g.masks[r], x)
	}
}

// write transforms along H, then along W, and writes the points.
func (g gradCell) write(base reg.Register, p sixPoints) {
	t, u, v := zs[24], zs[25], zs[26]
	for c := range 4 {
		for i, outer := range []bool{false, true} {
			outputGradPair(g.k, outer, g.pixels(c), t, u)
			VADDPS(u, t, g.at(1+2*i, c))
			VSUBPS(u, t, g.at(2+2*i, c))
		}
	}
	writeRows(base, p, func(r int) {
		y := [4]reg.VecPhysical{g.at(r, 0), g.at(r, 1), g.at(r, 2), g.at(r, 3)}
		VMOVUPS(y[0], p.at(0))
		VMOVUPS(y[3], p.at(5))
		for i, outer := range []bool{false, true} {
			outputGradPair(g.k, outer, y, t, u)
			VADDPS(u, t, v)
			VMOVUPS(v, p.at(1+2*i))
			VSUBPS(u, t, t)
			VMOVUPS(t, p.at(2+2*i))
		}
	})
}

// outputGradPair leaves the even part of two points in t and the odd one in u.
func outputGradPair(k map[*winogradConstant]reg.VecPhysical, outer bool, y [4]reg.VecPhysical, t, u reg.VecPhysical) {
	p1, p2, p3 := k[near], near2.mem, k[near3]
	if outer {
		p1, p2, p3 = k[far], far2.mem, k[far3]
	}
	VMOVAPS(y[0], t)
	VFMADD231PS_BCST(p2, y[2], t)
	VMULPS(p1, y[1], u)
	VFMADD231PS(p3, y[3], u)
}
