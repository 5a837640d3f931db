package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

func updates() {
	sgd()
	adamw()
	squares()
	add()
}

// constants broadcasts the first count of k.
func constants(a frame, count int) []reg.VecPhysical {
	m := a.at("k")
	for i := range count {
		VBROADCASTSS(m, zs[16+i])
		m.Disp += 4
	}
	return zs[16:]
}

// sgd: g = grad*k0 + k3*w; v = k2*v + g; w -= k1*(g + k2*v).
func sgd() {
	const name = "sgdAVX512"
	text(name, "updateArgs")
	a := arguments("updateArgs", reg.R15)
	w, grad, v, n := a.load("w", reg.RDI), a.load("grad", reg.RSI), a.load("s1", reg.RDX), a.load("n", reg.RCX)
	k := constants(a, 4)
	SHRQ(Imm(4), n)
	Label(name + "_loop")
	VMOVUPS(Mem{Base: w}, zs[0])
	VMULPS(Mem{Base: grad}, k[0], zs[1])
	VFMADD231PS(k[3], zs[0], zs[1])
	VMOVAPS(zs[1], zs[2])
	VFMADD231PS(Mem{Base: v}, k[2], zs[2])
	VMOVUPS(zs[2], Mem{Base: v})
	VFMADD231PS(k[2], zs[2], zs[1])
	VFNMADD231PS(k[1], zs[1], zs[0])
	VMOVUPS(zs[0], Mem{Base: w})
	for _, p := range []reg.Register{w, grad, v} {
		ADDQ(Imm(64), p)
	}
	DECQ(n)
	JNE(LabelRef(name + "_loop"))
	VZEROUPPER()
	RET()
}

// adamw: g = grad*k0; m += k2*(g-m) with k2 = 1-beta1; v = k3*v + k7*g*g with k3 =
// beta2 and k7 = 1-beta2; w = k1*w - k4*m/(sqrt(v)*k5 + k6).
func adamw() {
	const name = "adamwAVX512"
	text(name, "updateArgs")
	a := arguments("updateArgs", reg.R15)
	w, grad, n := a.load("w", reg.RDI), a.load("grad", reg.RSI), a.load("n", reg.RCX)
	first, second := a.load("s1", reg.RDX), a.load("s2", reg.RBX)
	k := constants(a, 8)
	SHRQ(Imm(4), n)
	Label(name + "_loop")
	VMULPS(Mem{Base: grad}, k[0], zs[0])
	VMOVUPS(Mem{Base: first}, zs[1])
	VSUBPS(zs[1], zs[0], zs[2])
	VFMADD231PS(k[2], zs[2], zs[1])
	VMOVUPS(zs[1], Mem{Base: first})
	VMULPS(zs[0], zs[0], zs[0])
	VMULPS(k[7], zs[0], zs[0])
	VFMADD231PS(Mem{Base: second}, k[3], zs[0])
	VMOVUPS(zs[0], Mem{Base: second})
	VSQRTPS(zs[0], zs[0])
	VFMADD213PS(k[6], k[5], zs[0])
	VMULPS(k[4], zs[1], zs[1])
	VDIVPS(zs[0], zs[1], zs[1])
	VFMSUB231PS(Mem{Base: w}, k[1], zs[1]) // k1*w - zs1
	VMOVUPS(zs[1], Mem{Base: w})
	for _, p := range []reg.Register{w, grad, first, second} {
		ADDQ(Imm(64), p)
	}
	DECQ(n)
	JNE(LabelRef(name + "_loop"))
	VZEROUPPER()
	RET()
}

// squares adds squares in float64; n is a multiple of 16.
func squares() {
	const name = "squaresAVX512"
	text(name, "squareArgs")
	a := arguments("squareArgs", reg.R15)
	x, n := a.load("x", reg.RSI), a.load("n", reg.RCX)
	for i := range 2 {
		VPXORD(zs[i], zs[i], zs[i])
	}
	SHRQ(Imm(4), n)
	Label(name + "_loop")
	VCVTPS2PD(Mem{Base: x}, zs[2])
	VCVTPS2PD(Mem{Base: x, Disp: 32}, zs[3])
	VFMADD231PD(zs[2], zs[2], zs[0])
	VFMADD231PD(zs[3], zs[3], zs[1])
	ADDQ(Imm(64), x)
	DECQ(n)
	JNE(LabelRef(name + "_loop"))
	VADDPD(zs[1], zs[0], zs[0])
	VEXTRACTF64X4(Imm(1), zs[0], reg.Y1)
	VADDPD(reg.Y1, reg.Y0, reg.Y0)
	VEXTRACTF128(Imm(1), reg.Y0, reg.X1)
	VADDPD(reg.X1, reg.X0, reg.X0)
	VHADDPD(reg.X0, reg.X0, reg.X0)
	VMOVSD(reg.X0, a.at("sum"))
	VZEROUPPER()
	RET()
}

// add: dst = a + b; n is a multiple of 16.
func add() {
	const name = "addAVX512"
	text(name, "addArgs")
	a := arguments("addArgs", reg.R15)
	dst, x, y, n := a.load("dst", reg.RDI), a.load("a", reg.RSI), a.load("b", reg.RDX), a.load("n", reg.RCX)
	SHRQ(Imm(4), n)
	pixels(name, n, 4, func(width int) {
		for i := range width {
			VMOVUPS(Mem{Base: x, Disp: 64 * i}, zs[i])
			VADDPS(Mem{Base: y, Disp: 64 * i}, zs[i], zs[i])
			VMOVUPS(zs[i], Mem{Base: dst, Disp: 64 * i})
		}
		for _, p := range []reg.Register{dst, x, y} {
			ADDQ(U32(uint32(64*width)), p)
		}
	})
	VZEROUPPER()
	RET()
}
