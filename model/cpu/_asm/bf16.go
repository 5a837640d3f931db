package main

import (
	"strings"

	"github.com/mmcloughlin/avo/attr"
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// halves are pairs of bfloat16, summed in float32: 4 bytes stand for two channels.
var halves = factors{"Half", 32, vdpbf16ps, vdpbf16psBroadcast}

func bf16() {
	pack("packHalf", halfPacking)
	interleave := interleaving()
	pixelPairs(interleave)
	halve(interleave)
	convolutions(halves)
	halfGradients()
}

func bf16Tables(b *strings.Builder) { convTable(b, "convHalf", tileNames(halves)) }

// vdpbf16ps adds the products of 16 pairs to 16 sums.
func vdpbf16ps(x, w, sum reg.VecPhysical) { evex(2, 0x52, sum, w, x) }

func vdpbf16psBroadcast(x Mem, w, sum reg.VecPhysical) { evexBroadcast(2, 0x52, sum, w, x) }

// vcvtne2ps2bf16 rounds low and high to the two halves of dst.
func vcvtne2ps2bf16(low, high, dst reg.VecPhysical) { evex(3, 0x72, dst, high, low) }

var halfPacking = packing{
	5,
	func(zero reg.VecPhysical, m Mem) { VMOVUPS(zero.AsY(), m) },
	func(x []reg.VecPhysical, dst reg.Register) {
		if len(x) == 1 {
			vcvtne2ps2bf16(x[0], x[0], x[0])
			VMOVUPS(x[0].AsY(), Mem{Base: dst})
			return
		}
		for i := 0; i < len(x); i += 2 {
			vcvtne2ps2bf16(x[i], x[i+1], x[i])
			VMOVUPS(x[i], Mem{Base: dst, Disp: 32 * i})
		}
	},
}

// interleaving is an index of VPERMW: element i of the lower half, then of the upper.
func interleaving() Mem {
	m := GLOBL("interleave", attr.RODATA|attr.NOPTR)
	for i := range 16 {
		DATA(4*i, U32(i|(16+i)<<16))
	}
	return m
}

// pair rounds two vectors and stores them as 16 pairs.
func pair(first, second, index, scratch reg.VecPhysical, m Mem) {
	vcvtne2ps2bf16(first, second, scratch)
	VPERMW(scratch, index, scratch)
	VMOVUPS(scratch, m)
}

// pixelPairs writes rows as a view sees them, two neighbouring pixels in a vector:
// (0, 1), (2, 3), ... at dst and, with pad, (-1, 0), (1, 2), ... at dst+pad. What
// lies outside the row is zero.
func pixelPairs(interleave Mem) {
	const name = "pairsHalf"
	text(name, "packArgs")
	a := arguments("packArgs", reg.R15)
	rows, dstRow, srcRow := a.load("rows", reg.R8), a.load("dst", reg.R9), a.load("src", reg.R10)
	step, pad := a.load("srcStep", reg.RDX), a.load("pad", reg.RBX)
	v, index := loadView(a), zs[20]
	VMOVUPS(interleave, index)
	Label(name + "_row")
	dst, src, n := reg.RDI, reg.RSI, reg.RCX
	MOVQ(dstRow, dst)
	MOVQ(srcRow, src)
	a.load("px", n)
	TESTQ(pad, pad)
	JNE(LabelRef(name + "_both"))
	pairLoop{name, v, index, dst, src, n, step, nil}.write()
	JMP(LabelRef(name + "_next"))
	Label(name + "_both")
	pairLoop{name + "_both", v, index, dst, src, n, step, pad}.write()
	Label(name + "_next")
	nextRow(a, name, dstRow, srcRow, rows)
}

// pairLoop writes one row of pairs; pad is nil where they are wanted at dst only.
type pairLoop struct {
	name         string
	view         view
	index        reg.VecPhysical
	dst, src     reg.Register
	n, step, pad reg.Register
}

func (p pairLoop) write() {
	x, y, last, scratch, zero := zs[0], zs[1], zs[2], zs[3], p.view.zero
	shifted := Mem{Base: p.dst, Index: p.pad, Scale: 1}
	VMOVAPS(zero, last)
	Label(p.name + "_two")
	CMPQ(p.n, Imm(2))
	JLT(LabelRef(p.name + "_rest"))
	p.view.load(Mem{Base: p.src}, x)
	p.view.load(Mem{Base: p.src, Index: p.step, Scale: 1}, y)
	pair(x, y, p.index, scratch, Mem{Base: p.dst})
	if p.pad != nil {
		pair(last, x, p.index, scratch, shifted)
		VMOVAPS(y, last)
	}
	LEAQ(Mem{Base: p.src, Index: p.step, Scale: 2}, p.src)
	ADDQ(Imm(64), p.dst)
	SUBQ(Imm(2), p.n)
	JMP(LabelRef(p.name + "_two"))
	Label(p.name + "_rest")
	TESTQ(p.n, p.n)
	JE(LabelRef(p.name + "_even"))
	p.view.load(Mem{Base: p.src}, x)
	pair(x, zero, p.index, scratch, Mem{Base: p.dst})
	if p.pad == nil {
		Label(p.name + "_even")
		return
	}
	pair(last, x, p.index, scratch, shifted)
	shifted.Disp = 64
	VMOVUPS(zero, shifted)
	JMP(LabelRef(p.name + "_done"))
	Label(p.name + "_even")
	shifted.Disp = 0
	VMOVUPS(zero, Mem{Base: p.dst})
	pair(last, zero, p.index, scratch, shifted)
	Label(p.name + "_done")
}

// halve rounds rows of n vectors, two rows to one of pairs.
func halve(interleave Mem) {
	const name = "halveHalf"
	text(name, "halveArgs")
	a := arguments("halveArgs", reg.R15)
	dst, even, odd := a.load("dst", reg.RDI), a.load("even", reg.RSI), a.load("odd", reg.RDX)
	n, rows, step := a.load("n", reg.R8), a.load("rows", reg.RBX), a.load("step", reg.R9)
	index, at, count := zs[20], reg.RAX, reg.RCX
	VMOVUPS(interleave, index)
	Label(name + "_row")
	XORQ(at, at)
	MOVQ(n, count)
	Label(name + "_vector")
	VMOVUPS(Mem{Base: even, Index: at, Scale: 1}, zs[0])
	VMOVUPS(Mem{Base: odd, Index: at, Scale: 1}, zs[1])
	pair(zs[0], zs[1], index, zs[2], Mem{Base: dst})
	ADDQ(Imm(64), at)
	ADDQ(Imm(64), dst)
	DECQ(count)
	JNE(LabelRef(name + "_vector"))
	ADDQ(step, even)
	ADDQ(step, odd)
	DECQ(rows)
	JNE(LabelRef(name + "_row"))
	VZEROUPPER()
	RET()
}

// halfGradients writes the kernels of the gradient by weight over pairs of pixels.
func halfGradients() {
	for _, g := range gradTiles {
		halfGradTile{g}.write()
	}
}

// halfGradTile is a gradTile whose taps lie at distances that its arguments say.
type halfGradTile struct{ gradTile }

func (g halfGradTile) write() {
	name := g.name("Half")
	text(name, "gradArgs")
	a := arguments("gradArgs", reg.R15)
	in, dy, list, n := a.load("in", reg.RSI), a.load("dy", reg.RDI), a.load("list", reg.RBX), a.load("n", reg.RCX)
	next, px := a.load("dyNext", reg.R9), reg.R10
	tap1, tap2 := a.load("tap1", reg.R11), a.load("tap2", reg.R12)
	g.clear()
	ip, gp := reg.RAX, reg.RDX
	at := []Mem{{Base: ip}, {Base: ip, Index: tap1, Scale: 1}, {Base: ip, Index: tap2, Scale: 1}}
	Label(name + "_row")
	nextPair(a, list, in, dy, ip, gp, px)
	Label(name + "_px")
	g.multiply(at, gp, next)
	ADDQ(Imm(64), ip)
	ADDQ(Imm(64), gp)
	DECQ(px)
	JNE(LabelRef(name + "_px"))
	DECQ(n)
	JNE(LabelRef(name + "_row"))
	g.store(a)
	VZEROUPPER()
	RET()
}

func (g halfGradTile) multiply(at []Mem, gp, next reg.Register) {
	sums := g.taps * g.ov * g.channels
	y, spare := zs[sums:sums+g.ov], zs[sums+g.ov:]
	VMOVUPS(Mem{Base: gp}, y[0])
	if g.ov == 2 {
		VMOVUPS(Mem{Base: gp, Index: next, Scale: 1}, y[1])
	}
	turn := 0
	for k := range g.taps {
		for c := range g.channels {
			m, x := at[k], spare[turn%len(spare)]
			m.Disp = 4 * c
			if g.ov == 1 {
				vdpbf16psBroadcast(m, y[0], g.sum(c, k, 0))
				continue
			}
			turn++
			VBROADCASTSS(m, x)
			for v := range g.ov {
				vdpbf16ps(x, y[v], g.sum(c, k, v))
			}
		}
	}
}
