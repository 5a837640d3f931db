package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// Comparisons of VCMPPS.
const (
	less      = 1
	lessEqual = 2
)

func passes() {
	pack("packAVX512", floatPacking)
	transpose()
	sum()
	normSums()
	normApply()
}

// pixels writes a loop over n that handles width at a time, then one at a time. n
// is used up.
func pixels(name string, n reg.Register, width int, body func(width int)) {
	Label(name + "_many")
	CMPQ(n, Imm(uint64(width)))
	JLT(LabelRef(name + "_rest"))
	body(width)
	SUBQ(Imm(uint64(width)), n)
	JMP(LabelRef(name + "_many"))
	Label(name + "_rest")
	TESTQ(n, n)
	JE(LabelRef(name + "_done"))
	Label(name + "_one")
	body(1)
	DECQ(n)
	JNE(LabelRef(name + "_one"))
	Label(name + "_done")
}

// view is the affine map and slope of a program.View, and a zero.
type view struct{ scale, shift, slope, zero reg.VecPhysical }

func loadView(a frame) view {
	v := view{zs[16], zs[17], zs[18], zs[19]}
	VMOVUPS(Mem{Base: a.load("scale", reg.RAX)}, v.scale)
	VMOVUPS(Mem{Base: a.load("shift", reg.RAX)}, v.shift)
	VBROADCASTSS(a.at("slope"), v.slope)
	VPXORD(v.zero, v.zero, v.zero)
	return v
}

// load puts a pixel as the view sees it into x.
func (v view) load(pixel Mem, x reg.VecPhysical) {
	VMOVUPS(pixel, x)
	VFMADD213PS(v.shift, v.scale, x)
	VCMPPS(Imm(less), v.zero, x, reg.K1)
	VMULPS(v.slope, x, reg.K1, x)
}

// packing is how packed pixels are stored: 1<<shift bytes each, a zero, and one or
// four pixels.
type packing struct {
	shift int
	zero  func(zero reg.VecPhysical, m Mem)
	store func(x []reg.VecPhysical, dst reg.Register)
}

var floatPacking = packing{
	6,
	func(zero reg.VecPhysical, m Mem) { VMOVUPS(zero, m) },
	func(x []reg.VecPhysical, dst reg.Register) {
		for i := range x {
			VMOVUPS(x[i], Mem{Base: dst, Disp: 64 * i})
		}
	},
}

// pack writes rows as a view sees them, with zero pixels around them where asked.
func pack(name string, p packing) {
	text(name, "packArgs")
	a := arguments("packArgs", reg.R15)
	dst, src, rows, n := reg.RDI, reg.RSI, reg.R8, reg.RCX
	a.load("rows", rows)
	dstRow, srcRow, step := a.load("dst", reg.R9), a.load("src", reg.R10), a.load("srcStep", reg.RDX)
	step2 := reg.RBX
	LEAQ(Mem{Base: step, Index: step, Scale: 2}, step2) // 3 steps
	v := loadView(a)
	Label(name + "_row")
	MOVQ(dstRow, dst)
	MOVQ(srcRow, src)
	a.load("px", n)
	CMPQ(a.at("pad"), Imm(0))
	JE(LabelRef(name + "_inner"))
	p.zero(v.zero, Mem{Base: dst, Disp: -1 << p.shift})
	MOVQ(n, reg.RAX)
	SHLQ(Imm(uint64(p.shift)), reg.RAX)
	p.zero(v.zero, Mem{Base: dst, Index: reg.RAX, Scale: 1})
	Label(name + "_inner")
	pixels(name, n, 4, func(width int) {
		at := []Mem{{Base: src}, {Base: src, Index: step, Scale: 1}, {Base: src, Index: step, Scale: 2}, {Base: src, Index: step2, Scale: 1}}
		for i := range width {
			v.load(at[i], zs[i])
		}
		p.store(zs[:width], dst)
		if width == 1 {
			ADDQ(step, src)
		} else {
			LEAQ(Mem{Base: src, Index: step, Scale: 4}, src)
		}
		ADDQ(U32(uint32(width<<p.shift)), dst)
	})
	nextRow(a, name, dstRow, srcRow, rows)
}

