package compile

import (
	"cmp"
	"fmt"
	"slices"

	"noisystudent/model/op"
	"noisystudent/model/program"
)

// backward writes the instruction of a node that only gradients have.
func (l *lowering) backward(n *op.Node, children []*op.Node, in []program.ID) error {
	switch o := n.Op().(type) {
	case op.ConvWeightGrad:
		l.p.Emit(program.ConvWeightGrad{In: views(in[:1]), DOut: in[1], DWeight: l.new(n, program.Kernel), DBias: l.bias(children[1]), Stride: o.Stride})
	case op.ConvTransposedWeightGrad:
		l.p.Emit(program.ConvTransposedWeightGrad{In: view(in[0]), DOut: in[1], DWeight: l.new(n, program.Kernel), DBias: l.bias(children[1])})
	case op.BiasGrad:
		return l.biasTaken(n)
	case op.ConvDataGrad:
		return l.dataGrad(o, n, in)
	case op.ConvTransposedDataGrad:
		l.p.Emit(program.ConvTransposedDataGrad{DOut: in[0], Weight: in[1], DIn: l.new(n, program.Activation)})
	case op.Slice:
		return fmt.Errorf("slice of something else than a data gradient")
	case op.NormGrad:
		return l.normGrad(o, n, children, in)
	case op.Scale:
		return l.scaleTaken(n)
	case op.DiceCEGrad:
		return l.diceCEGrad(o, n, children, in)
	default:
		if !op.IsAdd(n) {
			return fmt.Errorf("op %T is unknown", o)
		}
		l.p.Emit(program.Add{A: in[0], B: in[1], Out: l.new(n, program.Activation)})
	}
	return nil
}

// bias makes the buffer of the bias gradient that goes with a weight gradient of
// the same dout, None where nobody wants it.
func (l *lowering) bias(dout *op.Node) program.ID {
	for _, user := range l.users[dout] {
		if _, ok := user.Op().(op.BiasGrad); ok {
			if _, done := l.at[user]; !done {
				return l.new(user, program.Vector)
			}
		}
	}
	return program.None
}

// biasTaken accepts a bias gradient whose weight gradient is still to come.
func (l *lowering) biasTaken(n *op.Node) error {
	for _, user := range l.users[op.Children(n)[0]] {
		switch user.Op().(type) {
		case op.ConvWeightGrad, op.ConvTransposedWeightGrad:
			return nil
		}
	}
	return fmt.Errorf("bias gradient without a weight gradient")
}

// dataGrad cuts the gradient of a concatenation into those of its parts.
func (l *lowering) dataGrad(o op.ConvDataGrad, n *op.Node, in []program.ID) error {
	grad := program.ConvDataGrad{DOut: in[0], Weight: in[1], Stride: o.Stride}
	cut := 0
	for _, user := range l.users[n] {
		if _, ok := user.Op().(op.Slice); ok {
			cut++
		}
	}
	if cut == 0 {
		grad.DIn = []program.ID{l.new(n, program.Activation)}
		grad.Channels = []int{n.Shape()[1]}
	} else if err := l.cut(&grad, n, cut); err != nil {
		return err
	}
	grad.Accumulate = make([]bool, len(grad.DIn))
	l.p.Emit(grad)
	return nil
}

// cut lists the slices of a data gradient by their channels; channels that nobody
// wants become a part without a buffer.
func (l *lowering) cut(grad *program.ConvDataGrad, n *op.Node, cut int) error {
	users := slices.Clone(l.users[n])
	if _, kept := l.outputs[n]; kept || cut != len(users) {
		return fmt.Errorf("a data gradient is used both whole and in slices")
	}
	slices.SortStableFunc(users, func(a, b *op.Node) int { return cmp.Compare(a.Op().(op.Slice).From, b.Op().(op.Slice).From) })
	part := func(id program.ID, channels int) {
		grad.DIn, grad.Channels = append(grad.DIn, id), append(grad.Channels, channels)
	}
	next := 0
	for _, user := range users {
		s := user.Op().(op.Slice)
		if s.From < next {
			return fmt.Errorf("slices of a data gradient overlap")
		}
		if s.From > next {
			part(program.None, s.From-next)
		}
		part(l.new(user, program.Activation), s.To-s.From)
		next = s.To
	}
	if all := n.Shape()[1]; next < all {
		part(program.None, all-next)
	}
	return nil
}

// normGrad writes all three gradients of a norm at the first of their nodes.
func (l *lowering) normGrad(o op.NormGrad, n *op.Node, children []*op.Node, in []program.ID) error {
	scale, ok := l.scale[key(in[1:4], o.Eps)]
	if !ok {
		return fmt.Errorf("norm gradient without its norm")
	}
	grad := program.NormGrad{
		Raw: in[0], Moments: in[1], Norm: scale, Gamma: in[2], DOut: in[4], Slope: o.Slope, Eps: o.Eps,
		DIn: program.None, DGamma: program.None, DBeta: program.None,
	}
	for _, user := range l.users[children[4]] {
		u, ok := user.Op().(op.NormGrad)
		if !ok || !slices.Equal(op.Children(user), children) || u.Eps != o.Eps || u.Slope != o.Slope {
			continue
		}
		switch u.Part {
		case op.Data:
			grad.DIn = l.new(user, program.Activation)
		case op.Gamma:
			grad.DGamma = l.new(user, program.Vector)
		case op.Beta:
			grad.DBeta = l.new(user, program.Vector)
		}
	}
	if grad.DIn == program.None || grad.DGamma == program.None || grad.DBeta == program.None {
		return fmt.Errorf("norm gradient %s lacks one of its three parts", l.name(n))
	}
	l.p.Emit(grad)
	return nil
}

// scaleTaken accepts a weight of the loss that gradients take up.
func (l *lowering) scaleTaken(n *op.Node) error {
	if len(l.users[n]) == 0 {
		return fmt.Errorf("scale without a loss gradient")
	}
	for _, user := range l.users[n] {
		if _, ok := user.Op().(op.DiceCEGrad); !ok {
			return fmt.Errorf("scale of something else than a loss gradient")
		}
	}
	return nil
}

func (l *lowering) diceCEGrad(o op.DiceCEGrad, n *op.Node, children []*op.Node, in []program.ID) error {
	seed, weight := in[0], float32(1)
	if s, ok := children[0].Op().(op.Scale); ok {
		seed, weight = l.at[op.Children(children[0])[0]], s.By
	}
	sums, ok := l.sums[key(in[1:], o.DiceCE)]
	if !ok {
		return fmt.Errorf("loss gradient without its loss")
	}
	l.p.Emit(program.DiceCEGrad{
		Logits: in[1], Labels: in[2], Sums: sums, Seed: seed,
		DLogits: l.new(n, program.Activation), Weight: weight, Loss: lossOf(o.DiceCE, in[1:]),
	})
	return nil
}
