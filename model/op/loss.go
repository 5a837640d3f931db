package op

import (
	"slices"

	"github.com/chewxy/hm"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"noisystudent/model/ref"
)

// DiceCE is nnU-Net's loss of one output: inputs logits, labels and, where Weighted,
// the class weights of cross-entropy.
//
// Computes: cross-entropy - soft Dice of softmax(logits); labels equal to Ignore
// (-1: none) count nowhere.
// Shapes: logits (N, C, D, H, W), labels (N, D, H, W) with whole numbers below C or
// equal to Ignore, weights (C); out (3): loss, Dice term, cross-entropy.
// Gradient: DiceCEGrad. The gradient of out is one number, that of its first
// element; the other two are reports.
// Accumulates or assigns: assigns.
// Numerics: sums in float64; Dice without class 0, smooth 1e-5, over the whole batch
// with BatchDice, else per element of it.
// Reference: nnunetv2 DC_and_CE_loss with MemoryEfficientSoftDiceLoss.
// Checked by: TestGradientsEqualFiniteDifferences; loss.TestLossEqualsNnUNet.
type DiceCE struct {
	BatchDice bool
	Ignore    int
	Weighted  bool
	plain
}

// Arity implements gorgonia.Op.
func (o DiceCE) Arity() int { return len(o.ranks()) }

// Type implements gorgonia.Op.
func (o DiceCE) Type() hm.Type { return signature(append(o.ranks(), 1)...) }

func (o DiceCE) ranks() []int {
	if o.Weighted {
		return []int{5, 4, 1}
	}
	return []int{5, 4}
}

// InferShape implements gorgonia.Op.
func (o DiceCE) InferShape(in ...gorgonia.DimSizer) (tensor.Shape, error) {
	s, err := shapes(o, in, o.ranks()...)
	if err != nil {
		return nil, err
	}
	if !lossFits(s[0], s[1]) || o.Weighted && s[2][0] != s[0][1] {
		return nil, misfit(o, s)
	}
	return tensor.Shape{3}, nil
}

func lossFits(logits, labels tensor.Shape) bool {
	return logits[1] > 1 && labels[0] == logits[0] && [3]int(labels[1:4]) == grid(logits)
}

// DiffWRT implements gorgonia.SDOp.
func (o DiceCE) DiffWRT(int) []bool { return []bool{true, false, false}[:o.Arity()] }

// SymDiff implements gorgonia.SDOp.
func (o DiceCE) SymDiff(in gorgonia.Nodes, _, dy *Node) (gorgonia.Nodes, error) {
	var c chain
	dx := c.apply(DiceCEGrad{DiceCE: o}, append([]*Node{dy}, in...)...)
	return c.nodes([]*Node{dx, nil, nil}[:o.Arity()]...)
}

// Do implements gorgonia.Op.
func (o DiceCE) Do(in ...gorgonia.Value) (gorgonia.Value, error) {
	return do(o, in, diceCE[float32], diceCE[float64])
}

func diceCE[T ref.Float](o DiceCE, in []array[T], out array[T]) {
	s := extent(in[0].shape)
	ref.DiceCE(s, in[0].data, labels(in[1].data), settings(o, in), make([]T, ref.SumsLen(s)), out.data)
}

func settings[T ref.Float](o DiceCE, in []array[T]) ref.Loss[T] {
	l := ref.Loss[T]{BatchDice: o.BatchDice, Ignore: o.Ignore}
	if o.Weighted {
		l.ClassWeights = in[2].data
	}
	return l
}

// DiceCEGrad is the gradient of a DiceCE's logits: inputs seed, logits, labels and,
// where Weighted, the class weights.
//
// Computes: dlogits = seed * d loss/d logits.
// Shapes: seed (1), the others as in DiceCE; out as logits.
// Gradient: none.
// Accumulates or assigns: assigns.
// Numerics: per voxel in float64, rounded once; 0 at ignored voxels.
// Reference: autograd of nnunetv2 DC_and_CE_loss.
// Checked by: loss.TestLossEqualsNnUNet.
type DiceCEGrad struct{ DiceCE }

// Arity implements gorgonia.Op.
func (o DiceCEGrad) Arity() int { return 1 + o.DiceCE.Arity() }

// Type implements gorgonia.Op.
func (o DiceCEGrad) Type() hm.Type { return signature(append(o.ranks(), 5)...) }

func (o DiceCEGrad) ranks() []int { return append([]int{1}, o.DiceCE.ranks()...) }

// InferShape implements gorgonia.Op.
func (o DiceCEGrad) InferShape(in ...gorgonia.DimSizer) (tensor.Shape, error) {
	s, err := shapes(o, in, o.ranks()...)
	if err != nil {
		return nil, err
	}
	if _, err := o.DiceCE.InferShape(in[1:]...); err != nil || s[0][0] != 1 {
		return nil, misfit(o, s)
	}
	return s[1].Clone(), nil
}

