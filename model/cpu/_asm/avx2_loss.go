package main

import (
	"fmt"
	"math"

	"github.com/mmcloughlin/avo/attr"
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// The loss for AVX2: a voxel is two vectors, or one where there are at most 8
// classes. Constants, running sums and what waits for its logarithm lie in memory.

// ymmLoss are the constants of Cephes' expf and of logarithms, 8 times each.
type ymmLoss struct {
	lowest, log2e, ln2hi, ln2lo, one Mem
	poly, log                        []Mem // from the highest power down
	bias, mantissa, ln2              Mem
	lane                             [2]Mem // 0 to 7, 8 to 15
	halves                           int
}

func repeated(name string, bits uint32) Mem {
	m := GLOBL("avx2"+name, attr.RODATA|attr.NOPTR)
	for i := range 8 {
		DATA(4*i, U32(bits))
	}
	return m
}

func repeatedFloat(name string, v float64) Mem {
	return repeated(name, math.Float32bits(float32(v)))
}

func newYmmLoss() (c ymmLoss) {
	c.lowest = repeatedFloat("Lowest", -87) // so that 2^n is a normal number
	c.log2e, c.ln2 = repeatedFloat("Log2e", math.Log2E), repeatedFloat("Ln2", math.Ln2)
	c.ln2hi, c.ln2lo = repeatedFloat("Ln2Hi", ln2Hi), repeatedFloat("Ln2Lo", ln2Lo)
	c.one, c.bias = repeatedFloat("One", 1), repeatedFloat("Bias", 127)
	c.mantissa = repeated("Mantissa", 1<<23-1)
	for i, v := range expPoly {
		c.poly = append(c.poly, repeatedFloat(fmt.Sprintf("P%d", i), v))
	}
	for k := logDegree; k >= 1; k -= 2 {
		c.log = append(c.log, repeatedFloat(fmt.Sprintf("Log%d", k), 2/float64(k)))
	}
	lanes := GLOBL("avx2Lanes", attr.RODATA|attr.NOPTR)
	for i := range 16 {
		DATA(4*i, U32(uint32(i)))
	}
	c.lane = [2]Mem{lanes, lanes.Offset(32)}
	return c
}

// Registers of a voxel.
var (
	yLogit   = ys[0:2]
	yTop     = ys[2] // largest logit, in all lanes
	yProb    = ys[3:5]
	yTotal   = ys[5]    // sum of exponentials, in all lanes
	yWeight  = ys[6]    // of the voxel's class, in all lanes
	yScratch = ys[7:10] // of one half
	yEmpty   = ys[10:12]
	yHit     = ys[12:14] // all ones in the lane of the voxel's class
	ySpare   = ys[14:16]
)

// ymmVoxels are the pointers of a loop over voxels.
type ymmVoxels struct{ logits, labels, counts, weights, n, top, label reg.GPPhysical }

// begin loads pointers, and into yEmpty all ones for lanes without a class.
func (c ymmLoss) begin(a frame) ymmVoxels {
	v := ymmVoxels{reg.RSI, reg.RDI, reg.RBX, reg.RDX, reg.RCX, reg.R8, reg.RAX}
	a.load("logits", v.logits)
	a.load("labels", v.labels)
	a.load("counts", v.counts)
	a.load("weight", v.weights)
	a.load("n", v.n)
	a.load("top", v.top)
	for h := range c.halves {
		VMOVUPS(Mem{Base: v.top, Disp: 32 * h}, yEmpty[h])
		VPSRAD(Imm(31), yEmpty[h], yEmpty[h])
	}
	return v
}

// class reads a label and leaves to skip where it counts nowhere.
func (c ymmLoss) class(v ymmVoxels, skip string) {
	MOVBLZX(Mem{Base: v.labels}, v.label.As32())
	CMPL(Mem{Base: v.counts, Index: v.label, Scale: 4}, Imm(0))
	JE(LabelRef(skip))
	VBROADCASTSS(Mem{Base: v.weights, Index: v.label, Scale: 4}, yWeight)
	VMOVD(v.label.As32(), yScratch[0].AsX())
	VPBROADCASTD(yScratch[0].AsX(), yScratch[0])
	for h := range c.halves {
		VPCMPEQD(c.lane[h], yScratch[0], yHit[h])
	}
}

// across combines all lanes of all halves in every lane of x; t is scratch.
func (c ymmLoss) across(halves []reg.VecPhysical, x, t reg.VecPhysical, combine func(a, b, to reg.VecPhysical)) {
	if c.halves == 1 {
		VMOVAPS(halves[0], x)
	} else {
		combine(halves[1], halves[0], x)
	}
	VPERM2F128(Imm(1), x, x, t)
	combine(t, x, x)
	VPERMILPS(Imm(0x4e), x, t)
	combine(t, x, x)
	VPERMILPS(Imm(0xb1), x, t)
	combine(t, x, x)
}

// softmax turns the logits of a voxel into probabilities.
func (c ymmLoss) softmax(v ymmVoxels) {
	for h := range c.halves {
		VMOVUPS(Mem{Base: v.logits, Disp: 32 * h}, yLogit[h])
		VADDPS(Mem{Base: v.top, Disp: 32 * h}, yLogit[h], yLogit[h])
	}
	c.across(yLogit, yTop, yScratch[0], maximum)
	for h := range c.halves {
		VSUBPS(yTop, yLogit[h], yProb[h])
		c.exp(yProb[h])
		VANDNPS(yProb[h], yEmpty[h], yProb[h])
	}
	c.across(yProb, yTotal, yScratch[0], plus)
	for h := range c.halves {
		VDIVPS(yTotal, yProb[h], yProb[h])
	}
}

// exp is e^x for x <= 0; below -87 it stays e^-87.
func (c ymmLoss) exp(x reg.VecPhysical) {
	n, p, x2 := yScratch[0], yScratch[1], yScratch[2]
	VMOVUPS(c.lowest, n)
	VMAXPS(x, n, x) // NaN stays NaN: the second operand wins
	VMULPS(c.log2e, x, n)
	VROUNDPS(Imm(8), n, n)
	VFNMADD231PS(c.ln2hi, n, x)
	VFNMADD231PS(c.ln2lo, n, x)
	VMOVUPS(c.poly[0], p)
	for _, m := range c.poly[1:] {
		VFMADD213PS(m, x, p)
	}
	VMULPS(x, x, x2)
	VADDPS(c.one, x, x)
	VFMADD231PS(x2, p, x)
	VCVTPS2DQ(n, n)
	VPSLLD(Imm(23), n, n)
	VPADDD(n, x, x)
}

// ymmWaiting is how many voxels wait for their logarithms.
const ymmWaiting = 8

// loss is loss. Sums and weights wait on the stack.
func (c ymmLoss) loss() {
	name := fmt.Sprintf("lossH%d", c.halves)
	text(name, "lossArgs")
	totals, weights := AllocLocal(32), AllocLocal(32)
	a := arguments("lossArgs", reg.R15)
	v := c.begin(a)
	sums, waiting := a.load("sums", reg.R9), reg.R10
	empty := func() {
		VMOVUPS(c.one, yScratch[0])
		VMOVUPS(yScratch[0], totals)
		VXORPS(yScratch[0], yScratch[0], yScratch[0])
		VMOVUPS(yScratch[0], weights)
		XORQ(waiting, waiting)
	}
	add := func(k, h int, x reg.VecPhysical) {
		m := Mem{Base: sums, Disp: 64*k + 32*h}
		VADDPS(m, x, x)
		VMOVUPS(x, m)
	}
	empty()
	Label(name + "_voxel")
	c.class(v, name+"_next")
	c.softmax(v)
	for h := range c.halves {
		x := ySpare[h]
		VANDPS(yProb[h], yHit[h], x)
		add(0, h, x)
		add(1, h, yProb[h])
		VANDPS(c.one, yHit[h], x)
		add(2, h, x)
		VSUBPS(yLogit[h], yTop, x)
		VMULPS(yWeight, x, x)
		VANDPS(x, yHit[h], x)
		add(3, h, x)
	}
	VMOVSS(yTotal.AsX(), totals.Idx(waiting, 4))
	VMOVSS(yWeight.AsX(), weights.Idx(waiting, 4))
	INCQ(waiting)
	CMPQ(waiting, Imm(ymmWaiting))
	JNE(LabelRef(name + "_next"))
	c.logarithms(totals, weights)
	add(3, 0, ySpare[0])
	empty()
	Label(name + "_next")
	ADDQ(Imm(64), v.logits)
	INCQ(v.labels)
	DECQ(v.n)
	JNE(LabelRef(name + "_voxel"))
	c.logarithms(totals, weights)
	add(3, 0, ySpare[0])
	VZEROUPPER()
	RET()
}

// logarithms leaves weight*log(x), x >= 1, in ySpare[0], by the series of
// lossConstants.logarithms.
func (c ymmLoss) logarithms(x, weight Mem) {
	v, e, m, t, t2, p := ys[0], ys[1], ys[2], ys[3], ys[4], ySpare[0]
	VMOVUPS(x, v)
	VPSRLD(Imm(23), v, e)
	VCVTDQ2PS(e, e)
	VSUBPS(c.bias, e, e)
	VANDPS(c.mantissa, v, m)
	VORPS(c.one, m, m)
	VSUBPS(c.one, m, t)
	VADDPS(c.one, m, m)
	VDIVPS(m, t, t)
	VMULPS(t, t, t2)
	VMOVUPS(c.log[0], p)
	for _, q := range c.log[1:] {
		VFMADD213PS(q, t2, p)
	}
	VMULPS(t, p, p)
	VFMADD231PS(c.ln2, e, p)
	VSUBPS(v, v, v) // NaN where x is NaN
	VADDPS(v, p, p)
	VMULPS(weight, p, p)
}

// lossGrad is lossGrad.
func (c ymmLoss) lossGrad() {
	name := fmt.Sprintf("lossGradH%d", c.halves)
	text(name, "lossArgs")
	a := arguments("lossArgs", reg.R15)
	v := c.begin(a)
	dlogits, slopes, inside := a.load("dlogits", reg.R9), a.load("a", reg.R10), a.load("b", reg.R11)
	mean, d, own := ySpare[0], yLogit, ys[7:9]
	Label(name + "_voxel")
	for h := range 2 {
		VXORPS(d[h], d[h], d[h])
	}
	c.class(v, name+"_store")
	c.softmax(v)
	for h := range c.halves {
		VMULPS(Mem{Base: inside, Disp: 32 * h}, yProb[h], own[h])
		VANDPS(own[h], yHit[h], own[h])
		VMOVAPS(own[h], d[h])
		VFMADD231PS(Mem{Base: slopes, Disp: 32 * h}, yProb[h], d[h])
	}
	c.across(d, mean, ySpare[1], plus)
	for h := range c.halves {
		VADDPS(Mem{Base: slopes, Disp: 32 * h}, yWeight, d[h])
		VSUBPS(mean, d[h], d[h])
		VFMADD213PS(own[h], yProb[h], d[h])
		VANDPS(yWeight, yHit[h], own[h])
		VSUBPS(own[h], d[h], d[h])
	}
	Label(name + "_store")
	for h := range 2 {
		VMOVUPS(d[h], Mem{Base: dlogits, Disp: 32 * h})
	}
	ADDQ(Imm(64), v.logits)
	ADDQ(Imm(64), dlogits)
	INCQ(v.labels)
	DECQ(v.n)
	JNE(LabelRef(name + "_voxel"))
	VZEROUPPER()
	RET()
}