// nextRow goes on with the next row to pack, or ends the kernel.
func nextRow(a frame, name string, dstRow, srcRow, rows reg.Register) {
	ADDQ(a.at("dstRow"), dstRow)
	ADDQ(a.at("srcRow"), srcRow)
	DECQ(rows)
	JNE(LabelRef(name + "_row"))
	VZEROUPPER()
	RET()
}

// transpose turns 16 rows into pixels of 16 lanes, 16 pixels at a time.
func transpose() {
	const name = "transposeAVX512"
	text(name, "transposeArgs")
	a := arguments("transposeArgs", reg.R15)
	src, dst, n, step := a.load("src", reg.RSI), a.load("dst", reg.RDI), a.load("n", reg.RCX), a.load("dstStep", reg.RDX)
	rows, count := reg.RAX, reg.RBX
	Label(name + "_block")
	MOVQ(U32(0xffff), reg.R8)
	CMPQ(n, Imm(16))
	JGE(LabelRef(name + "_load"))
	MOVQ(U32(1), reg.R8) // mask of the n pixels that are left
	MOVQ(n, reg.R9)
	// CX is n, the shift count.
	SHLQ(reg.CL, reg.R8)
	DECQ(reg.R8)
	Label(name + "_load")
	KMOVW(reg.R8L, reg.K1)
	for r := range 16 {
		next := fmt.Sprintf("%s_row%d", name, r)
		VPXORD(zs[r], zs[r], zs[r])
		MOVQ(Mem{Base: reg.R15, Disp: offset("transposeArgs", "rows") + 8*r}, rows)
		TESTQ(rows, rows)
		JS(LabelRef(next))
		VMOVUPS_Z(Mem{Base: src, Index: rows, Scale: 1}, reg.K1, zs[r])
		Label(next)
	}
	swap16()
	MOVQ(n, count)
	for p := range 16 {
		VMOVUPS(zs[p], Mem{Base: dst})
		ADDQ(step, dst)
		if p < 15 {
			CMPQ(count, Imm(uint64(p+1)))
			JE(LabelRef(name + "_done"))
		}
	}
	ADDQ(Imm(64), src)
	SUBQ(Imm(16), n)
	JNE(LabelRef(name + "_block"))
	Label(name + "_done")
	VZEROUPPER()
	RET()
}

// swap16 transposes the 16x16 values of zs[0:16] in place, with the rest as scratch.
func swap16() {
	r, t := zs[:16], zs[16:]
	for i := 0; i < 16; i += 2 {
		VUNPCKLPS(r[i+1], r[i], t[i])
		VUNPCKHPS(r[i+1], r[i], t[i+1])
	}
	for i := 0; i < 16; i += 4 {
		VUNPCKLPD(t[i+2], t[i], r[i])
		VUNPCKHPD(t[i+2], t[i], r[i+1])
		VUNPCKLPD(t[i+3], t[i+1], r[i+2])
		VUNPCKHPD(t[i+3], t[i+1], r[i+3])
	}
	// r[4g+j] now has, for rows 4g to 4g+3, pixels j, 4+j, 8+j, 12+j in its quarters.
	for j := range 4 {
		VSHUFF32X4(Imm(0x88), r[4+j], r[j], t[j])
		VSHUFF32X4(Imm(0xdd), r[4+j], r[j], t[4+j])
		VSHUFF32X4(Imm(0x88), r[12+j], r[8+j], t[8+j])
		VSHUFF32X4(Imm(0xdd), r[12+j], r[8+j], t[12+j])
	}
	for j := range 4 {
		VSHUFF32X4(Imm(0x88), t[8+j], t[j], r[j])
		VSHUFF32X4(Imm(0xdd), t[8+j], t[j], r[8+j])
		VSHUFF32X4(Imm(0x88), t[12+j], t[4+j], r[4+j])
		VSHUFF32X4(Imm(0xdd), t[12+j], t[4+j], r[12+j])
	}
}

