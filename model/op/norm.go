package op

import (
	"fmt"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"noisystudent/model/ref"
)

// Moments is what an instance norm measures: input x.
//
// Computes: mean and biased variance over (D, H, W).
// Shapes: x (N, C, D, H, W); out (N, C, 2).
// Gradient: none; NormAct's gradient of x contains the way through the moments.
// Accumulates or assigns: assigns.
// Numerics: two passes in float64, rounded once.
// Reference: torch.var_mean(unbiased=False).
// Checked by: TestOpsEqualPyTorch.
type Moments struct{ plain }

// InferShape implements gorgonia.Op.
func (o Moments) InferShape(in ...gorgonia.DimSizer) (tensor.Shape, error) {
	s, err := shapes(o, in, 5)
	if err != nil {
		return nil, err
	}
	return tensor.Shape{s[0][0], s[0][1], 2}, nil
}

// DiffWRT implements gorgonia.SDOp.
func (o Moments) DiffWRT(int) []bool { return []bool{false} }

// SymDiff implements gorgonia.SDOp.
func (o Moments) SymDiff(gorgonia.Nodes, *Node, *Node) (gorgonia.Nodes, error) {
	return gorgonia.Nodes{nil}, nil
}

// Do implements gorgonia.Op.
func (o Moments) Do(in ...gorgonia.Value) (gorgonia.Value, error) {
	return do(o, in, moments[float32], moments[float64])
}

func moments[T ref.Float](_ Moments, in []array[T], out array[T]) {
	ref.Moments(extent(in[0].shape), in[0].data, out.data)
}

// NormAct is instance norm and leaky ReLU: inputs x, its Moments, gamma, beta.
//
// Computes: leakyReLU((x - mean)/sqrt(variance + Eps)*gamma + beta).
// Shapes: x (N, C, D, H, W), moments (N, C, 2), gamma and beta (C); out as x.
// Gradient: NormGrad, where the gradient of x is the full one, through the moments
// too; the moments input itself has none.
// Accumulates or assigns: assigns.
// Numerics: affine map rounded to the element type, then applied in float64.
// Reference: torch.nn.InstanceNorm3d(affine=True), torch.nn.LeakyReLU.
// Checked by: TestOpsEqualPyTorch, TestGradientsEqualFiniteDifferences.
type NormAct struct {
	Eps, Slope float32
	plain
}

// InferShape implements gorgonia.Op.
func (o NormAct) InferShape(in ...gorgonia.DimSizer) (tensor.Shape, error) {
	s, err := shapes(o, in, 5, 3, 1, 1)
	if err != nil {
		return nil, err
	}
	if !normFits(s) {
		return nil, misfit(o, s)
	}
	return s[0].Clone(), nil
}

// normFits checks x, moments, gamma, beta.
func normFits(s []tensor.Shape) bool {
	x := s[0]
	return s[1].Eq(tensor.Shape{x[0], x[1], 2}) && s[2][0] == x[1] && s[3][0] == x[1]
}

// DiffWRT implements gorgonia.SDOp.
func (o NormAct) DiffWRT(int) []bool { return []bool{true, false, true, true} }

// SymDiff implements gorgonia.SDOp.
func (o NormAct) SymDiff(in gorgonia.Nodes, _, dy *Node) (gorgonia.Nodes, error) {
	var c chain
	part := func(p Part) *Node {
		return c.apply(NormGrad{Eps: o.Eps, Slope: o.Slope, Part: p}, in[0], in[1], in[2], in[3], dy)
	}
	dgamma, dbeta, dx := part(Gamma), part(Beta), part(Data)
	return c.nodes(dx, nil, dgamma, dbeta)
}

// Do implements gorgonia.Op.
func (o NormAct) Do(in ...gorgonia.Value) (gorgonia.Value, error) {
	return do(o, in, normAct[float32], normAct[float64])
}

func normAct[T ref.Float](o NormAct, in []array[T], out array[T]) {
	s := extent(in[0].shape)
	ref.NormAct(s, in[0].data, normScale(in, o.Eps), float64(o.Slope), out.data)
}

func normScale[T ref.Float](in []array[T], eps float32) []T {
	scale := make([]T, len(in[1].data))
	ref.NormScale(extent(in[0].shape), in[1].data, in[2].data, in[3].data, float64(eps), scale)
	return scale
}

// Part says which of its gradients a NormGrad node stands for.
type Part uint8

// The gradients of x, gamma and beta.
const (
	Data Part = iota
	Gamma
	Beta
)

// NormGrad is one of the gradients of a NormAct: inputs x, moments, gamma, beta, dy.
// A node has one value; the three that share their inputs become one instruction.
//
// Computes: with z = dy * leakyReLU' and h = (x - mean)/sqrt(variance + Eps), dbeta =
// sum of z, dgamma = sum of z*h, dx = gamma/sqrt(variance + Eps) * (z - mean(z) - h*mean(z*h)).
// Shapes: x and dy (N, C, D, H, W), moments (N, C, 2), gamma and beta (C); dx as x,
// dgamma and dbeta (C), summed over N.
// Gradient: none.
// Accumulates or assigns: assigns.
// Numerics: sums in float64, rounded once; slope at 0 is the negative one.
// Reference: autograd of torch.nn.InstanceNorm3d and torch.nn.LeakyReLU.
// Checked by: TestOpsEqualPyTorch.
type NormGrad struct {
	Eps, Slope float32
	Part       Part
	plain
}

// InferShape implements gorgonia.Op.
func (o NormGrad) InferShape(in ...gorgonia.DimSizer) (tensor.Shape, error) {
	s, err := shapes(o, in, 5, 3, 1, 1, 5)
	if err != nil {
		return nil, err
	}
	if !normFits(s) || !s[0].Eq(s[4]) {
		return nil, misfit(o, s)
	}
	switch o.Part {
	case Data:
		return s[0].Clone(), nil
	case Gamma, Beta:
		return s[2].Clone(), nil
	}
	return nil, fmt.Errorf("op: %T: part %d is unknown", o, o.Part)
}

// Do implements gorgonia.Op.
func (o NormGrad) Do(in ...gorgonia.Value) (gorgonia.Value, error) {
	return do(o, in, normGrad[float32], normGrad[float64])
}

func normGrad[T ref.Float](o NormGrad, in []array[T], out array[T]) {
	s := extent(in[0].shape)
	parts := [3][]T{make([]T, s.Len()), make([]T, s.C), make([]T, s.C)}
	parts[o.Part] = out.data
	ref.NormGrad(s, ref.Norm[T]{
		Raw: in[0].data, Moments: in[1].data, Scale: normScale(in, o.Eps), Gamma: in[2].data,
		Slope: float64(o.Slope), Eps: float64(o.Eps),
	}, in[4].data, parts[Data], parts[Gamma], parts[Beta])
}
