package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

var ys = []reg.VecPhysical{
	reg.Y0, reg.Y1, reg.Y2, reg.Y3, reg.Y4, reg.Y5, reg.Y6, reg.Y7,
	reg.Y8, reg.Y9, reg.Y10, reg.Y11, reg.Y12, reg.Y13, reg.Y14, reg.Y15,
}

// ymmSums is how many sums a tile has.
const ymmSums = 12

// ymmTile is one micro-kernel: one or both halves of a block of output channels by
// px pixels, all sums in registers. Where weights of all taps fit beside the sums,
// an input value is broadcast once for all taps that it meets; else once for each,
// which is 2 loads for 3 FMAs where a core can do as many of both.
type ymmTile struct {
	convKind
	halves, px int
}

// ymmTiles lists the tiles of a kind by pixels.
func ymmTiles(k convKind, halves int) (list []ymmTile) {
	for px := 1; px <= ymmSums/halves; px++ {
		list = append(list, ymmTile{k, halves, px})
	}
	return list
}

func (t ymmTile) name() string {
	return fmt.Sprintf("conv%sH%dP%d", t.convKind.name, t.halves, t.px)
}

func (t ymmTile) sum(h, p int) reg.VecPhysical { return ys[h*t.px+p] }

// together reports whether the weights of all taps fit.
func (t ymmTile) together() bool { return t.halves*(t.px+t.taps) < len(ys) }

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
	return ys[first+i%(len(ys)-first)]
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
	nextEntry(list, in, w, ip, wp, channels)
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
