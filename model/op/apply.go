package op

import (
	"fmt"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// Apply adds a node to the graph of its inputs. It returns an error where Gorgonia
// hands back another node than the one asked for (a hash collision).
func Apply(o gorgonia.Op, in ...*Node) (*Node, error) {
	for i, n := range in {
		if n == nil {
			return nil, fmt.Errorf("op: apply %T: input %d is missing", o, i)
		}
	}
	n, err := gorgonia.ApplyOp(o, append([]*Node(nil), in...)...)
	if err != nil {
		return nil, fmt.Errorf("op: apply %T: %w", o, err)
	}
	got := Children(n)
	same := n.Op() != nil && text(n.Op()) == text(o) && len(got) == len(in)
	for i := 0; same && i < len(in); i++ {
		same = got[i] == in[i]
	}
	if !same {
		return nil, fmt.Errorf("op: apply %T: hash collision with node %d (%v); rename an input", o, n.ID(), n.Op())
	}
	return n, nil
}

// Children returns the inputs of a node in argument order, duplicates included.
func Children(n *Node) []*Node {
	var list []*Node
	for it := n.Graph().From(n.ID()); it.Next(); {
		list = append(list, it.Node().(*Node))
	}
	return list
}

// Graph declares a network. The first error stays and makes all later calls
// return nil, so that a declaration reads without error handling; ask Err at its
// end. Names are what the compiled program calls its buffers.
type Graph struct {
	expr  *gorgonia.ExprGraph
	dtype tensor.Dtype
	names map[*Node]string
	taken map[string]bool
	err   error
}

// NewGraph returns an empty graph whose values are of the given element type,
// tensor.Float32 or tensor.Float64.
func NewGraph(dtype tensor.Dtype) *Graph {
	return &Graph{expr: gorgonia.NewGraph(), dtype: dtype, names: map[*Node]string{}, taken: map[string]bool{}}
}

// Input declares a value given from outside. Its name must be new in the graph.
func (g *Graph) Input(name string, shape ...int) *Node {
	if g.err == nil && (name == "" || g.taken[name]) {
		g.err = fmt.Errorf("op: declare input: the name %q is empty or taken", name)
	}
	if g.err != nil {
		return nil
	}
	g.taken[name] = true
	n := gorgonia.NewTensor(g.expr, g.dtype, len(shape), gorgonia.WithShape(shape...), gorgonia.WithName(name))
	if n.Op() != nil || n.Name() != name || g.names[n] != "" {
		g.err = fmt.Errorf("op: declare input %s: hash collision with %s", name, n.Name())
		return nil
	}
	g.names[n] = name
	return n
}

// Apply adds a named node.
func (g *Graph) Apply(name string, o gorgonia.Op, in ...*Node) *Node {
	if g.err != nil {
		return nil
	}
	n, err := Apply(o, in...)
	if err != nil {
		g.err = fmt.Errorf("%w (declaring %s)", err, name)
		return nil
	}
	g.names[n] = name
	return n
}

// Err returns the first error of the declaration.
func (g *Graph) Err() error { return g.err }

// Name returns the name that a node was declared with, or "" for the nodes of
// gradients.
func (g *Graph) Name(n *Node) string { return g.names[n] }

// Nodes returns all nodes, each after its inputs; the order depends only on the
// declaration.
func (g *Graph) Nodes() []*Node { return g.expr.AllNodes() }

// Expr returns Gorgonia's graph, to run small networks on its tape machine.
func (g *Graph) Expr() *gorgonia.ExprGraph { return g.expr }

// chain applies ops until the first error; it keeps symbolic gradients readable.
type chain struct{ err error }

func (c *chain) apply(o gorgonia.Op, in ...*Node) *Node {
	if c.err != nil {
		return nil
	}
	n, err := Apply(o, in...)
	c.err = err
	return n
}

func (c *chain) nodes(list ...*Node) (gorgonia.Nodes, error) {
	if c.err != nil {
		return nil, c.err
	}
	return list, nil
}
