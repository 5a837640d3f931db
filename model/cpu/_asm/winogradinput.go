package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// winogradInput transforms the 6x6 pixels under each cell of a row of them. Two columns
// go from one cell to the next, transformed along H, in memory; the last cell has up to
// three columns of its own.
func winogradInput() {
	const name = "winogradInputAVX512"
	text(name, "winogradInputArgs")
	a := arguments("winogradInputArgs", reg.R15)
	in := newPixelRows(a, name)
	base, p := rowsOf(a)
	n := a.load("px", reg.RCX)
	in.first(a)
	DECQ(n)
	SHRQ(Imm(2), n)
	JE(LabelRef(name + "_last"))
	Label(name + "_cell")
	in.view(a)
	var columns [4][6]reg.VecPhysical
	for c := range columns {
		columns[c] = in.column(c+1, in.vectors(c))
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
	in.cell(base, p, in.lastColumns(a, name, n), false)
	VZEROUPPER()
	RET()
}

// pixelRows are six rows of pixels and how they are seen; masks are empty where a row
// is one of zeros. Four columns of six pixels take zs[0:24].
type pixelRows struct {
	rows                [6]reg.Register
	masks               [6]reg.OpmaskPhysical
	k                   map[*winogradConstant]reg.VecPhysical
	scale, slope, spare reg.VecPhysical
	kept                Mem // two columns of six vectors
}

func newPixelRows(a frame, name string) *pixelRows {
	p := &pixelRows{
		rows:  [6]reg.Register{reg.R8, reg.R9, reg.R10, reg.R11, reg.RSI, reg.RBX},
		masks: [6]reg.OpmaskPhysical{reg.K1, reg.K2, reg.K3, reg.K4, reg.K5, reg.K6},
		k:     loadConstants(near, far, near2, far2, between),
		scale: zs[24], slope: zs[25], kept: Mem{Base: a.load("kept", reg.RAX)},
	}
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
	return p
}

func (p *pixelRows) vectors(column int) [6]reg.VecPhysical {
	return [6]reg.VecPhysical(zs[6*column : 6*column+6])
}

func (p *pixelRows) keep(r, column int) Mem {
	m := p.kept
	m.Disp = 64 * (2*r + column)
	return m
}

// first keeps a column of zeros and the first of pixels.
func (p *pixelRows) first(a frame) {
	zero(zs[:1])
	for r := range 6 {
		VMOVUPS(zs[0], p.keep(r, 0))
	}
	p.view(a)
	for r, x := range p.column(0, p.vectors(0)) {
		VMOVUPS(x, p.keep(r, 1))
	}
}

// lastColumns reads the n columns that are left, and zeros.
func (p *pixelRows) lastColumns(a frame, name string, n reg.Register) (columns [4][6]reg.VecPhysical) {
	p.view(a)
	for c := range 3 {
		there := fmt.Sprintf("%s_column%d", name, c)
		CMPQ(n, Imm(uint64(c+1)))
		JGE(LabelRef(there))
		for _, mask := range p.masks {
			KXORW(mask, mask, mask)
		}
		Label(there)
		columns[c] = p.column(c+1, p.vectors(c))
	}
	columns[3] = p.vectors(3)
	zero(columns[3][:])
	return columns
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
