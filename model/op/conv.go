package op

import (
	"slices"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"noisystudent/model/ref"
)

// Conv is a convolution with bias: inputs x, w, b.
//
// Computes: y = x * w + b, a cross-correlation, zero padded by (kernel-1)/2.
// Shapes: x (N, Cin, D, H, W), w (Cout, Cin, KD, KH, KW) with odd kernel, b (Cout);
// y (N, Cout, ceil(extent/stride)).
// Gradient: ConvDataGrad, ConvWeightGrad, BiasGrad.
// Accumulates or assigns: assigns.
// Numerics: sums in float64, rounded once.
// Reference: torch.nn.functional.conv3d.
// Checked by: TestOpsEqualPyTorch, TestGradientsEqualFiniteDifferences.
type Conv struct {
	Stride [3]int
	plain
}

// InferShape implements gorgonia.Op.
func (o Conv) InferShape(in ...gorgonia.DimSizer) (tensor.Shape, error) {
	s, err := shapes(o, in, 5, 5, 1)
	if err != nil {
		return nil, err
	}
	x, w, b := s[0], s[1], s[2]
	if w[1] != x[1] || b[0] != w[0] || !convolves(o.Stride, grid(w)) {
		return nil, misfit(o, s)
	}
	out := geometry(x, w, o.Stride).Out()
	return tensor.Shape{x[0], w[0], out[0], out[1], out[2]}, nil
}

// convolves tells whether stride and kernel make a convolution of this package.
func convolves(stride, kernel [3]int) bool {
	return slices.Min(stride[:]) > 0 && kernel[0]%2 == 1 && kernel[1]%2 == 1 && kernel[2]%2 == 1
}

func geometry(x, w tensor.Shape, stride [3]int) ref.Geometry {
	return ref.Geometry{N: x[0], Cin: x[1], Cout: w[0], In: grid(x), Kernel: grid(w), Stride: stride}
}

// DiffWRT implements gorgonia.SDOp.
func (o Conv) DiffWRT(int) []bool { return []bool{true, true, true} }

// SymDiff implements gorgonia.SDOp. The weight gradient comes first: after it the
// input is often not needed any more.
func (o Conv) SymDiff(in gorgonia.Nodes, _, dy *Node) (gorgonia.Nodes, error) {
	x, w := in[0], in[1]
	var c chain
	dw := c.apply(ConvWeightGrad{Stride: o.Stride, Kernel: grid(w.Shape())}, x, dy)
	db := c.apply(BiasGrad{}, dy)
	dx := c.apply(ConvDataGrad{Stride: o.Stride, In: grid(x.Shape())}, dy, w)
	return c.nodes(dx, dw, db)
}

// Do implements gorgonia.Op.
func (o Conv) Do(in ...gorgonia.Value) (gorgonia.Value, error) {
	return do(o, in, conv[float32], conv[float64])
}

func conv[T ref.Float](o Conv, in []array[T], out array[T]) {
	ref.Conv(geometry(in[0].shape, in[1].shape, o.Stride), in[0].data, in[1].data, in[2].data, out.data)
}

// ConvDataGrad is the gradient of a Conv's x: inputs dy, w. In is the grid of x,
// which ceil leaves open.
//
// Computes: dx = sum over Cout and kernel of dy and w.
// Shapes: dy (N, Cout, ceil(In/Stride)), w (Cout, Cin, KD, KH, KW); dx (N, Cin, In).
// Gradient: none.
// Accumulates or assigns: assigns.
// Numerics: sums in float64, rounded once.
// Reference: torch.nn.grad.conv3d_input.
// Checked by: TestOpsEqualPyTorch.
type ConvDataGrad struct {
	Stride, In [3]int
	plain
}

func (o ConvDataGrad) geometry(dy, w tensor.Shape) ref.Geometry {
	return ref.Geometry{N: dy[0], Cin: w[1], Cout: w[0], In: o.In, Kernel: grid(w), Stride: o.Stride}
}

