// Package op holds the operations of the network as Gorgonia ops: shape rule,
// symbolic gradient and, for checks on small arrays, a value.
//
// The one idea: an op only says what is to be computed. Networks are declared and
// differentiated with these ops, then package compile turns the graph into a
// program; only tests run the graph itself, through Do, which calls the same
// definitions of package ref that every device is held to.
//
// Axes are (N, C, D, H, W), kernels (Cout, Cin, KD, KH, KW), of transposed
// convolutions (Cin, Cout, KD, KH, KW). A graph has one element type, float32 or
// float64; labels are kept in it too (whole numbers 0 to 255). Ops are plain values
// whose exported fields are all that distinguishes them. Forward ops are
// differentiable once: their gradients are ops without a gradient.
//
// Gorgonia finds nodes by a 32-bit hash and does not compare their children, so
// that two different nodes can silently become one. Every node must therefore be
// made by Apply or Graph, which look at what they got, and every gradient by
// Gradient, which counts the sums that Gorgonia adds itself.
package op

import (
	"fmt"
	"hash"
	"hash/fnv"

	"github.com/chewxy/hm"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// Node is a value of the graph.
type Node = gorgonia.Node

// plain answers what Gorgonia asks about memory: each op returns a new value and
// leaves its inputs alone.
type plain struct{}

func (plain) ReturnsPtr() bool     { return false }
func (plain) CallsExtern() bool    { return false }
func (plain) OverwritesInput() int { return -1 }

// text is the identity of an op: its type and all its fields.
func text(o any) string { return fmt.Sprintf("%#v", o) }

func writeHash(h hash.Hash, o any) { fmt.Fprint(h, text(o)) }

func hashcode(o any) uint32 {
	h := fnv.New32a()
	writeHash(h, o)
	return h.Sum32()
}

// signature makes the type of an op from the ranks of its inputs and its output.
// It must be new each time, for Gorgonia takes it apart.
func signature(ranks ...int) hm.Type {
	of := hm.TypeVariable('a')
	types := make([]hm.Type, len(ranks))
	for i, r := range ranks {
		types[i] = gorgonia.TensorType{Dims: r, Of: of}
	}
	return hm.NewFnType(types...)
}

// shapes returns the shapes of an op's inputs after checking their ranks, which
// Gorgonia's type system does not.
func shapes(o any, in []gorgonia.DimSizer, ranks ...int) ([]tensor.Shape, error) {
	list, err := gorgonia.DimSizersToShapes(in)
	if err != nil {
		return nil, fmt.Errorf("op: %T: %w", o, err)
	}
	if len(list) != len(ranks) {
		return nil, fmt.Errorf("op: %T: %d inputs, need %d", o, len(list), len(ranks))
	}
	for i, s := range list {
		if len(s) != ranks[i] {
			return nil, fmt.Errorf("op: %T: input %d has shape %v, need %d axes", o, i, s, ranks[i])
		}
		for _, n := range s {
			if n < 1 {
				return nil, fmt.Errorf("op: %T: input %d has shape %v with an empty axis", o, i, s)
			}
		}
	}
	return list, nil
}

// misfit is the error of an op whose inputs do not belong together.
func misfit(o any, list []tensor.Shape) error {
	return fmt.Errorf("op: %T: shapes %v do not fit together", o, list)
}

// grid returns the spatial part of an activation's or a kernel's shape.
func grid(s tensor.Shape) [3]int { return [3]int(s[2:5]) }
