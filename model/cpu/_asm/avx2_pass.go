package main

import (
	"fmt"

	"github.com/mmcloughlin/avo/attr"
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// Passes for AVX2. What passes.go masks is blended here, and constants that 16
// registers cannot hold are operands in memory.

func ymmPasses() {
	ymmPack()
	ymmTranspose()
	ymmSum()
	ymmNormSums()
	ymmNormApply()
}

// ymmPack is pack.
func ymmPack() {
	const name = "packAVX2"
	text(name, "packArgs")
	a := arguments("packArgs", reg.R15)
	dst, src, rows, n := reg.RDI, reg.RSI, reg.R8, reg.RCX
	a.load("rows", rows)
	dstRow, srcRow, step := a.load("dst", reg.R9), a.load("src", reg.R10), a.load("srcStep", reg.RDX)
	scale, shift, slope, zero := ys[8:10], ys[10:12], ys[12], ys[13]
	a.load("scale", reg.RAX)
	a.load("shift", reg.RBX)
	for h := range 2 {
		VMOVUPS(Mem{Base: reg.RAX, Disp: 32 * h}, scale[h])
		VMOVUPS(Mem{Base: reg.RBX, Disp: 32 * h}, shift[h])
	}
	VBROADCASTSS(a.at("slope"), slope)
	VXORPS(zero, zero, zero)
	Label(name + "_row")
	MOVQ(dstRow, dst)
	MOVQ(srcRow, src)
	a.load("px", n)
	CMPQ(a.at("pad"), Imm(0))
	JE(LabelRef(name + "_inner"))
	MOVQ(n, reg.RAX)
	SHLQ(Imm(6), reg.RAX)
	for h := range 2 {
		VMOVUPS(zero, Mem{Base: dst, Disp: -64 + 32*h})
		VMOVUPS(zero, Mem{Base: dst, Index: reg.RAX, Scale: 1, Disp: 32 * h})
	}
	Label(name + "_inner")
	pixels(name, n, 2, func(width int) {
		for i := range width {
			for h := range 2 {
				x, t := ys[2*i+h], ys[4+2*i+h]
				VMOVUPS(Mem{Base: src, Disp: 32 * h}, x)
				VFMADD213PS(shift[h], scale[h], x)
				VMULPS(slope, x, t)
				VBLENDVPS(x, t, x, x) // t where x is negative
				VMOVUPS(x, Mem{Base: dst, Disp: 64*i + 32*h})
			}
			ADDQ(step, src)
		}
		ADDQ(U32(uint32(64*width)), dst)
	})
	nextRow(a, name, dstRow, srcRow, rows)
}

// ymmTranspose is transpose, 8 pixels at a time: 8 rows become the first half of
// each pixel, 8 the second.
func ymmTranspose() {
	const name = "transposeAVX2"
	masks := GLOBL("transposeMasks", attr.RODATA|attr.NOPTR)
	for i := range 16 {
		DATA(4*i, U32(0xffffffff*uint32((15-i)/8)))
	}
	text(name, "transposeArgs")
	a := arguments("transposeArgs", reg.R15)
	src, dst, n, step := a.load("src", reg.RSI), a.load("dst", reg.RDI), a.load("n", reg.RCX), a.load("dstStep", reg.RDX)
	row, count, mask, to := reg.RAX, reg.RBX, ys[15], reg.R10
	LEAQ(masks, reg.R8)
	Label(name + "_block")
	MOVQ(U32(8), count)
	CMPQ(n, count)
	CMOVQLT(n, count)
	MOVQ(count, reg.R9)
	NEGQ(reg.R9)
	VMOVUPS(Mem{Base: reg.R8, Index: reg.R9, Scale: 4, Disp: 32}, mask)
	for h := range 2 {
		for r := range 8 {
			next := fmt.Sprintf("%s_row%d", name, 8*h+r)
			VXORPS(ys[r], ys[r], ys[r])
			MOVQ(Mem{Base: reg.R15, Disp: offset("transposeArgs", "rows") + 8*(8*h+r)}, row)
			TESTQ(row, row)
			JS(LabelRef(next))
			VMASKMOVPS(Mem{Base: src, Index: row, Scale: 1}, mask, ys[r])
			Label(next)
		}
		swap8()
		MOVQ(dst, to)
		stored := fmt.Sprintf("%s_stored%d", name, h)
		for p := range 8 {
			VMOVUPS(ys[p], Mem{Base: to, Disp: 32 * h})
			ADDQ(step, to)
			if p < 7 {
				CMPQ(count, Imm(uint64(p+1)))
				JE(LabelRef(stored))
			}
		}
		Label(stored)
	}
	MOVQ(to, dst)
	ADDQ(Imm(32), src)
	SUBQ(count, n)
	JNE(LabelRef(name + "_block"))
	VZEROUPPER()
	RET()
}

// swap8 transposes the 8x8 values of ys[0:8] in place, with ys[8:15] as scratch.
func swap8() {
	r, t := ys[:8], ys[8:15]
	quarter := func(r []reg.VecPhysical, t []reg.VecPhysical) {
		VUNPCKLPS(r[1], r[0], t[0])
		VUNPCKHPS(r[1], r[0], t[1])
		VUNPCKLPS(r[3], r[2], t[2])
		VUNPCKHPS(r[3], r[2], t[3])
		VUNPCKLPD(t[2], t[0], r[0])
		VUNPCKHPD(t[2], t[0], r[1])
		VUNPCKLPD(t[3], t[1], r[2])
		VUNPCKHPD(t[3], t[1], r[3])
	}
	quarter(r[:4], t)
	quarter(r[4:], t)
	// r[4g+j] now has, for rows 4g to 4g+3, pixels j and 4+j in its halves.
	for j := range 4 {
		VPERM2F128(Imm(0x20), r[4+j], r[j], t[j])
		VPERM2F128(Imm(0x31), r[4+j], r[j], r[4+j])
		VMOVAPS(t[j], r[j])
	}
}

// ymmSum is sum, with two sums of each kind and half.
func ymmSum() {
	const name = "sumAVX2"
	text(name, "sumArgs")
	a := arguments("sumArgs", reg.R15)
	src, n := a.load("src", reg.RSI), a.load("n", reg.RCX)
	shift, x := ys[8:10], ys[10]
	a.load("shift", reg.RAX)
	for h := range 2 {
		VMOVUPS(Mem{Base: reg.RAX, Disp: 32 * h}, shift[h])
	}
	clearSums()
	pixels(name, n, 2, func(width int) {
		for i := range width {
			for h := range 2 {
				VMOVUPS(Mem{Base: src, Disp: 64*i + 32*h}, x)
				VSUBPS(shift[h], x, x)
				VADDPS(x, ys[2*h+i], ys[2*h+i])
				VFMADD231PS(x, x, ys[4+2*h+i])
			}
		}
		ADDQ(U32(uint32(64*width)), src)
	})
	ymmStoreSums(a)
}

func clearSums() {
	for _, s := range ys[:8] {
		VXORPS(s, s, s)
	}
}

// ymmStoreSums joins ys[0:8], two sums of each kind and half, and writes them.
func ymmStoreSums(a frame) {
	for i := range 4 {
		VADDPS(ys[2*i+1], ys[2*i], ys[2*i])
		VMOVUPS(ys[2*i], a.at("sums").Offset(32*i))
	}
	VZEROUPPER()
	RET()
}

// ymmNormGradient loads half h of a pixel of x and dy, turns dy into g and x into
// x-mean.
func ymmNormGradient(a frame, x, g, z, t reg.VecPhysical, h int, xm, dym Mem) {
	slope, zero := ys[14], ys[15]
	VMOVUPS(xm.Offset(32*h), x)
	VMOVUPS(dym.Offset(32*h), g)
	VMOVUPS(a.at("scale").Offset(32*h), z)
	VFMADD213PS(a.at("shift").Offset(32*h), x, z)
	VCMPPS(Imm(lessEqual), zero, z, z)
	VMULPS(slope, g, t)
	VBLENDVPS(z, t, g, g)
	VSUBPS(a.at("mean").Offset(32*h), x, x)
}

func ymmNormConstants(a frame) {
	VBROADCASTSS(a.at("slope"), ys[14])
	VXORPS(ys[15], ys[15], ys[15])
}

func ymmNormSums() {
	const name = "normSumsAVX2"
	text(name, "normGradArgs")
	a := arguments("normGradArgs", reg.R15)
	xp, dyp, n := a.load("x", reg.RSI), a.load("dy", reg.RDI), a.load("n", reg.RCX)
	x, g, z, t := ys[8], ys[9], ys[10], ys[11]
	ymmNormConstants(a)
	clearSums()
	pixels(name, n, 2, func(width int) {
		for i := range width {
			for h := range 2 {
				ymmNormGradient(a, x, g, z, t, h, Mem{Base: xp, Disp: 64 * i}, Mem{Base: dyp, Disp: 64 * i})
				VADDPS(g, ys[2*h+i], ys[2*h+i])
				VFMADD231PS(x, g, ys[4+2*h+i])
			}
		}
		ADDQ(U32(uint32(64*width)), xp)
		ADDQ(U32(uint32(64*width)), dyp)
	})
	ymmStoreSums(a)
}

func ymmNormApply() {
	const name = "normApplyAVX2"
	text(name, "normGradArgs")
	a := arguments("normGradArgs", reg.R15)
	xp, dyp, dxp, n := a.load("x", reg.RSI), a.load("dy", reg.RDI), a.load("dx", reg.RDX), a.load("n", reg.RCX)
	x, g, z, t := ys[8], ys[9], ys[10], ys[11]
	ymmNormConstants(a)
	pixels(name, n, 2, func(width int) {
		for i := range width {
			for h := range 2 {
				ymmNormGradient(a, x, g, z, t, h, Mem{Base: xp, Disp: 64 * i}, Mem{Base: dyp, Disp: 64 * i})
				VMOVUPS(a.at("b").Offset(32*h), z)
				VFMADD213PS(a.at("c").Offset(32*h), x, z) // (x-mean)*b + c
				VFMADD231PS(a.at("a").Offset(32*h), g, z) // + g*a
				VMOVUPS(z, Mem{Base: dxp, Disp: 64*i + 32*h})
			}
		}
		for _, p := range []reg.Register{xp, dyp, dxp} {
			ADDQ(U32(uint32(64*width)), p)
		}
	})
	VZEROUPPER()
	RET()
}
