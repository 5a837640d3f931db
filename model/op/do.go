package op

import (
	"fmt"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"noisystudent/model/ref"
)

// array is a contiguous value in logical order.
type array[T ref.Float] struct {
	shape tensor.Shape
	data  []T
}

func extent(s tensor.Shape) ref.Shape { return ref.Shape{N: s[0], C: s[1], V: s[2] * s[3] * s[4]} }

// do computes the value of an op: it checks the inputs as InferShape does, makes
// the output and calls the definition for the inputs' element type.
func do[O gorgonia.Op](o O, in []gorgonia.Value,
	f32 func(O, []array[float32], array[float32]), f64 func(O, []array[float64], array[float64]),
) (gorgonia.Value, error) {
	sizers := make([]gorgonia.DimSizer, len(in))
	for i, v := range in {
		sizers[i] = v.Shape()
	}
	shape, err := o.InferShape(sizers...)
	if err != nil {
		return nil, err
	}
	if in[0].Dtype() == tensor.Float32 {
		return compute(o, in, shape, f32)
	}
	return compute(o, in, shape, f64)
}

func compute[T ref.Float, O any](o O, in []gorgonia.Value, shape tensor.Shape, f func(O, []array[T], array[T])) (gorgonia.Value, error) {
	arrays := make([]array[T], len(in))
	for i, v := range in {
		data, ok := v.Data().([]T)
		if !ok {
			return nil, fmt.Errorf("op: %T: input %d is of type %v, need one of float32 and float64 for all", o, i, v.Dtype())
		}
		arrays[i] = array[T]{v.Shape(), data}
	}
	out := array[T]{shape, make([]T, shape.TotalSize())}
	f(o, arrays, out)
	return tensor.New(tensor.WithShape(shape...), tensor.WithBacking(out.data)), nil
}