// InferShape implements gorgonia.Op.
func (o ConvDataGrad) InferShape(in ...gorgonia.DimSizer) (tensor.Shape, error) {
	s, err := shapes(o, in, 5, 5)
	if err != nil {
		return nil, err
	}
	dy, w := s[0], s[1]
	if dy[1] != w[0] || !convolves(o.Stride, grid(w)) || o.geometry(dy, w).Out() != grid(dy) {
		return nil, misfit(o, s)
	}
	return tensor.Shape{dy[0], w[1], o.In[0], o.In[1], o.In[2]}, nil
}

// Do implements gorgonia.Op.
func (o ConvDataGrad) Do(in ...gorgonia.Value) (gorgonia.Value, error) {
	return do(o, in, convDataGrad[float32], convDataGrad[float64])
}

func convDataGrad[T ref.Float](o ConvDataGrad, in []array[T], out array[T]) {
	ref.ConvDataGrad(o.geometry(in[0].shape, in[1].shape), in[0].data, in[1].data, out.data)
}

// ConvWeightGrad is the gradient of a Conv's w: inputs x, dy.
//
// Computes: dw = sum over N and voxels of x and dy.
// Shapes: x (N, Cin, D, H, W), dy (N, Cout, ceil(extent/Stride)); dw (Cout, Cin, Kernel).
// Gradient: none.
// Accumulates or assigns: assigns.
// Numerics: sums in float64, rounded once.
// Reference: torch.nn.grad.conv3d_weight.
// Checked by: TestOpsEqualPyTorch.
type ConvWeightGrad struct {
	Stride, Kernel [3]int
	plain
}

func (o ConvWeightGrad) geometry(x, dy tensor.Shape) ref.Geometry {
	return ref.Geometry{N: x[0], Cin: x[1], Cout: dy[1], In: grid(x), Kernel: o.Kernel, Stride: o.Stride}
}

// InferShape implements gorgonia.Op.
func (o ConvWeightGrad) InferShape(in ...gorgonia.DimSizer) (tensor.Shape, error) {
	s, err := shapes(o, in, 5, 5)
	if err != nil {
		return nil, err
	}
	x, dy := s[0], s[1]
	if x[0] != dy[0] || !convolves(o.Stride, o.Kernel) || o.geometry(x, dy).Out() != grid(dy) {
		return nil, misfit(o, s)
	}
	return tensor.Shape{dy[1], x[1], o.Kernel[0], o.Kernel[1], o.Kernel[2]}, nil
}

// Do implements gorgonia.Op.
func (o ConvWeightGrad) Do(in ...gorgonia.Value) (gorgonia.Value, error) {
	return do(o, in, convWeightGrad[float32], convWeightGrad[float64])
}

func convWeightGrad[T ref.Float](o ConvWeightGrad, in []array[T], out array[T]) {
	ref.ConvWeightGrad(o.geometry(in[0].shape, in[1].shape), in[0].data, in[1].data, out.data, nil)
}

// BiasGrad is the gradient of a bias: input dy.
//
// Computes: db[c] = sum over N and voxels of dy[:, c].
// Shapes: dy (N, C, D, H, W); db (C).
// Gradient: none.
// Accumulates or assigns: assigns.
// Numerics: sums in float64, rounded once.
// Reference: the bias gradient of torch.nn.functional.conv3d.
// Checked by: TestOpsEqualPyTorch.
type BiasGrad struct{ plain }

// InferShape implements gorgonia.Op.
func (o BiasGrad) InferShape(in ...gorgonia.DimSizer) (tensor.Shape, error) {
	s, err := shapes(o, in, 5)
	if err != nil {
		return nil, err
	}
	return tensor.Shape{s[0][1]}, nil
}

// Do implements gorgonia.Op.
func (o BiasGrad) Do(in ...gorgonia.Value) (gorgonia.Value, error) {
	return do(o, in, biasGrad[float32], biasGrad[float64])
}

func biasGrad[T ref.Float](_ BiasGrad, in []array[T], out array[T]) {
	s := extent(in[0].shape)
	for c := range s.C {
		sum := 0.0
		for n := range s.N {
			for _, v := range in[0].data[(n*s.C+c)*s.V:][:s.V] {
				sum += float64(v)
			}
		}
		out.data[c] = T(sum)
	}
}