// DiffWRT implements gorgonia.SDOp.
func (o DiceCEGrad) DiffWRT(int) []bool { return make([]bool, o.Arity()) }

// SymDiff implements gorgonia.SDOp.
func (o DiceCEGrad) SymDiff(gorgonia.Nodes, *Node, *Node) (gorgonia.Nodes, error) {
	return make(gorgonia.Nodes, o.Arity()), nil
}

// Do implements gorgonia.Op.
func (o DiceCEGrad) Do(in ...gorgonia.Value) (gorgonia.Value, error) {
	return do(o, in, diceCEGrad[float32], diceCEGrad[float64])
}

func diceCEGrad[T ref.Float](o DiceCEGrad, in []array[T], out array[T]) {
	seed, in := in[0], in[1:]
	s, set, y := extent(in[0].shape), settings(o.DiceCE, in), labels(in[1].data)
	sums := make([]T, ref.SumsLen(s))
	ref.DiceCE(s, in[0].data, y, set, sums, make([]T, 3))
	ref.DiceCEGrad(s, in[0].data, y, set, sums, float64(seed.data[0]), out.data)
}

// WeightedSum adds the losses of several outputs: as many inputs as Weights.
//
// Computes: out[j] = sum over i of Weights[i] * input_i[j].
// Shapes: inputs (3); out (3).
// Gradient: Scale. As in DiceCE the gradient of out is that of its first element.
// Accumulates or assigns: assigns.
// Numerics: sums in float64, rounded once.
// Reference: nnunetv2 DeepSupervisionWrapper.
// Checked by: TestGradientsEqualFiniteDifferences; compile.TestTinyNetworkEqualsNnUNet.
type WeightedSum struct {
	Weights []float32
	plain
}

// Arity implements gorgonia.Op.
func (o WeightedSum) Arity() int { return len(o.Weights) }

// Type implements gorgonia.Op.
func (o WeightedSum) Type() hm.Type { return signature(slices.Repeat([]int{1}, len(o.Weights)+1)...) }

// InferShape implements gorgonia.Op.
func (o WeightedSum) InferShape(in ...gorgonia.DimSizer) (tensor.Shape, error) {
	s, err := shapes(o, in, slices.Repeat([]int{1}, len(o.Weights))...)
	if err != nil {
		return nil, err
	}
	for _, one := range s {
		if one[0] != 3 {
			return nil, misfit(o, s)
		}
	}
	return tensor.Shape{3}, nil
}

// DiffWRT implements gorgonia.SDOp.
func (o WeightedSum) DiffWRT(int) []bool { return slices.Repeat([]bool{true}, len(o.Weights)) }

// SymDiff implements gorgonia.SDOp.
func (o WeightedSum) SymDiff(_ gorgonia.Nodes, _, dy *Node) (gorgonia.Nodes, error) {
	var c chain
	list := make([]*Node, len(o.Weights))
	for i, w := range o.Weights {
		list[i] = c.apply(Scale{By: w}, dy)
	}
	return c.nodes(list...)
}

// Do implements gorgonia.Op.
func (o WeightedSum) Do(in ...gorgonia.Value) (gorgonia.Value, error) {
	return do(o, in, weightedSum[float32], weightedSum[float64])
}

func weightedSum[T ref.Float](o WeightedSum, in []array[T], out array[T]) {
	terms := make([][]T, len(in))
	for i, a := range in {
		terms[i] = a.data
	}
	ref.WeightedSum(terms, o.Weights, out.data)
}

// Scale multiplies a number by a constant; it is the gradient of WeightedSum.
//
// Computes: out = By * x.
// Shapes: x (1); out (1).
// Gradient: none.
// Accumulates or assigns: assigns.
// Numerics: product in float64, rounded once.
// Reference: the weights of nnunetv2 DeepSupervisionWrapper.
// Checked by: TestGradientsEqualFiniteDifferences; compile.TestTinyNetworkEqualsNnUNet.
type Scale struct {
	By float32
	plain
}

// InferShape implements gorgonia.Op.
func (o Scale) InferShape(in ...gorgonia.DimSizer) (tensor.Shape, error) {
	s, err := shapes(o, in, 1)
	if err != nil {
		return nil, err
	}
	if s[0][0] != 1 {
		return nil, misfit(o, s)
	}
	return tensor.Shape{1}, nil
}

// Do implements gorgonia.Op.
func (o Scale) Do(in ...gorgonia.Value) (gorgonia.Value, error) {
	return do(o, in, scale[float32], scale[float64])
}

func scale[T ref.Float](o Scale, in []array[T], out array[T]) {
	out.data[0] = T(float64(o.By) * float64(in[0].data[0]))
}
