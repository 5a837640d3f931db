// Package program is the neutral form of a compiled network: buffers and a list
// of instructions. It knows no graph library, no device and no file.
//
// Activations are logically (N, C, D, H, W), kernels (Cout, Cin, KD, KH, KW); a
// device chooses the physical layout. The one idea: activations are stored raw,
// as convolutions wrote them, and a View says how a reader sees them (scaled,
// shifted and passed through leaky ReLU), so that norm and activation cost no
// pass of their own. package ref defines what every instruction means.
package program

// ID names a buffer: its index in Program.Buffers.
type ID int32

// None is the ID of an absent optional operand.
const None ID = -1

// Class says how a device may lay a buffer out.
type Class uint8

const (
	// Activation is (N, C, D, H, W) float32.
	Activation Class = iota
	// Kernel is (Cout, Cin, KD, KH, KW); for transposed convolutions (Cin, Cout, KD, KH, KW).
	Kernel
	// Vector is a short float32 list in logical order: bias, gamma, (N, C, 2) statistics, scalars.
	Vector
	// Labels is (N, D, H, W) uint8.
	Labels
)

// Role says who writes a buffer and how long it lives.
type Role uint8

const (
	// Temp lives from its first write to its last read.
	Temp Role = iota
	// Input is written from outside before each run.
	Input
	// Param is a network weight; it outlives a run.
	Param
	// State is optimiser memory; it outlives a run and starts at zero.
	State
	// Output stays readable after a run: logits, loss, gradients, norm.
	Output
)

// Buffer is one planned piece of memory.
type Buffer struct {
	Name  string
	Class Class
	Role  Role
	Shape []int
	// Offset and Bytes are the place in the arena, set by compile's place pass for
	// one device; Offset is -1 before.
	Offset, Bytes int64
}

// Len returns the number of logical elements.
func (b Buffer) Len() int {
	n := 1
	for _, s := range b.Shape {
		n *= s
	}
	return n
}

// Program is an ordered list of instructions over buffers.
type Program struct {
	Buffers []Buffer
	Instrs  []Instr
	Arena   int64 // bytes, set by the place pass
	// Precision is how a device may multiply; all store float32.
	Precision Precision
}

// Precision is how exactly a device may compute convolutions. Sums, norms, losses
// and updates are float32 or better in any case. A device may be more exact than asked.
type Precision uint8

const (
	// Float32 allows transformed products (Winograd) within 1e-4 of the definition.
	Float32 Precision = iota
	// Exact is float32 products as the definition has them, in any order.
	Exact
	// Half rounds factors to bfloat16 on the way in and sums in float32. A device may
	// also store activations so.
	Half
	// Float16 is Half in IEEE half precision, whose range needs a loss scale: the paper's
	// mixed precision. A device without it computes in float32.
	Float16
	// Mixed is Float16 on devices that gain by it, else Float32. Devices do not know it:
	// package engine has it decided when it places a program.
	Mixed
)

// Instr is one instruction. Reads and Writes list buffers, None left out; a
// buffer that is updated in place is in both.
type Instr interface {
	Reads() []ID
	Writes() []ID
}

// View is an activation as a reader sees it: x where Norm is None, else
// leakyReLU(scale*x + shift) with (scale, shift) = Norm[n, c].
type View struct {
	Buf   ID
	Norm  ID // Vector (N, C, 2), or None
	Slope float32
	// Up, where set, upsamples the view: its reader sees the ConvTransposed of it,
	// which is then never stored. Only a Conv and a ConvWeightGrad of stride 1 read so.
	Up *Upsampling
}

// Upsampling is the transposed convolution of a view, with Weight and Bias as those
// of a ConvTransposed.
type Upsampling struct {
	Weight ID
	Bias   ID // or None
}

// Conv computes a cross-correlation of the channel concatenation of In, zero
// padded by (kernel-1)/2: out extent = ceil(in/stride). Out is assigned.
// Moments, where wanted, gets mean and biased variance of Out over (D, H, W).
type Conv struct {
	In      []View
	Weight  ID
	Bias    ID // Vector (Cout), or None
	Out     ID
	Moments ID // Vector (N, Cout, 2), or None
	Stride  [3]int
}

// ConvTransposed computes a transposed convolution whose stride equals its
// kernel and that has no padding. Weight is (Cin, Cout, KD, KH, KW).
type ConvTransposed struct {
	In     View
	Weight ID
	Bias   ID // or None
	Out    ID
}

// Moments computes mean and biased variance of In over (D, H, W): Out (N, C, 2).
type Moments struct{ In, Out ID }