// sum adds deviations and their squares, in four sums each that are joined at the end.
func sum() {
	const name = "sumAVX512"
	text(name, "sumArgs")
	a := arguments("sumArgs", reg.R15)
	src, n, shift := a.load("src", reg.RSI), a.load("n", reg.RCX), zs[16]
	VMOVUPS(Mem{Base: a.load("shift", reg.RAX)}, shift)
	for i := range 8 {
		VPXORD(zs[i], zs[i], zs[i])
	}
	pixels(name, n, 4, func(width int) {
		for i := range width {
			x := zs[8+i]
			VMOVUPS(Mem{Base: src, Disp: 64 * i}, x)
			VSUBPS(shift, x, x)
			VADDPS(x, zs[i], zs[i])
			VFMADD231PS(x, x, zs[4+i])
		}
		ADDQ(U32(uint32(64*width)), src)
	})
	storeSums(a, 4)
}

// storeSums joins width sums of each of two kinds and writes both.
func storeSums(a frame, width int) {
	sums := a.at("sums")
	for k := range 2 {
		s := zs[k*width:][:width]
		for m := width; m > 1; m /= 2 {
			for i := range m / 2 {
				VADDPS(s[i+m/2], s[i], s[i])
			}
		}
		sums.Disp += 64 * k
		VMOVUPS(s[0], sums)
	}
	VZEROUPPER()
	RET()
}

// normVectors are the constants of both passes of the norm's gradient.
func normVectors(a frame, list ...string) (v map[string]reg.VecPhysical) {
	v = map[string]reg.VecPhysical{}
	for i, name := range list {
		v[name] = zs[16+i]
		VMOVUPS(a.at(name), v[name])
	}
	v["slope"], v["zero"] = zs[30], zs[31]
	VBROADCASTSS(a.at("slope"), v["slope"])
	VPXORD(zs[31], zs[31], zs[31])
	return v
}

// normGradient loads x and dy and turns dy into g; z is scratch.
func normGradient(v map[string]reg.VecPhysical, x, g, z reg.VecPhysical, xm, dym Mem) {
	VMOVUPS(xm, x)
	VMOVUPS(dym, g)
	VMOVAPS(x, z)
	VFMADD213PS(v["shift"], v["scale"], z)
	VCMPPS(Imm(lessEqual), v["zero"], z, reg.K1)
	VMULPS(v["slope"], g, reg.K1, g)
	VSUBPS(v["mean"], x, x)
}

func normSums() {
	const name = "normSumsAVX512"
	text(name, "normGradArgs")
	a := arguments("normGradArgs", reg.R15)
	x, dy, n := a.load("x", reg.RSI), a.load("dy", reg.RDI), a.load("n", reg.RCX)
	v := normVectors(a, "scale", "shift", "mean")
	for i := range 4 {
		VPXORD(zs[i], zs[i], zs[i])
	}
	pixels(name, n, 2, func(width int) {
		for i := range width {
			at := 64 * i
			normGradient(v, zs[4+i], zs[6+i], zs[8+i], Mem{Base: x, Disp: at}, Mem{Base: dy, Disp: at})
			VADDPS(zs[6+i], zs[i], zs[i])
			VFMADD231PS(zs[4+i], zs[6+i], zs[2+i])
		}
		ADDQ(U32(uint32(64*width)), x)
		ADDQ(U32(uint32(64*width)), dy)
	})
	storeSums(a, 2)
}

func normApply() {
	const name = "normApplyAVX512"
	text(name, "normGradArgs")
	a := arguments("normGradArgs", reg.R15)
	x, dy, dx, n := a.load("x", reg.RSI), a.load("dy", reg.RDI), a.load("dx", reg.RDX), a.load("n", reg.RCX)
	v := normVectors(a, "scale", "shift", "mean", "a", "b", "c")
	pixels(name, n, 2, func(width int) {
		for i := range width {
			at := 64 * i
			normGradient(v, zs[4+i], zs[6+i], zs[8+i], Mem{Base: x, Disp: at}, Mem{Base: dy, Disp: at})
			VFMADD213PS(v["c"], v["b"], zs[4+i])  // (x-mean)*b + c
			VFMADD231PS(v["a"], zs[6+i], zs[4+i]) // + g*a
			VMOVUPS(zs[4+i], Mem{Base: dx, Disp: at})
		}
		for _, p := range []reg.Register{x, dy, dx} {
			ADDQ(U32(uint32(64*width)), p)
		}
	})
	VZEROUPPER()
	RET()
}
