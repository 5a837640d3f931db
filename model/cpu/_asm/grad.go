package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// gradients writes the kernels of the gradient by weight. Sums of channels by taps
// by ov vectors stay in registers over the whole list of row pairs.
func gradients() {
	for _, g := range gradTiles {
		g.write()
	}
}

type gradTile struct{ taps, ov, channels int }

var gradTiles = []gradTile{{3, 1, 8}, {3, 2, 4}, {1, 1, 16}, {1, 2, 8}}

func (g gradTile) name(word string) string {
	kind := map[int]string{1: "Point", 3: "Wide"}[g.taps]
	return fmt.Sprintf("grad%s%sV%dC%d", word, kind, g.ov, g.channels)
}

func (g gradTile) sum(c, k, v int) reg.VecPhysical { return zs[(c*g.taps+k)*g.ov+v] }

func (g gradTile) write() {
	name := g.name("")
	text(name, "gradArgs")
	a := arguments("gradArgs", reg.R15)
	in, dy, list, n := a.load("in", reg.RSI), a.load("dy", reg.RDI), a.load("list", reg.RBX), a.load("n", reg.RCX)
	step, next, px := a.load("inStep", reg.R8), a.load("dyNext", reg.R9), reg.R10
	g.clear()
	ip, gp := reg.RAX, reg.RDX
	Label(name + "_row")
	nextPair(a, list, in, dy, ip, gp, px)
	Label(name + "_px")
	g.multiply(ip, gp, next)
	ADDQ(step, ip)
	ADDQ(Imm(64), gp)
	DECQ(px)
	JNE(LabelRef(name + "_px"))
	DECQ(n)
	JNE(LabelRef(name + "_row"))
	g.store(a)
	VZEROUPPER()
	RET()
}

// nextPair reads where the next pair of rows lies and how many steps it takes.
func nextPair(a frame, list, in, dy, ip, gp, px reg.Register) {
	MOVQ(Mem{Base: list}, ip)
	MOVQ(Mem{Base: list, Disp: 8}, gp)
	a.load("px", px)
	ADDQ(Imm(16), list)
	ADDQ(in, ip)
	ADDQ(dy, gp)
}

// clear begins the sums.
func (g gradTile) clear() {
	for i := range g.taps * g.ov * g.channels {
		VPXORD(zs[i], zs[i], zs[i])
	}
}

func (g gradTile) multiply(ip, gp, next reg.Register) {
	sums := g.taps * g.ov * g.channels
	y := []reg.VecPhysical{zs[sums], zs[sums+1]}
	VMOVUPS(Mem{Base: gp}, y[0])
	if g.ov == 2 {
		VMOVUPS(Mem{Base: gp, Index: next, Scale: 1}, y[1])
	}
	turn := 0
	for k := range g.taps {
		for c := range g.channels {
			m := Mem{Base: ip, Disp: 64*k + 4*c}
			if g.ov == 1 {
				VFMADD231PS_BCST(m, y[0], g.sum(c, k, 0))
				continue
			}
			x := zs[sums+2+turn%(len(zs)-sums-2)]
			turn++
			VBROADCASTSS(m, x)
			VFMADD231PS(x, y[0], g.sum(c, k, 0))
			VFMADD231PS(x, y[1], g.sum(c, k, 1))
		}
	}
}

// store adds the sums to dw.
func (g gradTile) store(a frame) {
	dw, next, step := a.load("dw", reg.RSI), a.load("dwNext", reg.RDI), a.load("dwStep", reg.RBX)
	for c := range g.channels {
		for k := range g.taps {
			m := Mem{Base: dw, Disp: 64 * k}
			for v := range g.ov {
				if v == 1 {
					m.Index, m.Scale = next, 1
				}
				VADDPS(m, g.sum(c, k, v), g.sum(c, k, v))
				VMOVUPS(g.sum(c, k, v), m)
			}
		}
		if c+1 < g.channels {
			ADDQ(step, dw)
		}
	}
}
