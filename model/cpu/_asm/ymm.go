package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// Kernels whose vectors are 32 bytes, half a block: all of AVX2, which has 16
// registers, and what AVX-512, which has 32, uses for at most 8 output channels.

var ys = []reg.VecPhysical{
	reg.Y0, reg.Y1, reg.Y2, reg.Y3, reg.Y4, reg.Y5, reg.Y6, reg.Y7,
	reg.Y8, reg.Y9, reg.Y10, reg.Y11, reg.Y12, reg.Y13, reg.Y14, reg.Y15,
	reg.Y16, reg.Y17, reg.Y18, reg.Y19, reg.Y20, reg.Y21, reg.Y22, reg.Y23,
	reg.Y24, reg.Y25, reg.Y26, reg.Y27, reg.Y28, reg.Y29, reg.Y30, reg.Y31,
}

// ymmTile is one micro-kernel: one or both halves of a block of output channels by
// px pixels, all sums in registers. Where weights of all taps fit beside the sums,
// an input value is broadcast once for all taps that it meets; else once for each,
// which is 2 loads for 3 FMAs where a core can do as many of both.
type ymmTile struct {
	convKind
	halves, px int
	registers  int
	suffix     string
}

// ymmPixels is how many pixels leave room for weights and a broadcast.
func ymmPixels(halves, registers int) int { return registers * 3 / 4 / halves }

func (t ymmTile) name() string {
	return fmt.Sprintf("conv%sH%dP%d%s", t.convKind.name, t.halves, t.px, t.suffix)
}

func (t ymmTile) sum(h, p int) reg.VecPhysical { return ys[h*t.px+p] }

// together reports whether the weights of all taps fit.
func (t ymmTile) together() bool { return t.halves*(t.px+t.taps) < t.registers }

// weight returns the register of half h of tap k.
func (t ymmTile) weight(h, k int) reg.VecPhysical {
	if !t.together() {
		k = 0
	}
	return ys[t.halves*(t.px+k)+h]
}

// input returns register i of those that sums and weights leave, in turn.
func (t ymmTile) input(i int) reg.VecPhysical {
	first := t.halves * (t.px + 1)
	if t.together() {
		first = t.halves * (t.px + t.taps)
	}
	return ys[first+i%(t.registers-first)]
}

func (t ymmTile) write() {
	name := t.name()
	text(name, "convArgs")
	a := arguments("convArgs", reg.R15)
	in, w, list, n := a.load("in", reg.RSI), a.load("w", reg.RDI), a.load("list", reg.RBX), a.load("n", reg.RCX)
	wStep := a.load("wStep", reg.R10)
	t.begin(a, name)
	Label(name + "_row")
	ip, wp, channels := reg.RAX, reg.RDX, reg.R12
	MOVQ(Mem{Base: list}, ip)
	MOVQ(Mem{Base: list, Disp: 8}, wp)
	MOVQ(Mem{Base: list, Disp: 16}, channels)
	ADDQ(Imm(24), list)
	ADDQ(in, ip)
	ADDQ(w, wp)
	Label(name + "_channel")
	if t.together() {
		t.multiplyTogether(ip, wp)
	} else {
		t.multiply(ip, wp)
	}
	ADDQ(Imm(4), ip)
	ADDQ(wStep, wp)
	DECQ(channels)
	JNE(LabelRef(name + "_channel"))
	DECQ(n)
	JNE(LabelRef(name + "_row"))
	t.end(a)
	VZEROUPPER()
	RET()
}

// begin starts sums from the bias or from what the output holds.
func (t ymmTile) begin(a frame, name string) {
	CMPQ(a.at("add"), Imm(0))
	JNE(LabelRef(name + "_add"))
	bias := a.load("bias", reg.R11)
	for h := range t.halves {
		VMOVUPS(Mem{Base: bias, Disp: 32 * h}, t.sum(h, 0))
		for p := 1; p < t.px; p++ {
			VMOVAPS(t.sum(h, 0), t.sum(h, p))
		}
	}
	JMP(LabelRef(name + "_row"))
	Label(name + "_add")
	t.pixels(a, func(p int, m Mem) {
		for h := range t.halves {
			VMOVUPS(m.Offset(32*h), t.sum(h, p))
		}
	})
}

