// Package optest runs a graph of package op for checks: every node in turn by its
// own Do. It is the oracle for compiled programs and for Gorgonia's tape machine,
// which may overwrite intermediate values. Small arrays only, for all values are
// kept.
package optest

import (
	"fmt"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"noisystudent/model/op"
)

// Values holds the value of every node, widened to float64.
type Values map[*op.Node][]float64

// Evaluate computes all nodes of g that the given inputs allow; nodes that depend
// on an input without a value get none.
func Evaluate(g *op.Graph, inputs Values) (Values, error) {
	at := map[*op.Node]gorgonia.Value{}
	out := Values{}
	for _, n := range g.Nodes() {
		v, err := value(n, at, inputs)
		if err != nil {
			return nil, fmt.Errorf("optest: evaluate %s: %w", name(g, n), err)
		}
		if v == nil {
			continue
		}
		at[n], out[n] = v, widen(v)
	}
	return out, nil
}

func name(g *op.Graph, n *op.Node) string {
	if s := g.Name(n); s != "" {
		return s
	}
	return fmt.Sprintf("node %d (%v)", n.ID(), n.Op())
}

func value(n *op.Node, at map[*op.Node]gorgonia.Value, inputs Values) (gorgonia.Value, error) {
	if n.Op() == nil {
		data, ok := inputs[n]
		if !ok {
			return nil, nil
		}
		return Tensor(n, data)
	}
	var in []gorgonia.Value
	for _, c := range op.Children(n) {
		v, ok := at[c]
		if !ok {
			return nil, nil
		}
		if op.IsAdd(n) { // Gorgonia's own sum may work in place
			var err error
			if v, err = gorgonia.CloneValue(v); err != nil {
				return nil, err
			}
		}
		in = append(in, v)
	}
	return n.Op().Do(in...)
}

// Tensor makes a value for a node in the node's own type and shape.
func Tensor(n *op.Node, data []float64) (*tensor.Dense, error) {
	if want := n.Shape().TotalSize(); len(data) != want {
		return nil, fmt.Errorf("%d elements for shape %v", len(data), n.Shape())
	}
	var backing any = append([]float64(nil), data...)
	if n.Dtype() == tensor.Float32 {
		narrow := make([]float32, len(data))
		for i, v := range data {
			narrow[i] = float32(v)
		}
		backing = narrow
	}
	return tensor.New(tensor.WithShape(n.Shape()...), tensor.WithBacking(backing)), nil
}

func widen(v gorgonia.Value) []float64 {
	if d, ok := v.Data().([]float64); ok {
		return d
	}
	d := v.Data().([]float32)
	out := make([]float64, len(d))
	for i, x := range d {
		out[i] = float64(x)
	}
	return out
}
