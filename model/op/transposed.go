package op

import (
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"noisystudent/model/ref"
)

// ConvTransposed is an upsampling convolution whose stride equals its kernel:
// inputs x, w, b.
//
// Computes: y at o = b + sum over Cin of x at o/kernel and the tap o mod kernel of w.
// Shapes: x (N, Cin, D, H, W), w (Cin, Cout, KD, KH, KW), b (Cout); y (N, Cout, extent*kernel).
// Gradient: ConvTransposedDataGrad, ConvTransposedWeightGrad, BiasGrad.
// Accumulates or assigns: assigns.
// Numerics: sums in float64, rounded once.
// Reference: torch.nn.functional.conv_transpose3d with stride = kernel.
// Checked by: TestOpsEqualPyTorch, TestGradientsEqualFiniteDifferences.
type ConvTransposed struct{ plain }

func geometryTransposed(x, w tensor.Shape) ref.Geometry {
	return ref.Geometry{N: x[0], Cin: x[1], Cout: w[1], In: grid(x), Kernel: grid(w)}
}

// InferShape implements gorgonia.Op.
func (o ConvTransposed) InferShape(in ...gorgonia.DimSizer) (tensor.Shape, error) {
	s, err := shapes(o, in, 5, 5, 1)
	if err != nil {
		return nil, err
	}
	x, w, b := s[0], s[1], s[2]
	if w[0] != x[1] || b[0] != w[1] {
		return nil, misfit(o, s)
	}
	out := geometryTransposed(x, w).OutTransposed()
	return tensor.Shape{x[0], w[1], out[0], out[1], out[2]}, nil
}

// DiffWRT implements gorgonia.SDOp.
func (o ConvTransposed) DiffWRT(int) []bool { return []bool{true, true, true} }

// SymDiff implements gorgonia.SDOp.
func (o ConvTransposed) SymDiff(in gorgonia.Nodes, _, dy *Node) (gorgonia.Nodes, error) {
	var c chain
	dw := c.apply(ConvTransposedWeightGrad{}, in[0], dy)
	db := c.apply(BiasGrad{}, dy)
	dx := c.apply(ConvTransposedDataGrad{}, dy, in[1])
	return c.nodes(dx, dw, db)
}

// Do implements gorgonia.Op.
func (o ConvTransposed) Do(in ...gorgonia.Value) (gorgonia.Value, error) {
	return do(o, in, convTransposed[float32], convTransposed[float64])
}

func convTransposed[T ref.Float](_ ConvTransposed, in []array[T], out array[T]) {
	ref.ConvTransposed(geometryTransposed(in[0].shape, in[1].shape), in[0].data, in[1].data, in[2].data, out.data)
}

// ConvTransposedDataGrad is the gradient of a ConvTransposed's x: inputs dy, w.
//
// Computes: dx = sum over Cout and kernel of dy and w.
// Shapes: dy (N, Cout, extent*kernel), w (Cin, Cout, KD, KH, KW); dx (N, Cin, extent).
// Gradient: none.
// Accumulates or assigns: assigns.
// Numerics: sums in float64, rounded once.
// Reference: the input gradient of torch.nn.functional.conv_transpose3d.
// Checked by: TestOpsEqualPyTorch.
type ConvTransposedDataGrad struct{ plain }

// InferShape implements gorgonia.Op.
func (o ConvTransposedDataGrad) InferShape(in ...gorgonia.DimSizer) (tensor.Shape, error) {
	s, err := shapes(o, in, 5, 5)
	if err != nil {
		return nil, err
	}
	dy, w := s[0], s[1]
	d, rest := divide(grid(dy), grid(w))
	if dy[1] != w[1] || rest {
		return nil, misfit(o, s)
	}
	return tensor.Shape{dy[0], w[0], d[0], d[1], d[2]}, nil
}

// divide returns a/b and whether an axis leaves a rest.
func divide(a, b [3]int) (q [3]int, rest bool) {
	for i := range q {
		q[i] = a[i] / b[i]
		rest = rest || q[i]*b[i] != a[i]
	}
	return q, rest
}

// Do implements gorgonia.Op.
func (o ConvTransposedDataGrad) Do(in ...gorgonia.Value) (gorgonia.Value, error) {
	return do(o, in, convTransposedDataGrad[float32], convTransposedDataGrad[float64])
}

func convTransposedDataGrad[T ref.Float](_ ConvTransposedDataGrad, in []array[T], out array[T]) {
	ref.ConvTransposedDataGrad(geometryTransposed(out.shape, in[1].shape), in[0].data, in[1].data, out.data)
}

// ConvTransposedWeightGrad is the gradient of a ConvTransposed's w: inputs x, dy.
//
// Computes: dw = sum over N and voxels of x and dy.
// Shapes: x (N, Cin, D, H, W), dy (N, Cout, extent*kernel); dw (Cin, Cout, kernel).
// Gradient: none.
// Accumulates or assigns: assigns.
// Numerics: sums in float64, rounded once.
// Reference: the weight gradient of torch.nn.functional.conv_transpose3d.
// Checked by: TestOpsEqualPyTorch.
type ConvTransposedWeightGrad struct{ plain }

// InferShape implements gorgonia.Op.
func (o ConvTransposedWeightGrad) InferShape(in ...gorgonia.DimSizer) (tensor.Shape, error) {
	s, err := shapes(o, in, 5, 5)
	if err != nil {
		return nil, err
	}
	x, dy := s[0], s[1]
	k, rest := divide(grid(dy), grid(x))
	if x[0] != dy[0] || rest || k[0]*k[1]*k[2] == 0 {
		return nil, misfit(o, s)
	}
	return tensor.Shape{x[1], dy[1], k[0], k[1], k[2]}, nil
}

// Do implements gorgonia.Op.
func (o ConvTransposedWeightGrad) Do(in ...gorgonia.Value) (gorgonia.Value, error) {
	return do(o, in, convTransposedWeightGrad[float32], convTransposedWeightGrad[float64])
}

func convTransposedWeightGrad[T ref.Float](_ ConvTransposedWeightGrad, in []array[T], out array[T]) {
	ref.ConvTransposedWeightGrad(geometryTransposed(in[0].shape, out.shape), in[0].data, in[1].data, out.data, nil)
}