// end writes the sums, and zeros into a half that has none.
func (t ymmTile) end(a frame) {
	zero := t.weight(0, 0)
	if t.halves == 1 {
		VXORPS(zero, zero, zero)
	}
	t.pixels(a, func(p int, m Mem) {
		VMOVUPS(t.sum(0, p), m)
		if t.halves == 1 {
			VMOVUPS(zero, m.Offset(32))
		} else {
			VMOVUPS(t.sum(1, p), m.Offset(32))
		}
	})
}

// pixels calls f with the place of every output pixel.
func (t ymmTile) pixels(a frame, f func(p int, m Mem)) {
	out, step := a.load("out", reg.R8), reg.R14
	if t.taps > 1 {
		for p := range t.px {
			f(p, Mem{Base: out, Disp: 64 * p})
		}
		return
	}
	a.load("outStep", step)
	for p := range t.px {
		f(p, Mem{Base: out})
		if p+1 < t.px {
			ADDQ(step, out)
		}
	}
}

// multiply adds one input channel, tap by tap.
func (t ymmTile) multiply(ip, wp reg.Register) {
	for k := range t.taps {
		t.loadWeights(wp, k)
		for p := range t.px {
			x := t.input(p)
			VBROADCASTSS(Mem{Base: ip, Disp: 64 * (p*t.stride + k)}, x)
			t.addTo(p, k, x)
		}
	}
}

// multiplyTogether adds one input channel, input pixel by input pixel.
func (t ymmTile) multiplyTogether(ip, wp reg.Register) {
	for k := range t.taps {
		t.loadWeights(wp, k)
	}
	turn := 0
	for q := range (t.px-1)*t.stride + t.taps {
		loaded := false
		for k := range t.taps {
			p := q - k
			if p < 0 || p%t.stride != 0 || p/t.stride >= t.px {
				continue
			}
			if !loaded {
				VBROADCASTSS(Mem{Base: ip, Disp: 64 * q}, t.input(turn))
			}
			loaded = true
			t.addTo(p/t.stride, k, t.input(turn))
		}
		if loaded {
			turn++
		}
	}
}

func (t ymmTile) loadWeights(wp reg.Register, k int) {
	for h := range t.halves {
		VMOVUPS(Mem{Base: wp, Disp: 64*k + 32*h}, t.weight(h, k))
	}
}

func (t ymmTile) addTo(p, k int, x reg.VecPhysical) {
	for h := range t.halves {
		VFMADD231PS(x, t.weight(h, k), t.sum(h, p))
	}
}

// ymmGrad is the kernel of the gradient by weight, as gradTile.
type ymmGrad struct {
	taps, halves, channels int
	registers              int
	suffix                 string
}

func (g ymmGrad) name() string {
	kind := map[int]string{1: "Point", 3: "Wide"}[g.taps]
	return fmt.Sprintf("grad%sH%dC%d%s", kind, g.halves, g.channels, g.suffix)
}

func (g ymmGrad) sum(c, k, h int) reg.VecPhysical { return ys[(c*g.taps+k)*g.halves+h] }

func (g ymmGrad) write() {
	name := g.name()
	text(name, "gradArgs")
	a := arguments("gradArgs", reg.R15)
	in, dy, list, n := a.load("in", reg.RSI), a.load("dy", reg.RDI), a.load("list", reg.RBX), a.load("n", reg.RCX)
	step, px := a.load("inStep", reg.R8), reg.R10
	for _, y := range ys[:g.channels*g.taps*g.halves] {
		VXORPS(y, y, y)
	}
	ip, gp := reg.RAX, reg.RDX
	Label(name + "_row")
	MOVQ(Mem{Base: list}, ip)
	MOVQ(Mem{Base: list, Disp: 8}, gp)
	a.load("px", px)
	ADDQ(Imm(16), list)
	ADDQ(in, ip)
	ADDQ(dy, gp)
	Label(name + "_px")
	g.multiply(ip, gp)
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

func (g ymmGrad) multiply(ip, gp reg.Register) {
	free := ys[g.channels*g.taps*g.halves : g.registers]
	y, x := free[:g.halves], free[g.halves:]
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
