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

// constants broadcasts numbers into registers from the end of zs down.
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

// writeRows calls row for the six rows of a cell, each with its points in place, and
// goes on to the next cell. It uses up RDX.
func writeRows(base reg.Register, p sixPoints, row func(r int)) {
	MOVQ(base, p.base)
	for r := range 6 {
		row(r)
		if r < 5 {
			LEAQ(Mem{Base: p.base, Index: p.step3, Scale: 2}, p.base)
		}
	}
}

// readColumns is writeRows for columns, which are read.
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

// winogradInput transforms the 6x6 pixels under each cell of a row of them. Two columns
// go from one cell to the next, transformed along H, in memory; the last cell has up to
// three columns of its own.
func winogradInput() {
	const name = "winogradInputAVX512"
	text(name, "winogradInputArgs")
	a := arguments("winogradInputArgs", reg.R15)
	in := pixelRows{
		rows:  [6]reg.Register{reg.R8, reg.R9, reg.R10, reg.R11, reg.RSI, reg.RBX},
		masks: [6]reg.OpmaskPhysical{reg.K1, reg.K2, reg.K3, reg.K4, reg.K5, reg.K6},
		k:     loadConstants(near, far, near2, far2, between),
		scale: zs[24], slope: zs[25], kept: Mem{Base: reg.RAX},
	}
	a.load("kept", in.kept.Base)
	in.load(a, name)
	base, p := rowsOf(a)
	n := a.load("px", reg.RCX)
	VPXORD(zs[0], zs[0], zs[0])
	for r := range 6 {
		VMOVUPS(zs[0], in.keep(r, 0))
	}
	in.view(a)
	for r, x := range in.column(0, [6]reg.VecPhysical(zs[0:6])) {
		VMOVUPS(x, in.keep(r, 1))
	}
	DECQ(n)
	SHRQ(Imm(2), n)
	JE(LabelRef(name + "_last"))
	Label(name + "_cell")
	in.view(a)
	var columns [4][6]reg.VecPhysical
	for c := range 4 {
		columns[c] = in.column(c+1, [6]reg.VecPhysical(zs[6*c:6*c+6]))
	}
	in.cell(base, p, columns, true)
	for _, r := range in.rows {
		ADDQ(U32(256), r)
	}
	ADDQ(Imm(64), base)
	DECQ(n)
	JNE(LabelRef(name + "_cell"))
	Label(name + "_last")
	a.load("px", n)
	DECQ(n)
	ANDQ(Imm(3), n)
	in.view(a)
	for c := range 3 {
		there := fmt.Sprintf("%s_column%d", name, c)
		CMPQ(n, Imm(uint64(c+1)))
		JGE(LabelRef(there))
		for _, mask := range in.masks {
			KXORW(mask, mask, mask)
		}
		Label(there)
		columns[c] = in.column(c+1, [6]reg.VecPhysical(zs[6*c:6*c+6]))
	}
	columns[3] = [6]reg.VecPhysical(zs[18:24])
	zero(columns[3][:])
	in.cell(base, p, columns, false)
	VZEROUPPER()
	RET()
}

func zero(list []reg.VecPhysical) {
	for _, z := range list {
		VPXORD(z, z, z)
	}
}

// pixelRows are six rows of pixels and how they are seen; masks are empty where a row
// is one of zeros.
type pixelRows struct {
	rows                [6]reg.Register
	masks               [6]reg.OpmaskPhysical
	k                   map[*winogradConstant]reg.VecPhysical
	scale, slope, spare reg.VecPhysical
	kept                Mem // two columns of six vectors
}

func (p *pixelRows) load(a frame, name string) {
	for r, row := range p.rows {
		mask, at, there := p.masks[r], a.at("rows"), fmt.Sprintf("%s_row%d", name, r)
		at.Disp += 8 * r
		KXNORW(mask, mask, mask)
		MOVQ(at, row)
		TESTQ(row, row)
		JNS(LabelRef(there))
		KXORW(mask, mask, mask)
		XORQ(row, row)
		Label(there)
		ADDQ(a.at("src"), row)
	}
}

func (p *pixelRows) keep(r, column int) Mem {
	m := p.kept
	m.Disp = 64 * (2*r + column)
	return m
}

// view loads how pixels are seen, where cell has other use for the registers; RDX
// points at the shift.
func (p *pixelRows) view(a frame) {
	VMOVUPS(Mem{Base: a.load("scale", reg.RDX)}, p.scale)
	VBROADCASTSS(a.at("slope"), p.slope)
	a.load("shift", reg.RDX)
	p.spare = zs[26]
}

