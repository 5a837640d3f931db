package compile

import (
	"fmt"

	"noisystudent/model/op"
	"noisystudent/model/program"
	"noisystudent/model/unet"
)

// lowering writes one instruction after another for the nodes of a graph.
type lowering struct {
	g       *op.Graph
	p       *program.Program
	outputs map[*op.Node]string // what to keep after a run, and its name
	net     *Network
	at      map[*op.Node]program.ID // where a node's value is
	users   map[*op.Node][]*op.Node // live nodes by input
	scale   map[string]program.ID   // affine map of a norm, by its inputs
	sums    map[string]program.ID   // sums of a loss, by its inputs
}

func newLowering(g *op.Graph) *lowering {
	none := program.None
	return &lowering{
		g: g, p: &program.Program{}, outputs: map[*op.Node]string{},
		net:   &Network{Labels: none, Seed: none, Hyper: none, ClassWeights: none, Loss: none, Norm: none, Params: map[string]program.ID{}},
		at:    map[*op.Node]program.ID{},
		users: map[*op.Node][]*op.Node{}, scale: map[string]program.ID{}, sums: map[string]program.ID{},
	}
}

// input gives a node without an op its buffer.
func (l *lowering) input(n *op.Node, c program.Class, r program.Role) program.ID {
	id := l.p.New(l.g.Name(n), c, r, n.Shape()...)
	l.at[n] = id
	return id
}

func (l *lowering) inputs(net unet.Net) {
	l.net.Image = l.input(net.Image, program.Activation, program.Input)
	for _, n := range net.Params {
		l.net.Params[l.g.Name(n)] = l.input(n, paramClass(n.Shape()), program.Param)
	}
}

// unit ends the lowering; outputs[i] is the node of logits i or nil.
func (l *lowering) unit(logits []*op.Node) *unit {
	for _, n := range logits {
		id := program.None
		if n != nil {
			id = l.at[n]
		}
		l.net.Logits = append(l.net.Logits, id)
	}
	return &unit{l.p, l.net}
}

// lower writes the instructions of all nodes that the outputs need.
func (l *lowering) lower() error {
	nodes := l.live()
	for _, n := range nodes {
		for _, c := range op.Children(n) {
			l.users[c] = append(l.users[c], n)
		}
	}
	for _, n := range nodes {
		if _, done := l.at[n]; done {
			continue
		}
		if err := l.node(n); err != nil {
			return fmt.Errorf("lower node %d (%v): %w", n.ID(), n.Op(), err)
		}
	}
	for n := range l.outputs {
		if _, ok := l.at[n]; !ok {
			return fmt.Errorf("lower: output %s has no value", l.outputs[n])
		}
	}
	return nil
}

// live returns the nodes that the outputs depend on, each after its inputs.
func (l *lowering) live() []*op.Node {
	all := l.g.Nodes()
	needed := map[*op.Node]bool{}
	for n := range l.outputs {
		needed[n] = true
	}
	var list []*op.Node
	for i := len(all) - 1; i >= 0; i-- {
		if !needed[all[i]] {
			continue
		}
		list = append(list, all[i])
		for _, c := range op.Children(all[i]) {
			needed[c] = true
		}
	}
	for i, j := 0, len(list)-1; i < j; i, j = i+1, j-1 {
		list[i], list[j] = list[j], list[i]
	}
	return list
}

// new makes the buffer of a node's value.
func (l *lowering) new(n *op.Node, c program.Class) program.ID {
	role, name := program.Temp, l.name(n)
	if kept, ok := l.outputs[n]; ok {
		role, name = program.Output, kept
	}
	id := l.p.New(name, c, role, n.Shape()...)
	l.at[n] = id
	return id
}

// name calls gradients after what they are gradients of.
func (l *lowering) name(n *op.Node) string {
	if name := l.g.Name(n); name != "" {
		return name
	}
	for _, of := range n.DerivOf() {
		if name := l.g.Name(of); name != "" {
			return name + ".grad"
		}
	}
	return fmt.Sprintf("node.%d", n.ID())
}

// node writes the instruction of one node. Ops that are only a part of an
// instruction are taken up by the others: Slice by ConvDataGrad, BiasGrad by the
// weight gradients, Scale by DiceCEGrad, the three NormGrad by the first of them.
func (l *lowering) node(n *op.Node) error {
	in := make([]program.ID, 0, 5)
	children := op.Children(n)
	for _, c := range children {
		id, ok := l.at[c]
		if !ok {
			id = program.None
		}
		in = append(in, id)
	}
	switch o := n.Op().(type) {
	case nil:
		return fmt.Errorf("input %q has no buffer", n.Name())
	case op.Conv:
		l.p.Emit(program.Conv{In: views(in[:1]), Weight: in[1], Bias: in[2], Out: l.new(n, program.Activation), Moments: program.None, Stride: o.Stride})
	case op.ConvTransposed:
		l.p.Emit(program.ConvTransposed{In: view(in[0]), Weight: in[1], Bias: in[2], Out: l.new(n, program.Activation)})
	case op.Moments:
		l.p.Emit(program.Moments{In: in[0], Out: l.new(n, program.Vector)})
	case op.NormAct:
		l.normAct(o, n, in)
	case op.Concat:
		l.p.Emit(program.Concat{In: views(in), Out: l.new(n, program.Activation)})
	case op.LabelsNearest:
		l.p.Emit(program.LabelsNearest{In: in[0], Out: l.new(n, program.Labels)})
	case op.DiceCE:
		l.diceCE(o, n, in)
	case op.WeightedSum:
		l.p.Emit(program.WeightedSum{Terms: in, Weights: o.Weights, Out: l.new(n, program.Vector)})
	default:
		return l.backward(n, children, in)
	}
	return nil
}

func view(id program.ID) program.View { return program.View{Buf: id, Norm: program.None} }

func views(list []program.ID) []program.View {
	out := make([]program.View, len(list))
	for i, id := range list {
		out[i] = view(id)
	}
	return out
}

// normAct writes the affine map apart, for the gradient needs it too.
func (l *lowering) normAct(o op.NormAct, n *op.Node, in []program.ID) {
	scale := l.p.New(l.name(n)+".scale", program.Vector, program.Temp, l.p.Buffers[in[1]].Shape...)
	l.scale[key(in[1:4], o.Eps)] = scale
	l.p.Emit(program.NormScale{Moments: in[1], Gamma: in[2], Beta: in[3], Out: scale, Eps: o.Eps},
		program.NormAct{In: program.View{Buf: in[0], Norm: scale, Slope: o.Slope}, Out: l.new(n, program.Activation)})
}

// key identifies what instructions share by their operands and attributes.
func key(in []program.ID, attributes ...any) string { return fmt.Sprint(in, attributes) }

func (l *lowering) diceCE(o op.DiceCE, n *op.Node, in []program.ID) {
	s := l.p.Buffers[in[0]].Shape
	sums := l.p.New(l.name(n)+".sums", program.Vector, program.Temp, s[0]*s[1]*3+1)
	l.sums[key(in, o)] = sums
	l.p.Emit(program.DiceCE{Logits: in[0], Labels: in[1], Sums: sums, Out: l.new(n, program.Vector), Loss: lossOf(o, in)})
}

func lossOf(o op.DiceCE, in []program.ID) program.Loss {
	s := program.Loss{BatchDice: o.BatchDice, Ignore: o.Ignore, ClassWeights: program.None}
	if o.Weighted {
		s.ClassWeights = in[2]
	}
	return s
}
