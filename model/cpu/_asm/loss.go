package main

import (
	"fmt"
	"math"

	"github.com/mmcloughlin/avo/attr"
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// The loss takes one voxel at a time: its 16 lanes are the classes. Register use:
// zs[0:10] belong to the voxel, zs[10:16] are running sums, zs[16:] constants.

func losses() {
	c := newConstants()
	loss(c)
	lossGrad(c)
}

// Cephes' expf: ln 2 in two parts, and e^x = 1 + x + x^2*p(x) from the highest power down.
const (
	ln2Hi = 0.693359375
	ln2Lo = -2.12194440e-4
)

var expPoly = []float64{1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1}

// logDegree is where the series of the logarithm ends.
const logDegree = 13

// number is a float32 constant of the data section, broadcast into a register.
type number struct {
	mem Mem
	z   reg.VecPhysical
}

// lossConstants are Cephes' expf and the bounds around it.
type lossConstants struct {
	lowest, log2e, ln2hi, ln2lo number
	poly                        [7]number // from the highest power down
	lane                        Mem
}

func constant(name string, v float64) Mem {
	return ConstData(name, U32(math.Float32bits(float32(v))))
}

func newConstants() (c lossConstants) {
	c.lowest = number{constant("lossLowest", -120), zs[16]}
	c.log2e = number{constant("lossLog2e", math.Log2E), zs[17]}
	c.ln2hi = number{constant("lossLn2Hi", ln2Hi), zs[18]}
	c.ln2lo = number{constant("lossLn2Lo", ln2Lo), zs[19]}
	names := []string{"lossP0", "lossP1", "lossP2", "lossP3", "lossP4", "lossP5", "lossP6"}
	for i, v := range append(expPoly, 1) {
		c.poly[i] = number{constant(names[i], v), zs[20+i]}
	}
	ln2 = constant("lossLn2", math.Ln2)
	for k := logDegree; k >= 1; k -= 2 {
		logTerms = append(logTerms, constant(fmt.Sprintf("lossLog%d", k), 2/float64(k)))
	}
	c.lane = GLOBL("lossLanes", attr.RODATA|attr.NOPTR)
	for i := range 16 {
		DATA(4*i, U32(uint32(i)))
	}
	return c
}

func (c lossConstants) load() {
	for _, n := range append([]number{c.lowest, c.log2e, c.ln2hi, c.ln2lo}, c.poly[:]...) {
		VBROADCASTSS(n.mem, n.z)
	}
	VMOVUPS(c.lane, lane)
}

func (c lossConstants) one() reg.VecPhysical { return c.poly[6].z }

var (
	none = zs[27] // -Inf in lanes without a class
	lane = zs[28] // 0, 1, ... 15
)

// across replaces every lane of x by the combination of all lanes; t is scratch.
func across(x, t reg.VecPhysical, combine func(a, b, to reg.VecPhysical)) {
	VSHUFF32X4(Imm(0x4e), x, x, t)
	combine(t, x, x)
	VSHUFF32X4(Imm(0xb1), x, x, t)
	combine(t, x, x)
	VPERMILPS(Imm(0x4e), x, t)
	combine(t, x, x)
	VPERMILPS(Imm(0xb1), x, t)
	combine(t, x, x)
}

func maximum(a, b, to reg.VecPhysical) { VMAXPS(a, b, to) }
func plus(a, b, to reg.VecPhysical)    { VADDPS(a, b, to) }

// Registers of a voxel.
var (
	logit  = zs[0]
	top    = zs[1] // largest logit, in all lanes
	prob   = zs[2]
	total  = zs[3] // sum of exponentials, in all lanes
	weight = zs[4] // of the voxel's class, in all lanes
	t0     = zs[5]
	t1     = zs[6]
	t2     = zs[7]
)

// softmax turns logits into probabilities; K1 has the lanes with a class.
func (c lossConstants) softmax(m Mem) {
	VMOVUPS(m, logit)
	VADDPS(none, logit, logit)
	VMOVAPS(logit, top)
	across(top, t0, maximum)
	VSUBPS(top, logit, prob)
	VMAXPS(prob, c.lowest.z, prob) // NaN stays NaN: the second operand wins
	VMULPS(c.log2e.z, prob, t0)
	VRNDSCALEPS(Imm(8), t0, t0)
	VFNMADD231PS(c.ln2hi.z, t0, prob)
	VFNMADD231PS(c.ln2lo.z, t0, prob)
	VMOVAPS(c.poly[0].z, t1)
	for _, p := range c.poly[1:6] {
		VFMADD213PS(p.z, prob, t1)
	}
	VMULPS(prob, prob, t2)
	VADDPS(c.one(), prob, prob)
	VFMADD231PS(t2, t1, prob)
	VSCALEFPS_Z(t0, prob, reg.K1, prob)
	VMOVAPS(prob, total)
	across(total, t0, plus)
	VDIVPS(total, prob, prob)
}

// voxel reads a label and leaves to skip where it counts nowhere. K2 has the lane
// of the class.
func voxel(label, labels, counts, weights reg.GPPhysical, skip string) {
	MOVBLZX(Mem{Base: labels}, label.As32())
	CMPL(Mem{Base: counts, Index: label, Scale: 4}, Imm(0))
	JE(LabelRef(skip))
	VPBROADCASTD(label.As32(), t0)
	VPCMPEQD(t0, lane, reg.K2)
	VBROADCASTSS(Mem{Base: weights, Index: label, Scale: 4}, weight)
}

// begin loads what both kernels need. K1 gets the lanes with a class.
func (c lossConstants) begin(a frame) (logits, labels, counts, weights, n reg.GPPhysical) {
	logits, labels, counts, weights, n = reg.RSI, reg.RDI, reg.RBX, reg.RDX, reg.RCX
	a.load("logits", logits)
	a.load("labels", labels)
	a.load("counts", counts)
	a.load("weight", weights)
	a.load("n", n)
	c.load()
	VMOVUPS(Mem{Base: a.load("top", reg.RAX)}, none)
	VPXORD(t0, t0, t0)
	VCMPPS(Imm(0), t0, none, reg.K1)
	return
}

// loss adds intersections, predictions, references and weighted log losses. The
// logarithms of the sums are taken 16 voxels at a time: sums and weights wait in
// one lane each.
func loss(c lossConstants) {
	const name = "lossAVX512"
	text(name, "lossArgs")
	a := arguments("lossArgs", reg.R15)
	logits, labels, counts, weights, n := c.begin(a)
	waiting, waitingWeight, bit := zs[8], zs[9], reg.R8
	sums := zs[10:14]
	for i := range sums {
		VPXORD(sums[i], sums[i], sums[i])
	}
	empty := func() {
		VMOVAPS(c.one(), waiting)
		VPXORD(waitingWeight, waitingWeight, waitingWeight)
		MOVL(U32(1), bit.As32())
	}
	empty()
	Label(name + "_voxel")
	voxel(reg.RAX, labels, counts, weights, name+"_next")
	c.softmax(Mem{Base: logits})
	VADDPS(prob, sums[0], reg.K2, sums[0])
	VADDPS(prob, sums[1], sums[1])
	VADDPS(c.one(), sums[2], reg.K2, sums[2])
	VSUBPS(logit, top, top)
	VFMADD231PS(weight, top, reg.K2, sums[3])
	KMOVW(bit.As32(), reg.K3)
	VMOVAPS(total, reg.K3, waiting)
	VMOVAPS(weight, reg.K3, waitingWeight)
	SHLL(Imm(1), bit.As32())
	CMPL(bit.As32(), U32(1<<16))
	JNE(LabelRef(name + "_next"))
	c.logarithms(waiting, waitingWeight, sums[3])
	empty()
	Label(name + "_next")
	ADDQ(Imm(64), logits)
	INCQ(labels)
	DECQ(n)
	JNE(LabelRef(name + "_voxel"))
	c.logarithms(waiting, waitingWeight, sums[3])
	out := a.load("sums", reg.RAX)
	for i, s := range sums {
		VADDPS(Mem{Base: out, Disp: 64 * i}, s, s)
		VMOVUPS(s, Mem{Base: out, Disp: 64 * i})
	}
	VZEROUPPER()
	RET()
}

// logarithms adds weight*log(x), x >= 1, to sum: log(m 2^e) = e ln 2 + 2 artanh(t),
// t = (m-1)/(m+1), whose series ends at t^13/13 with m below 2. It uses the voxel's registers.
func (c lossConstants) logarithms(x, weight, sum reg.VecPhysical) {
	e, m, t, t2, p := zs[0], zs[1], zs[2], zs[3], zs[5]
	VGETEXPPS(x, e)
	VGETMANTPS(Imm(0), x, m)
	VSUBPS(c.one(), m, t)
	VADDPS(c.one(), m, m)
	VDIVPS(m, t, t)
	VMULPS(t, t, t2)
	VBROADCASTSS(logTerms[0], p)
	for _, q := range logTerms[1:] {
		VFMADD213PS_BCST(q, t2, p)
	}
	VMULPS(t, p, p)
	VBROADCASTSS(ln2, m)
	VFMADD231PS(m, e, p)
	VFMADD231PS(weight, p, sum)
}

var (
	ln2      Mem
	logTerms []Mem
)

// lossGrad: with s the Dice slopes of all classes, i what being the voxel's class l
// adds, w the weight: d = p*(s - mean + w), at l also + p*i - w, where mean is the
// sum of p*s and p_l*i_l.
func lossGrad(c lossConstants) {
	const name = "lossGradAVX512"
	text(name, "lossArgs")
	a := arguments("lossArgs", reg.R15)
	logits, labels, counts, weights, n := c.begin(a)
	dlogits := a.load("dlogits", reg.R9)
	slopes, inside := zs[29], zs[30]
	VMOVUPS(Mem{Base: a.load("a", reg.RAX)}, slopes)
	VMOVUPS(Mem{Base: a.load("b", reg.RAX)}, inside)
	Label(name + "_voxel")
	VPXORD(t1, t1, t1)
	voxel(reg.RAX, labels, counts, weights, name+"_store")
	c.softmax(Mem{Base: logits})
	VMULPS(slopes, prob, t0)
	VFMADD231PS(inside, prob, reg.K2, t0)
	across(t0, t1, plus)
	VADDPS(weight, slopes, t1)
	VSUBPS(t0, t1, t1)
	VMULPS(prob, t1, t1)
	VFMADD231PS(inside, prob, reg.K2, t1)
	VSUBPS(weight, t1, reg.K2, t1)
	Label(name + "_store")
	VMOVUPS(t1, Mem{Base: dlogits})
	ADDQ(Imm(64), logits)
	ADDQ(Imm(64), dlogits)
	INCQ(labels)
	DECQ(n)
	JNE(LabelRef(name + "_voxel"))
	VZEROUPPER()
	RET()
}