// column reads six pixels as a view sees them and transforms them along H.
func (p *pixelRows) column(at int, x [6]reg.VecPhysical) [6]reg.VecPhysical {
	for r := range x {
		VMOVUPS_Z(Mem{Base: p.rows[r], Disp: 64 * at}, p.masks[r], x[r])
		VFMADD213PS_Z(Mem{Base: reg.RDX}, p.scale, p.masks[r], x[r])
		VPMOVD2M(x[r], reg.K7)
		VMULPS(p.slope, x[r], reg.K7, x[r])
	}
	x, p.spare = inputSix(p.k, x, p.spare)
	return x
}

// cell transforms two kept columns and four new ones along W, row by row, and keeps the
// last two.
func (p *pixelRows) cell(base reg.Register, points sixPoints, columns [4][6]reg.VecPhysical, more bool) {
	writeRows(base, points, func(r int) {
		x := [6]reg.VecPhysical{p.scale, p.slope, columns[0][r], columns[1][r], columns[2][r], columns[3][r]}
		for c := range 2 {
			VMOVUPS(p.keep(r, c), x[c])
			if more {
				VMOVUPS(x[4+c], p.keep(r, c))
			}
		}
		x, _ = inputSix(p.k, x, p.spare)
		for i := range 6 {
			VMOVUPS(x[i], points.at(i))
		}
	})
}

// inputSix transforms six values with a spare register. It returns where the points are
// and which register is spare then.
func inputSix(k map[*winogradConstant]reg.VecPhysical, x [6]reg.VecPhysical, t reg.VecPhysical) ([6]reg.VecPhysical, reg.VecPhysical) {
	VADDPS(x[4], x[0], x[0])
	VFNMADD231PS(k[between], x[2], x[0])
	VADDPS(x[1], x[5], x[5])
	VFNMADD231PS(k[between], x[3], x[5])
	VMOVAPS(x[4], t)
	VFNMADD231PS(k[far2], x[2], t)
	VFNMADD213PS(x[4], k[near2], x[2])
	VMOVAPS(x[3], x[4])
	VFNMADD231PS(k[far2], x[1], x[4])
	VFNMADD213PS(x[3], k[near2], x[1])
	VMOVAPS(t, x[3])
	VFMADD231PS(k[near], x[4], x[3])
	VFNMADD231PS(k[near], x[4], t)
	VMOVAPS(x[2], x[4])
	VFMADD231PS(k[far], x[1], x[2])
	VFNMADD231PS(k[far], x[1], x[4])
	return [6]reg.VecPhysical{x[0], x[3], t, x[2], x[4], x[5]}, x[1]
}

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

// winogradOutput turns the points of a row of cells into up to four rows of pixels.
func winogradOutput() {
	const name = "winogradOutputAVX512"
	text(name, "winogradOutputArgs")
	a := arguments("winogradOutputArgs", reg.R15)
	k := loadConstants(near, far, near3, far3)
	p := columnsOf(a)
	out, n := a.load("out", reg.R8), a.load("px", reg.RCX)
	bias := Mem{Base: a.load("bias", reg.R9)}
	t := [4]reg.VecPhysical(zs[24:28])
	cell := func(label string, store func(r int, pixels []reg.VecPhysical, row reg.Register)) {
		readColumns(a, p, Imm(64), func(c int) {
			y := zs[4*c : 4*c+4]
			VMOVUPS(p.at(0), y[0])
			VMOVUPS(p.at(5), y[3])
			pairs(t, p.at)
			outputFour(k, t, y[0], y[1], y[2], y[3])
		})
		row, left := reg.RSI, reg.RBX
		MOVQ(out, row)
		a.load("rows", left)
		for r := range 4 {
			y := func(c int) reg.VecPhysical { return zs[4*c+r] }
			sums(t, y)
			outputFour(k, t, y(0), y(1), y(2), y(5))
			pixels := []reg.VecPhysical{y(0), y(1), y(2), y(5)}
			for _, x := range pixels {
				VADDPS(bias, x, x)
			}
			store(r, pixels, row)
			if r < 3 {
				DECQ(left)
				JE(LabelRef(label))
				ADDQ(a.at("row"), row)
			}
		}
		Label(label)
	}
	SHRQ(Imm(2), n)
	JE(LabelRef(name + "_last"))
	Label(name + "_cell")
	cell(name+"_next", func(r int, pixels []reg.VecPhysical, row reg.Register) {
		assign := fmt.Sprintf("%s_assign%d", name, r)
		CMPQ(a.at("add"), Imm(0))
		JE(LabelRef(assign))
		for c, x := range pixels {
			VADDPS(Mem{Base: row, Disp: 64 * c}, x, x)
		}
		Label(assign)
		for c, x := range pixels {
			VMOVUPS(x, Mem{Base: row, Disp: 64 * c})
		}
	})
	ADDQ(U32(256), out)
	DECQ(n)
	JNE(LabelRef(name + "_cell"))
	Label(name + "_last")
	a.load("px", n)
	ANDQ(Imm(3), n)
	JE(LabelRef(name + "_done"))
	cell(name+"_done", func(r int, pixels []reg.VecPhysical, row reg.Register) {
		stored := fmt.Sprintf("%s_stored%d", name, r)
		for c, x := range pixels[:3] {
			m, assign := Mem{Base: row, Disp: 64 * c}, fmt.Sprintf("%s_assign%d%d", name, r, c)
			CMPQ(a.at("add"), Imm(0))
			JE(LabelRef(assign))
			VADDPS(m, x, x)
			Label(assign)
			VMOVUPS(x, m)
			if c < 2 {
				CMPQ(n, Imm(uint64(c+1)))
				JE(LabelRef(stored))
			}
		}
		Label(stored)
	})
	VZEROUPPER()
	RET()
}

