package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

func ymmGradients() {
	for _, g := range []ymmGrad{{3, 2, 2}, {1, 2, 4}, {1, 1, 8}} {
		g.write(g.row)
	}
	g := ymmGrad{3, 1, 4}
	g.write(g.slide)
}

// ymmGrad is the kernel of the gradient by weight for one or both halves of a block.
type ymmGrad struct{ taps, halves, channels int }

func (g ymmGrad) name() string {
	kind := map[int]string{1: "Point", 3: "Wide"}[g.taps]
	return fmt.Sprintf("grad%sH%dC%d", kind, g.halves, g.channels)
}

func (g ymmGrad) sums() []reg.VecPhysical { return ys[:g.channels*g.taps*g.halves] }

func (g ymmGrad) sum(c, k, h int) reg.VecPhysical { return ys[(c*g.taps+k)*g.halves+h] }

// free returns the registers that sums leave.
func (g ymmGrad) free() []reg.VecPhysical { return ys[len(g.sums()):] }

// write writes a kernel whose code for a pair of rows is row.
func (g ymmGrad) write(row func(name string, ip, gp, px, step reg.Register)) {
	name := g.name()
	text(name, "gradArgs")
	a := arguments("gradArgs", reg.R15)
	in, dy, list, n := a.load("in", reg.RSI), a.load("dy", reg.RDI), a.load("list", reg.RBX), a.load("n", reg.RCX)
	step, px := a.load("inStep", reg.R8), reg.R10
	for _, y := range g.sums() {
		VXORPS(y, y, y)
	}
	ip, gp := reg.RAX, reg.RDX
	Label(name + "_row")
	nextPair(a, list, in, dy, ip, gp, px)
	row(name, ip, gp, px, step)
	DECQ(n)
	JNE(LabelRef(name + "_row"))
	g.store(a)
	VZEROUPPER()
	RET()
}

// row takes the pixels of the gradient one by one.
func (g ymmGrad) row(name string, ip, gp, px, step reg.Register) {
	y, x := g.free()[:g.halves], g.free()[g.halves:]
	Label(name + "_px")
	for h := range g.halves {
		VMOVUPS(Mem{Base: gp, Disp: 32 * h}, y[h])
	}
	turn := 0
	for k := range g.taps {
		for c := range g.channels {
			VBROADCASTSS(Mem{Base: ip, Disp: 64*k + 4*c}, x[turn%len(x)])
			for h := range g.halves {
				VFMADD231PS(x[turn%len(x)], y[h], g.sum(c, k, h))
			}
			turn++
		}
	}
	ADDQ(step, ip)
	ADDQ(Imm(64), gp)
	DECQ(px)
	JNE(LabelRef(name + "_px"))
}

// slide takes the pixels of the input one by one, so that a broadcast serves all
// taps: the gradient's three pixels slide through registers. The zero pixels at
// both ends of an input row are left out. Input pixels lie next to each other.
func (g ymmGrad) slide(name string, ip, gp, px, _ reg.Register) {
	y, x := g.free()[:3], g.free()[3] // y[k] is the gradient's pixel that meets tap k
	multiply := func() {
		for c := range g.channels {
			VBROADCASTSS(Mem{Base: ip, Disp: 64 + 4*c}, x)
			for k := range 3 {
				VFMADD231PS(x, y[k], g.sum(c, k, 0))
			}
		}
	}
	VXORPS(y[2], y[2], y[2])
	VMOVUPS(Mem{Base: gp}, y[1])
	DECQ(px)
	JE(LabelRef(name + "_last"))
	Label(name + "_px")
	VMOVUPS(Mem{Base: gp, Disp: 64}, y[0])
	multiply()
	VMOVAPS(y[1], y[2])
	VMOVAPS(y[0], y[1])
	ADDQ(Imm(64), ip)
	ADDQ(Imm(64), gp)
	DECQ(px)
	JNE(LabelRef(name + "_px"))
	Label(name + "_last")
	VXORPS(y[0], y[0], y[0])
	multiply()
}

// store adds the sums to dw.
func (g ymmGrad) store(a frame) {
	dw, step := a.load("dw", reg.RSI), a.load("dwStep", reg.RBX)
	for c := range g.channels {
		for k := range g.taps {
			for h := range g.halves {
				m := Mem{Base: dw, Disp: 64*k + 32*h}
				VADDPS(m, g.sum(c, k, h), g.sum(c, k, h))
				VMOVUPS(g.sum(c, k, h), m)
			}
		}
		if c+1 < g.channels {
			ADDQ(step, dw)
		}
	}
}
