package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// vectors are the registers that passes over parameters use.
type vectors struct {
	regs   []reg.VecPhysical
	bytes  int
	suffix string
}

// updates writes the passes over parameters, which are a multiple of 16 floats.
func (v vectors) updates() {
	v.sgd()
	v.adamw()
	v.squares()
	v.add()
}

// loop writes a loop over n floats, a multiple of 16, that takes a vector at a time.
func (v vectors) loop(name string, n reg.Register, body func(), pointers ...reg.Register) {
	SHLQ(Imm(2), n)
	Label(name + "_loop")
	body()
	for _, p := range pointers {
		ADDQ(Imm(uint64(v.bytes)), p)
	}
	SUBQ(Imm(uint64(v.bytes)), n)
	JNE(LabelRef(name + "_loop"))
}

// constants broadcasts the first count of k.
func (v vectors) constants(a frame, count int) []reg.VecPhysical {
	k := v.regs[len(v.regs)/2:]
	m := a.at("k")
	for i := range count {
		VBROADCASTSS(m, k[i])
		m.Disp += 4
	}
	return k
}

// sgd: g = grad*k0 + k3*w; v = k2*v + g; w -= k1*(g + k2*v).
func (v vectors) sgd() {
	name, r := "sgd"+v.suffix, v.regs
	text(name, "updateArgs")
	a := arguments("updateArgs", reg.R15)
	w, grad, first, n := a.load("w", reg.RDI), a.load("grad", reg.RSI), a.load("s1", reg.RDX), a.load("n", reg.RCX)
	k := v.constants(a, 4)
	v.loop(name, n, func() {
		VMOVUPS(Mem{Base: w}, r[0])
		VMULPS(Mem{Base: grad}, k[0], r[1])
		VFMADD231PS(k[3], r[0], r[1])
		VMOVAPS(r[1], r[2])
		VFMADD231PS(Mem{Base: first}, k[2], r[2])
		VMOVUPS(r[2], Mem{Base: first})
		VFMADD231PS(k[2], r[2], r[1])
		VFNMADD231PS(k[1], r[1], r[0])
		VMOVUPS(r[0], Mem{Base: w})
	}, w, grad, first)
	VZEROUPPER()
	RET()
}

// adamw: g = grad*k0; m += k2*(g-m) with k2 = 1-beta1; v = k3*v + k7*g*g with k3 =
// beta2 and k7 = 1-beta2; w = k1*w - k4*m/(sqrt(v)*k5 + k6).
func (v vectors) adamw() {
	name, r := "adamw"+v.suffix, v.regs
	text(name, "updateArgs")
	a := arguments("updateArgs", reg.R15)
	w, grad, n := a.load("w", reg.RDI), a.load("grad", reg.RSI), a.load("n", reg.RCX)
	first, second := a.load("s1", reg.RDX), a.load("s2", reg.RBX)
	k := v.constants(a, 8)
	v.loop(name, n, func() {
		VMULPS(Mem{Base: grad}, k[0], r[0])
		VMOVUPS(Mem{Base: first}, r[1])
		VSUBPS(r[1], r[0], r[2])
		VFMADD231PS(k[2], r[2], r[1])
		VMOVUPS(r[1], Mem{Base: first})
		VMULPS(r[0], r[0], r[0])
		VMULPS(k[7], r[0], r[0])
		VFMADD231PS(Mem{Base: second}, k[3], r[0])
		VMOVUPS(r[0], Mem{Base: second})
		VSQRTPS(r[0], r[0])
		VFMADD213PS(k[6], k[5], r[0])
		VMULPS(k[4], r[1], r[1])
		VDIVPS(r[0], r[1], r[1])
		VFMSUB231PS(Mem{Base: w}, k[1], r[1]) // k1*w - r1
		VMOVUPS(r[1], Mem{Base: w})
	}, w, grad, first, second)
	VZEROUPPER()
	RET()
}

// squares adds squares in float64.
func (v vectors) squares() {
	name, r := "squares"+v.suffix, v.regs
	text(name, "squareArgs")
	a := arguments("squareArgs", reg.R15)
	x, n := a.load("x", reg.RSI), a.load("n", reg.RCX)
	for i := range 2 {
		VXORPS(r[i], r[i], r[i])
	}
	v.loop(name, n, func() {
		VCVTPS2PD(Mem{Base: x}, r[2])
		VCVTPS2PD(Mem{Base: x, Disp: v.bytes / 2}, r[3])
		VFMADD231PD(r[2], r[2], r[0])
		VFMADD231PD(r[3], r[3], r[1])
	}, x)
	VADDPD(r[1], r[0], r[0])
	if v.bytes == 64 {
		VEXTRACTF64X4(Imm(1), r[0], reg.Y1)
		VADDPD(reg.Y1, reg.Y0, reg.Y0)
	}
	VEXTRACTF128(Imm(1), reg.Y0, reg.X1)
	VADDPD(reg.X1, reg.X0, reg.X0)
	VHADDPD(reg.X0, reg.X0, reg.X0)
	VMOVSD(reg.X0, a.at("sum"))
	VZEROUPPER()
	RET()
}

// add: dst = a + b.
func (v vectors) add() {
	name, r := "add"+v.suffix, v.regs
	text(name, "addArgs")
	a := arguments("addArgs", reg.R15)
	dst, x, y, n := a.load("dst", reg.RDI), a.load("a", reg.RSI), a.load("b", reg.RDX), a.load("n", reg.RCX)
	SHRQ(Imm(4), n)
	pixels(name, n, 4, func(width int) {
		for at := 0; at < 64*width; at += v.bytes {
			x0 := r[at/v.bytes]
			VMOVUPS(Mem{Base: x, Disp: at}, x0)
			VADDPS(Mem{Base: y, Disp: at}, x0, x0)
			VMOVUPS(x0, Mem{Base: dst, Disp: at})
		}
		for _, p := range []reg.Register{dst, x, y} {
			ADDQ(U32(uint32(64*width)), p)
		}
	})
	VZEROUPPER()
	RET()
}
