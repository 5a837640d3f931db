package main

import (
	"fmt"
	"math"
	"strings"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// winograds writes the transforms of Winograd's F(2x4, 3x3): see winograd.go of package
// cpu, which has the matrices. Vectors are 16 channels; a cell is 2x4 outputs and, in
// points, 4 rows of 6.
func winograds() {
	for _, c := range winogradConstants {
		c.mem = constant(c.name, c.value)
	}
	winogradInput()
	winogradWeight()
	winogradOutput()
	winogradOutputGrad()
	winogradWeightGrad()
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

// The inner points along W are +-near and +-far, whose product is 1.
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

// load broadcasts constants into registers from the end of zs down.
func loadConstants(list ...*winogradConstant) map[*winogradConstant]reg.VecPhysical {
	m := map[*winogradConstant]reg.VecPhysical{}
	for i, c := range list {
		m[c] = zs[len(zs)-1-i]
		VBROADCASTSS(c.mem, m[c])
	}
	return m
}

// points is how the points of a cell are reached: a pointer to the first of each row,
// and odd multiples of the distance between two.
type points struct {
	rows               [4]reg.Register
	step, step3, step5 reg.Register
}

// newPoints sets all pointers from the first; it uses up R12 to R14.
func newPoints(a frame) points {
	p := points{[4]reg.Register{reg.RDI, reg.RSI, reg.RBX, reg.RDX}, reg.R12, reg.R13, reg.R14}
	a.load("points", p.rows[0])
	a.load("point", p.step)
	LEAQ(Mem{Base: p.step, Index: p.step, Scale: 2}, p.step3)
	LEAQ(Mem{Base: p.step, Index: p.step, Scale: 4}, p.step5)
	for i := range 3 {
		LEAQ(Mem{Base: p.rows[i], Index: p.step3, Scale: 2}, p.rows[i+1])
	}
	return p
}

func (p points) at(row, column int) Mem {
	m := Mem{Base: p.rows[row]}
	switch column {
	case 1, 2, 4:
		m.Index, m.Scale = p.step, uint8(column)
	case 3:
		m.Index, m.Scale = p.step3, 1
	case 5:
		m.Index, m.Scale = p.step5, 1
	}
	return m
}

func (p points) advance(by Op) {
	for _, r := range p.rows {
		ADDQ(by, r)
	}
}

// winogradInput transforms the 4x6 pixels under each cell of a row of them. Two columns
// go from one cell to the next; the last cell has up to three columns of its own. Six
// columns of four vectors take zs[0:24].
func winogradInput() {
	const name = "winogradInputAVX512"
	text(name, "winogradInputArgs")
	a := arguments("winogradInputArgs", reg.R15)
	k := loadConstants(near, far, near2, far2, between)
	in := pixelRows{
		rows:  [4]reg.Register{reg.R8, reg.R9, reg.R10, reg.R11},
		masks: [4]reg.OpmaskPhysical{reg.K1, reg.K2, reg.K3, reg.K4},
		scale: zs[25], slope: zs[26], shift: Mem{Base: reg.RAX}, spare: zs[24],
	}
	in.load(a, name)
	p, n := newPoints(a), reg.RCX
	columns := func(i int) []reg.VecPhysical { return zs[4*i : 4*i+4] }
	zero(columns(0))
	in.column(0, columns(1))
	a.load("px", n)
	DECQ(n)
	SHRQ(Imm(2), n)
	JE(LabelRef(name + "_last"))
	Label(name + "_cell")
	for c := range 4 {
		in.column(c+1, columns(c+2))
	}
	winogradCell(p, k, in.spare)
	for r := range 4 {
		VMOVAPS(columns(4)[r], columns(0)[r])
		VMOVAPS(columns(5)[r], columns(1)[r])
		ADDQ(U32(256), in.rows[r])
	}
	p.advance(Imm(64))
	DECQ(n)
	JNE(LabelRef(name + "_cell"))
	Label(name + "_last")
	a.load("px", n)
	DECQ(n)
	ANDQ(Imm(3), n)
	for c := range 3 {
		there := fmt.Sprintf("%s_column%d", name, c)
		CMPQ(n, Imm(uint64(c+1)))
		JGE(LabelRef(there))
		for _, mask := range in.masks {
			KXORW(mask, mask, mask)
		}
		Label(there)
		in.column(c+1, columns(c+2))
	}
	zero(columns(5))
	winogradCell(p, k, in.spare)
	VZEROUPPER()
	RET()
}

func zero(list []reg.VecPhysical) {
	for _, z := range list {
		VPXORD(z, z, z)
	}
}

// pixelRows are four rows of pixels and how they are seen; masks are empty where a row
// is one of zeros.
type pixelRows struct {
	rows                [4]reg.Register
	masks               [4]reg.OpmaskPhysical
	scale, slope, spare reg.VecPhysical
	shift               Mem
}

func (p pixelRows) load(a frame, name string) {
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
	VMOVUPS(Mem{Base: a.load("scale", reg.RAX)}, p.scale)
	VBROADCASTSS(a.at("slope"), p.slope)
	a.load("shift", p.shift.Base)
}

// column reads four pixels as a view sees them and transforms them along H.
func (p pixelRows) column(at int, x []reg.VecPhysical) {
	for r := range 4 {
		VMOVUPS_Z(Mem{Base: p.rows[r], Disp: 64 * at}, p.masks[r], x[r])
		VFMADD213PS_Z(p.shift, p.scale, p.masks[r], x[r])
		VPMOVD2M(x[r], reg.K5)
		VMULPS(p.slope, x[r], reg.K5, x[r])
	}
	VSUBPS(x[2], x[0], x[0])
	VSUBPS(x[3], x[1], x[3])
	VADDPS(x[2], x[1], p.spare)
	VSUBPS(x[1], x[2], x[2])
	VMOVAPS(p.spare, x[1])
}

// winogradCell transforms six columns along W, row by row, and writes the points. It
// leaves the last two columns as they are.
func winogradCell(p points, k map[*winogradConstant]reg.VecPhysical, t reg.VecPhysical) {
	for r := range 4 {
		c := func(i int) reg.VecPhysical { return zs[4*i+r] }
		VADDPS(c(5), c(1), t)
		VFNMADD231PS(k[between], c(3), t)
		VMOVUPS(t, p.at(r, 5))
		VADDPS(c(4), c(0), c(0))
		VFNMADD231PS(k[between], c(2), c(0))
		VMOVUPS(c(0), p.at(r, 0))
		VMOVAPS(c(4), c(0))
		VFNMADD231PS(k[far2], c(2), c(0))
		VFNMADD213PS(c(4), k[near2], c(2))
		VMOVAPS(c(3), t)
		VFNMADD231PS(k[far2], c(1), t)
		VFNMADD213PS(c(3), k[near2], c(1))
		VMOVAPS(c(0), c(3))
		VFMADD231PS(k[near], t, c(3))
		VFNMADD231PS(k[near], t, c(0))
		VMOVUPS(c(3), p.at(r, 1))
		VMOVUPS(c(0), p.at(r, 2))
		VMOVAPS(c(2), t)
		VFMADD231PS(k[far], c(1), t)
		VFNMADD231PS(k[far], c(1), c(2))
		VMOVUPS(t, p.at(r, 3))
		VMOVUPS(c(2), p.at(r, 4))
	}
}

// winogradWeight transforms the 3x3 weights of one channel after another.
func winogradWeight() {
	const name = "winogradWeightAVX512"
	text(name, "winogradWeightArgs")
	a := arguments("winogradWeightArgs", reg.R15)
	k := loadConstants(near2, nearG, nearG1, nearG2, farG, farG1)
	p := newPoints(a)
	weights, row, n := a.load("weights", reg.R8), a.load("row", reg.R9), a.load("n", reg.RCX)
	step, next := a.load("step", reg.R10), a.load("next", reg.R11)
	t, u := zs[16], zs[17]
	Label(name + "_channel")
	for kw := range 3 {
		m := Mem{Base: weights, Disp: 64 * kw}
		VMOVUPS(m, zs[kw])
		m.Index, m.Scale = row, 1
		VMOVUPS(m, zs[4+kw])
		m.Scale = 2
		VMOVUPS(m, zs[12+kw])
		VADDPS(zs[12+kw], zs[kw], t)
		VSUBPS(zs[4+kw], t, zs[8+kw])
		VADDPS(zs[4+kw], t, zs[4+kw])
		VMULPS(k[near2], zs[4+kw], zs[4+kw])
		VMULPS(k[near2], zs[8+kw], zs[8+kw])
	}
	for r := range 4 {
		g := zs[4*r:]
		VMOVUPS(g[0], p.at(r, 0))
		VMOVUPS(g[2], p.at(r, 5))
		for i, pair := range [][3]*winogradConstant{{nearG, nearG2, nearG1}, {farG, nearG2, farG1}} {
			VMULPS(k[pair[0]], g[0], t)
			if i == 0 {
				VFMADD231PS(k[pair[1]], g[2], t)
			} else {
				VFNMADD231PS(k[pair[1]], g[2], t) // farG times far2 is -nearG2
			}
			VMULPS(k[pair[2]], g[1], u)
			VADDPS(u, t, g[3])
			VMOVUPS(g[3], p.at(r, 1+2*i))
			VSUBPS(u, t, t)
			VMOVUPS(t, p.at(r, 2+2*i))
		}
	}
	ADDQ(step, weights)
	p.advance(next)
	DECQ(n)
	JNE(LabelRef(name + "_channel"))
	VZEROUPPER()
	RET()
}

// winogradOutput turns the points of a row of cells into two rows of pixels. A lower row
// that lies outside the output has the address of the upper and is written before.
func winogradOutput() {
	const name = "winogradOutputAVX512"
	text(name, "winogradOutputArgs")
	a := arguments("winogradOutputArgs", reg.R15)
	k := loadConstants(near, far, near2, far2, near3, far3)
	p := newPoints(a)
	out, below, n := a.load("out", reg.R8), a.load("row", reg.R9), a.load("px", reg.RCX)
	ADDQ(out, below)
	VMOVUPS(Mem{Base: a.load("bias", reg.RAX)}, zs[16])
	SHRQ(Imm(2), n)
	JE(LabelRef(name + "_last"))
	Label(name + "_cell")
	winogradPixels(p, k)
	CMPQ(a.at("add"), Imm(0))
	JE(LabelRef(name + "_assign"))
	for c := range 4 {
		winogradAdd(c, out, below)
	}
	Label(name + "_assign")
	for c := range 4 {
		winogradStore(c, out, below)
	}
	p.advance(Imm(64))
	ADDQ(U32(256), out)
	ADDQ(U32(256), below)
	DECQ(n)
	JNE(LabelRef(name + "_cell"))
	Label(name + "_last")
	a.load("px", n)
	ANDQ(Imm(3), n)
	JE(LabelRef(name + "_done"))
	winogradPixels(p, k)
	for c := range 3 {
		store := fmt.Sprintf("%s_store%d", name, c)
		CMPQ(a.at("add"), Imm(0))
		JE(LabelRef(store))
		winogradAdd(c, out, below)
		Label(store)
		winogradStore(c, out, below)
		DECQ(n)
		JE(LabelRef(name + "_done"))
	}
	Label(name + "_done")
	VZEROUPPER()
	RET()
}

// winogradPixels leaves four pixels of the upper row in zs[0:4] and of the lower in
// zs[8:12]; zs[16] is the bias.
func winogradPixels(p points, k map[*winogradConstant]reg.VecPhysical) {
	upper, lower, t := zs[0:6], zs[8:14], zs[20:24]
	for j := range 6 {
		VMOVUPS(p.at(1, j), t[0])
		VMOVUPS(p.at(2, j), t[1])
		VADDPS(t[1], t[0], upper[j])
		VSUBPS(t[1], t[0], lower[j])
		VADDPS(p.at(0, j), upper[j], upper[j])
		VSUBPS(p.at(3, j), lower[j], lower[j])
	}
	for _, y := range [][]reg.VecPhysical{upper, lower} {
		VADDPS(y[2], y[1], t[0])
		VSUBPS(y[2], y[1], t[1])
		VADDPS(y[4], y[3], t[2])
		VSUBPS(y[4], y[3], t[3])
		VADDPS(zs[16], y[0], y[0])
		VADDPS(t[0], y[0], y[0])
		VADDPS(t[2], y[0], y[0])
		for c, pair := range [][2]*winogradConstant{{near, far}, {near2, far2}, {near3, far3}} {
			to := y[c+1]
			if c < 2 {
				VMOVAPS(zs[16], to)
			} else {
				VADDPS(zs[16], y[5], to)
			}
			VFMADD231PS(k[pair[0]], t[1-c%2], to)
			VFMADD231PS(k[pair[1]], t[3-c%2], to)
		}
	}
}

// winogradAdd and winogradStore add what column c of the output holds, and write it.
func winogradAdd(c int, out, below reg.Register) {
	VADDPS(Mem{Base: below, Disp: 64 * c}, zs[8+c], zs[8+c])
	VADDPS(Mem{Base: out, Disp: 64 * c}, zs[c], zs[c])
}

func winogradStore(c int, out, below reg.Register) {
	VMOVUPS(zs[8+c], Mem{Base: below, Disp: 64 * c})
	VMOVUPS(zs[c], Mem{Base: out, Disp: 64 * c})
}

// winogradOutputGrad is winogradOutput the other way round: the 2x4 pixels of each cell
// become points. K1 is empty where there is no lower row.
func winogradOutputGrad() {
	const name = "winogradOutputGradAVX512"
	text(name, "winogradOutputArgs")
	a := arguments("winogradOutputArgs", reg.R15)
	k := loadConstants(near, far, near2, far2, near3, far3)
	p := newPoints(a)
	out, below, n := a.load("out", reg.R8), a.load("row", reg.R9), a.load("px", reg.RCX)
	KXORW(reg.K1, reg.K1, reg.K1)
	TESTQ(below, below)
	JE(LabelRef(name + "_rows"))
	KXNORW(reg.K1, reg.K1, reg.K1)
	Label(name + "_rows")
	ADDQ(out, below)
	read := func(c int) {
		VMOVUPS(Mem{Base: out, Disp: 64 * c}, zs[c])
		VMOVUPS_Z(Mem{Base: below, Disp: 64 * c}, reg.K1, zs[12+c])
	}
	SHRQ(Imm(2), n)
	JE(LabelRef(name + "_last"))
	Label(name + "_cell")
	for c := range 4 {
		read(c)
	}
	winogradPixelsGrad(p, k)
	p.advance(Imm(64))
	ADDQ(U32(256), out)
	ADDQ(U32(256), below)
	DECQ(n)
	JNE(LabelRef(name + "_cell"))
	Label(name + "_last")
	a.load("px", n)
	ANDQ(Imm(3), n)
	JE(LabelRef(name + "_done"))
	zero(zs[0:4])
	zero(zs[12:16])
	for c := range 3 {
		read(c)
		if c < 2 {
			DECQ(n)
			JE(LabelRef(name + "_write"))
		}
	}
	Label(name + "_write")
	winogradPixelsGrad(p, k)
	Label(name + "_done")
	VZEROUPPER()
	RET()
}

// winogradPixelsGrad writes the points of the pixels zs[0:4] above zs[12:16].
func winogradPixelsGrad(p points, k map[*winogradConstant]reg.VecPhysical) {
	t, u := zs[16], zs[17]
	for c := range 4 {
		VADDPS(zs[12+c], zs[c], zs[4+c])
		VSUBPS(zs[12+c], zs[c], zs[8+c])
	}
	for r := range 4 {
		y := zs[4*r : 4*r+4]
		VMOVUPS(y[0], p.at(r, 0))
		VMOVUPS(y[3], p.at(r, 5))
		for i, pair := range [][3]*winogradConstant{{near, near2, near3}, {far, far2, far3}} {
			VMOVAPS(y[0], t)
			VFMADD231PS(k[pair[1]], y[2], t)
			VMULPS(k[pair[0]], y[1], u)
			VFMADD231PS(k[pair[2]], y[3], u)
			VADDPS(u, t, zs[18])
			VSUBPS(u, t, zs[19])
			VMOVUPS(zs[18], p.at(r, 1+2*i))
			VMOVUPS(zs[19], p.at(r, 2+2*i))
		}
	}
}

// winogradWeightGrad is winogradWeight the other way round: from sums of products to
// the gradient of 3x3 weights, one channel after another. Points of the last row come
// with the sign that winogradOutputGrad leaves out.
func winogradWeightGrad() {
	const name = "winogradWeightGradAVX512"
	text(name, "winogradWeightArgs")
	a := arguments("winogradWeightArgs", reg.R15)
	k := loadConstants(near2, nearG, nearG1, nearG2, farG, farG1)
	p := newPoints(a)
	weights, row, n := a.load("weights", reg.R8), a.load("row", reg.R9), a.load("n", reg.RCX)
	step, next := a.load("step", reg.R10), a.load("next", reg.R11)
	t := zs[20:24]
	Label(name + "_channel")
	for j := range 6 { // column j of three rows is zs[3*j:]
		x := zs[3*j : 3*j+3]
		VMOVUPS(p.at(1, j), t[0])
		VMOVUPS(p.at(2, j), t[1])
		VADDPS(t[1], t[0], x[2])
		VSUBPS(t[1], t[0], x[1])
		VMULPS(k[near2], x[2], x[2])
		VMULPS(k[near2], x[1], x[1])
		VADDPS(p.at(0, j), x[2], x[0])
		VSUBPS(p.at(3, j), x[2], x[2])
	}
	for r := range 3 {
		s := func(j int) reg.VecPhysical { return zs[3*j+r] }
		for i := range 2 {
			VADDPS(s(2+2*i), s(1+2*i), t[2*i])
			VSUBPS(s(2+2*i), s(1+2*i), t[2*i+1])
		}
		VFMADD231PS(k[nearG], t[0], s(0))
		VFMADD231PS(k[farG], t[2], s(0))
		VMULPS(k[nearG1], t[1], s(1))
		VFMADD231PS(k[farG1], t[3], s(1))
		VFMADD231PS(k[nearG2], t[0], s(5))
		VFNMADD231PS(k[nearG2], t[2], s(5))
		for kw, x := range []reg.VecPhysical{s(0), s(1), s(5)} {
			m := Mem{Base: weights, Disp: 64 * kw}
			if r > 0 {
				m.Index, m.Scale = row, uint8(r)
			}
			VMOVUPS(x, m)
		}
	}
	ADDQ(step, weights)
	p.advance(next)
	DECQ(n)
	JNE(LabelRef(name + "_channel"))
	VZEROUPPER()
	RET()
}