// NormScale turns moments into the affine map of an instance norm:
// scale = gamma/sqrt(var+eps), shift = beta - mean*scale; Out (N, C, 2).
type NormScale struct {
	Moments, Gamma, Beta, Out ID
	Eps                       float32
}

// NormAct materialises a view into Out (the unfused form).
type NormAct struct {
	In  View
	Out ID
}

// Concat copies channels of In, one after another, into Out (the unfused form).
type Concat struct {
	In  []View
	Out ID
}

// ConvWeightGrad assigns d loss/d weight and d loss/d bias of a Conv.
type ConvWeightGrad struct {
	In      []View
	DOut    ID
	DWeight ID
	DBias   ID // or None
	Stride  [3]int
}

// ConvDataGrad computes d loss/d input of a Conv, cut into the channels of its
// inputs: DIn[i] has input i's channels, None where it is not wanted. Accumulate[i]
// adds to what DIn[i] holds instead of assigning.
type ConvDataGrad struct {
	DOut, Weight ID
	DIn          []ID
	Channels     []int // channels of each input, also of those not wanted
	Accumulate   []bool
	Stride       [3]int
}

// ConvTransposedWeightGrad assigns both gradients of a ConvTransposed.
type ConvTransposedWeightGrad struct {
	In      View
	DOut    ID
	DWeight ID
	DBias   ID // or None
}

// ConvTransposedDataGrad computes d loss/d input of a ConvTransposed.
type ConvTransposedDataGrad struct {
	DOut, Weight, DIn ID
	Accumulate        bool
}

// NormGrad goes backward through leakyReLU(instanceNorm(Raw)): from DOut, the
// gradient of the activated value, to DIn, that of Raw. DIn may be DOut. DGamma
// and DBeta are assigned, summed over N.
type NormGrad struct {
	Raw, Moments, Norm, Gamma ID
	DOut, DIn, DGamma, DBeta  ID
	Slope, Eps                float32
}

// Add assigns A + B; Out may be A or B.
type Add struct{ A, B, Out ID }

// LabelsNearest shrinks labels to Out's grid by PyTorch's nearest-exact rule:
// source = floor((o + 0.5) * in/out).
type LabelsNearest struct{ In, Out ID }

// Loss holds the attributes that DiceCE and its gradient share. Labels equal to
// Ignore (-1: none) count nowhere. Dice leaves class 0 out, smooth 1e-5, and is
// over the whole batch with BatchDice, else per element of it, then averaged.
// ClassWeights (Vector (C), or None) weigh cross-entropy as PyTorch's weight=.
type Loss struct {
	BatchDice    bool
	Ignore       int
	ClassWeights ID
}

// DiceCE computes mean softmax cross-entropy - mean soft Dice (nnU-Net's
// DC_and_CE_loss). Out is (3): loss, Dice term (negative), cross-entropy. Sums is
// (N, C, 3): intersection, prediction sum, reference sum, kept for the gradient;
// its last element group is followed by one count: Sums has N*C*3+1 elements, the
// last the weight sum that cross-entropy is divided by.
type DiceCE struct {
	Logits, Labels, Sums, Out ID
	Loss
}

// DiceCEGrad assigns Seed[0]*Weight times d loss/d logits.
type DiceCEGrad struct {
	Logits, Labels, Sums, Seed, DLogits ID
	Weight                              float32
	Loss
}

// WeightedSum assigns Out[j] = sum over i of Weights[i] * Terms[i][j], all Vectors of one length.
type WeightedSum struct {
	Terms   []ID
	Weights []float32
	Out     ID
}

// GradNorm computes norm = sqrt(sum of squares of all Grads)/Seed[0] in float64
// and the factor that unscales and clips a gradient:
// min(1, MaxNorm/(norm+1e-6))/Seed[0] (torch clip_grad_norm_). Out is (2): norm, factor.
type GradNorm struct {
	Grads     []ID
	Seed, Out ID
	MaxNorm   float32 // 0: never clip
}

// Rule is an optimiser; package optim defines both.
type Rule uint8

const (
	// SGD is Nesterov momentum with coupled weight decay; State: velocity.
	// Hyper: lr, momentum, weight decay.
	SGD Rule = iota
	// AdamW has decoupled weight decay; State: first and second moment.
	// Hyper: lr, beta1, beta2, eps, weight decay, 1-beta1^t, 1-beta2^t.
	AdamW
)

// Update changes Param by its Grad times GradNorm's factor. Where the norm is not
// finite it leaves Param and State as they are.
type Update struct {
	Rule        Rule
	Param, Grad ID
	State       []ID
	Hyper       ID // Vector, Role Input
	Norm        ID // Out of GradNorm
}