// winogradOutputGrad is winogradOutput the other way round: the pixels of each cell
// become points. K1 to K4 are empty for rows that the output does not have.
func winogradOutputGrad() {
	const name = "winogradOutputGradAVX512"
	text(name, "winogradOutputArgs")
	a := arguments("winogradOutputArgs", reg.R15)
	k := loadConstants(near, far, near3, far3)
	base, p := rowsOf(a)
	out, row, n := a.load("out", reg.R8), a.load("row", reg.R9), a.load("px", reg.RCX)
	row3, count := reg.R10, a.load("rows", reg.R11)
	LEAQ(Mem{Base: row, Index: row, Scale: 2}, row3)
	masks := []reg.OpmaskPhysical{reg.K1, reg.K2, reg.K3, reg.K4}
	for r, mask := range masks {
		there := fmt.Sprintf("%s_row%d", name, r)
		KXNORW(mask, mask, mask)
		CMPQ(count, Imm(uint64(r)))
		JG(LabelRef(there))
		KXORW(mask, mask, mask)
		Label(there)
	}
	t, u, v := zs[24], zs[25], zs[26]
	at := func(r, c int) reg.VecPhysical { return zs[6*c+r] }
	pixels := func(c int) [4]reg.VecPhysical { return [4]reg.VecPhysical{at(0, c), at(3, c), at(4, c), at(5, c)} }
	read := func(c int) {
		m := []Mem{{Base: out}, {Base: out, Index: row, Scale: 1}, {Base: out, Index: row, Scale: 2}, {Base: out, Index: row3, Scale: 1}}
		for r, x := range pixels(c) {
			m[r].Disp = 64 * c
			VMOVUPS_Z(m[r], masks[r], x)
		}
	}
	cell := func() {
		for c := range 4 {
			y := pixels(c)
			outputGradPair(k, false, y, t, u)
			VADDPS(u, t, at(1, c))
			VSUBPS(u, t, at(2, c))
			outputGradPair(k, true, y, t, u)
			VADDPS(u, t, at(3, c))
			VSUBPS(u, t, at(4, c))
		}
		writeRows(base, p, func(r int) {
			y := [4]reg.VecPhysical{at(r, 0), at(r, 1), at(r, 2), at(r, 3)}
			VMOVUPS(y[0], p.at(0))
			VMOVUPS(y[3], p.at(5))
			for i, f := range []bool{false, true} {
				outputGradPair(k, f, y, t, u)
				VADDPS(u, t, v)
				VMOVUPS(v, p.at(1+2*i))
				VSUBPS(u, t, t)
				VMOVUPS(t, p.at(2+2*i))
			}
		})
	}
	SHRQ(Imm(2), n)
	JE(LabelRef(name + "_last"))
	Label(name + "_cell")
	for c := range 4 {
		read(c)
	}
	cell()
	ADDQ(Imm(64), base)
	ADDQ(U32(256), out)
	DECQ(n)
	JNE(LabelRef(name + "_cell"))
	Label(name + "_last")
	a.load("px", n)
	ANDQ(Imm(3), n)
	JE(LabelRef(name + "_done"))
	for c := 1; c < 4; c++ {
		y := pixels(c)
		zero(y[:])
	}
	for c := range 3 {
		read(c)
		if c < 2 {
			DECQ(n)
			JE(LabelRef(name + "_write"))
		}
	}
	Label(name + "_write")
	cell()
	Label(name + "_done")
	VZEROUPPER()
	RET()
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
