package op

import (
	"slices"

	"github.com/chewxy/hm"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"noisystudent/model/ref"
)

// Concat joins N activations along the channels.
//
// Computes: the channels of all inputs, one input after another.
// Shapes: inputs (N, Ci, D, H, W); out (N, sum of Ci, D, H, W).
// Gradient: Slice.
// Accumulates or assigns: assigns.
// Numerics: copies.
// Reference: torch.cat(dim=1).
// Checked by: TestGradientsEqualFiniteDifferences; compile.TestTinyNetworkEqualsNnUNet.
type Concat struct {
	N int
	plain
}

// Arity implements gorgonia.Op.
func (o Concat) Arity() int { return o.N }

// Type implements gorgonia.Op.
func (o Concat) Type() hm.Type { return signature(slices.Repeat([]int{5}, o.N+1)...) }

// InferShape implements gorgonia.Op.
func (o Concat) InferShape(in ...gorgonia.DimSizer) (tensor.Shape, error) {
	s, err := shapes(o, in, slices.Repeat([]int{5}, o.N)...)
	if err != nil {
		return nil, err
	}
	out := s[0].Clone()
	out[1] = 0
	for _, one := range s {
		if one[0] != out[0] || grid(one) != grid(out) {
			return nil, misfit(o, s)
		}
		out[1] += one[1]
	}
	return out, nil
}

// DiffWRT implements gorgonia.SDOp.
func (o Concat) DiffWRT(int) []bool { return slices.Repeat([]bool{true}, o.N) }

// SymDiff implements gorgonia.SDOp.
func (o Concat) SymDiff(in gorgonia.Nodes, _, dy *Node) (gorgonia.Nodes, error) {
	var c chain
	list, from := make([]*Node, len(in)), 0
	for i, n := range in {
		to := from + n.Shape()[1]
		list[i] = c.apply(Slice{From: from, To: to}, dy)
		from = to
	}
	return c.nodes(list...)
}

// Do implements gorgonia.Op.
func (o Concat) Do(in ...gorgonia.Value) (gorgonia.Value, error) {
	return do(o, in, concat[float32], concat[float64])
}

func concat[T ref.Float](_ Concat, in []array[T], out array[T]) {
	s, to := extent(out.shape), 0
	for n := range s.N {
		for _, a := range in {
			part := a.shape[1] * s.V
			to += copy(out.data[to:], a.data[n*part:][:part])
		}
	}
}

// Slice takes the channels From to To-1.
//
// Computes: out = x[:, From:To].
// Shapes: x (N, C, D, H, W); out (N, To-From, D, H, W).
// Gradient: none; it is itself the gradient of Concat.
// Accumulates or assigns: assigns.
// Numerics: copies.
// Reference: torch.narrow(dim=1).
// Checked by: TestGradientsEqualFiniteDifferences.
type Slice struct {
	From, To int
	plain
}

// InferShape implements gorgonia.Op.
func (o Slice) InferShape(in ...gorgonia.DimSizer) (tensor.Shape, error) {
	s, err := shapes(o, in, 5)
	if err != nil {
		return nil, err
	}
	if o.From < 0 || o.To <= o.From || o.To > s[0][1] {
		return nil, misfit(o, s)
	}
	out := s[0].Clone()
	out[1] = o.To - o.From
	return out, nil
}

// Do implements gorgonia.Op.
func (o Slice) Do(in ...gorgonia.Value) (gorgonia.Value, error) {
	return do(o, in, slice[float32], slice[float64])
}

func slice[T ref.Float](o Slice, in []array[T], out array[T]) {
	s, part := extent(in[0].shape), len(out.data)/out.shape[0]
	for n := range s.N {
		copy(out.data[n*part:][:part], in[0].data[(n*s.C+o.From)*s.V:])
	}
}

// LabelsNearest shrinks labels to the grid Out.
//
// Computes: out at o = labels at floor((o + 0.5) * in/out).
// Shapes: labels (N, D, H, W); out (N, Out).
// Gradient: none, labels are not differentiated.
// Accumulates or assigns: assigns.
// Numerics: copies.
// Reference: torch.nn.functional.interpolate(mode="nearest-exact").
// Checked by: loss.TestLabelPyramid, loss.TestLabelPyramidEqualsNnUNet.
type LabelsNearest struct {
	Out [3]int
	plain
}

// InferShape implements gorgonia.Op.
func (o LabelsNearest) InferShape(in ...gorgonia.DimSizer) (tensor.Shape, error) {
	s, err := shapes(o, in, 4)
	if err != nil {
		return nil, err
	}
	for a, n := range o.Out {
		if n < 1 || n > s[0][a+1] {
			return nil, misfit(o, s)
		}
	}
	return tensor.Shape{s[0][0], o.Out[0], o.Out[1], o.Out[2]}, nil
}

// DiffWRT implements gorgonia.SDOp.
func (o LabelsNearest) DiffWRT(int) []bool { return []bool{false} }

// SymDiff implements gorgonia.SDOp.
func (o LabelsNearest) SymDiff(gorgonia.Nodes, *Node, *Node) (gorgonia.Nodes, error) {
	return gorgonia.Nodes{nil}, nil
}

// Do implements gorgonia.Op.
func (o LabelsNearest) Do(in ...gorgonia.Value) (gorgonia.Value, error) {
	return do(o, in, labelsNearest[float32], labelsNearest[float64])
}

func labelsNearest[T ref.Float](o LabelsNearest, in []array[T], out array[T]) {
	dst := make([]uint8, len(out.data))
	s := in[0].shape
	ref.LabelsNearest(s[0], [3]int(s[1:4]), o.Out, labels(in[0].data), dst)
	for i, v := range dst {
		out.data[i] = T(v)
	}
}

// labels turns the graph's whole numbers into labels.
func labels[T ref.Float](data []T) []uint8 {
	out := make([]uint8, len(data))
	for i, v := range data {
		out[i] = uint8(v)
	}
	return out
}
