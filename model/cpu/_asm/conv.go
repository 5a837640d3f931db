package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// maxPixels times vectors of output channels is how many sums a tile has.
const maxPixels = 24

// convKind is how a kernel walks along W.
type convKind struct {
	name   string
	taps   int
	stride int
}

var kinds = []convKind{{"Wide1", 3, 1}, {"Wide2", 3, 2}, {"Point", 1, 1}}

// factors is what a kernel multiplies: a word of its name, the bytes of an input
// pixel, and the instruction that adds products x*w to sums.
type factors struct {
	word        string
	pixel       int
	multiplyAdd func(x, w, sum reg.VecPhysical)
	broadcast   func(x Mem, w, sum reg.VecPhysical) // of one x in all lanes
}

var floats = factors{
	"", 64,
	func(x, w, sum reg.VecPhysical) { VFMADD231PS(x, w, sum) },
	func(x Mem, w, sum reg.VecPhysical) { VFMADD231PS_BCST(x, w, sum) },
}

func convName(f factors, k convKind, ov, px int) string {
	return fmt.Sprintf("conv%s%sV%dP%d", f.word, k.name, ov, px)
}

func convolutions(f factors) {
	for _, k := range kinds {
		for ov := 1; ov <= 2; ov++ {
			for px := 1; px <= maxPixels/ov; px++ {
				tile{f, k, ov, px}.write()
			}
		}
	}
}

// tile is one micro-kernel: ov vectors of output channels by px pixels, all sums in
// registers. Each input value is broadcast once and meets up to three taps of up to
// two vectors, so that loads stay well below the two a cycle that FMA leaves.
type tile struct {
	factors
	convKind
	ov, px int
}

func (t tile) sum(v, p int) reg.VecPhysical    { return zs[v*t.px+p] }
func (t tile) weight(v, k int) reg.VecPhysical { return zs[t.ov*t.px+v*t.taps+k] }

// spare returns register i of those that sums and weights leave, in turn.
func (t tile) spare(i int) reg.VecPhysical {
	first := t.ov * (t.px + t.taps)
	return zs[first+i%(len(zs)-first)]
}

func (t tile) write() {
	name := convName(t.factors, t.convKind, t.ov, t.px)
	text(name, "convArgs")
	a := arguments("convArgs", reg.R15)
	in, w, list, n := a.load("in", reg.RSI), a.load("w", reg.RDI), a.load("list", reg.RBX), a.load("n", reg.RCX)
	wNext, wStep := reg.R9, a.load("wStep", reg.R10)
	if t.ov == 2 {
		a.load("wNext", wNext)
	}
	t.begin(a, name)
	Label(name + "_row")
	ip, wp, channels := reg.RAX, reg.RDX, reg.R12
	nextEntry(list, in, w, ip, wp, channels)
	Label(name + "_channel")
	t.multiply(ip, wp, wNext)
	ADDQ(Imm(4), ip)
	ADDQ(wStep, wp)
	DECQ(channels)
	JNE(LabelRef(name + "_channel"))
	DECQ(n)
	JNE(LabelRef(name + "_row"))
	t.pixels(a, func(v, p int, m Mem) { VMOVUPS(t.sum(v, p), m) })
	VZEROUPPER()
	RET()
}

// nextEntry reads where the next row of a convolution's sum and its weights lie, and
// how many channels it has.
func nextEntry(list, in, w, ip, wp, channels reg.Register) {
	MOVQ(Mem{Base: list}, ip)
	MOVQ(Mem{Base: list, Disp: 8}, wp)
	MOVQ(Mem{Base: list, Disp: 16}, channels)
	ADDQ(Imm(24), list)
	ADDQ(in, ip)
	ADDQ(w, wp)
}

// begin starts sums from the bias or from what the output holds.
func (t tile) begin(a frame, name string) {
	CMPQ(a.at("add"), Imm(0))
	JNE(LabelRef(name + "_add"))
	bias := a.load("bias", reg.R11)
	for v := range t.ov {
		VMOVUPS(Mem{Base: bias, Disp: 64 * v}, t.sum(v, 0))
		for p := 1; p < t.px; p++ {
			VMOVAPS(t.sum(v, 0), t.sum(v, p))
		}
	}
	JMP(LabelRef(name + "_row"))
	Label(name + "_add")
	t.pixels(a, func(v, p int, m Mem) { VMOVUPS(m, t.sum(v, p)) })
}

// pixels calls f with the place of every output pixel.
func (t tile) pixels(a frame, f func(v, p int, m Mem)) {
	out, next, step := a.load("out", reg.R8), reg.R13, reg.R14
	if t.ov == 2 {
		a.load("outNext", next)
	}
	if t.taps == 1 {
		a.load("outStep", step)
	}
	for p := range t.px {
		m := Mem{Base: out, Disp: 64 * p}
		if t.taps == 1 {
			m.Disp = 0
		}
		f(0, p, m)
		if t.ov == 2 {
			m.Index, m.Scale = next, 1
			f(1, p, m)
		}
		if t.taps == 1 && p+1 < t.px {
			ADDQ(step, out)
		}
	}
}

// multiply adds one input channel.
func (t tile) multiply(ip, wp, wNext reg.Register) {
	for k := range t.taps {
		VMOVUPS(Mem{Base: wp, Disp: 64 * k}, t.weight(0, k))
		if t.ov == 2 {
			VMOVUPS(Mem{Base: wp, Index: wNext, Scale: 1, Disp: 64 * k}, t.weight(1, k))
		}
	}
	turn := 0
	for q := range (t.px-1)*t.stride + t.taps {
		m := Mem{Base: ip, Disp: t.pixel * q}
		if t.taps == 1 && t.ov == 1 {
			t.broadcast(m, t.weight(0, 0), t.sum(0, q))
			continue
		}
		x := t.spare(turn)
		loaded := false
		for k := range t.taps {
			p := q - k
			if p < 0 || p%t.stride != 0 || p/t.stride >= t.px {
				continue
			}
			if !loaded {
				VBROADCASTSS(m, x)
				loaded = true
				turn++
			}
			for v := range t.ov {
				t.multiplyAdd(x, t.weight(v, k), t.sum(v, p/t.stride))
			}
		}
	}
}
