package op

import (
	"fmt"

	"gorgonia.org/gorgonia"
)

// Gradient adds the gradients of output with respect to each of wrt to the graph
// and returns them in that order. seed is the gradient of output itself. Call it
// once on a graph, after the whole forward part is declared; output must depend on
// every element of wrt.
func Gradient(output, seed *Node, wrt []*Node) ([]*Node, error) {
	for i, n := range append([]*Node{output, seed}, wrt...) {
		if n == nil {
			return nil, fmt.Errorf("op: differentiate: node %d is missing", i)
		}
	}
	if output.Deriv() != nil {
		return nil, fmt.Errorf("op: differentiate: the graph is differentiated already")
	}
	forward := output.Graph().AllNodes()
	grads, err := gorgonia.Backpropagate(gorgonia.Nodes{output}, gorgonia.Nodes{seed}, wrt)
	if err != nil {
		return nil, fmt.Errorf("op: differentiate: %w", err)
	}
	if err := checkSums(forward, output); err != nil {
		return nil, err
	}
	return grads, nil
}

// IsAdd tells whether a node is a sum of two equal shapes, the only op that
// Gorgonia adds by itself: it collects the gradients of a value that is used more
// than once.
func IsAdd(n *Node) bool {
	o, ok := n.Op().(gorgonia.BinaryOp)
	return ok && o.String() == "+ false"
}

// checkSums compares the number of sums with the number that the uses of the
// forward nodes ask for. Sums are made by Gorgonia, outside Apply's guard; two that
// were merged by a hash collision are one too few.
func checkSums(forward []*Node, output *Node) error {
	parts := map[*Node]int{output: 1}
	for _, n := range forward {
		o, ok := n.Op().(gorgonia.SDOp)
		if !ok || n.Deriv() == nil {
			continue
		}
		children := Children(n)
		for i, yes := range o.DiffWRT(len(children)) {
			if yes {
				parts[children[i]]++
			}
		}
	}
	want, got := 0, 0
	for n, k := range parts {
		if n.Deriv() != nil {
			want += k - 1
		}
	}
	for _, n := range output.Graph().AllNodes() {
		if IsAdd(n) {
			got++
		}
	}
	if got != want {
		return fmt.Errorf("op: differentiate: %d sums of gradients, need %d: hash collision; rename an input", got, want)
	}
	return nil
}
