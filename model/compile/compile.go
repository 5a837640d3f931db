// Package compile turns a network declared on a graph into a program.
//
// Train and Infer declare (unet, loss), differentiate (op.Gradient) and lower the
// graph to instructions one by one; the table of passes below then fuses them, each
// pass leaving a program that package program accepts and that computes the same
// values. Place gives every buffer its memory on one device. Nothing of the graph
// survives: a Network says which buffer is what. No array is made at any step, so
// that compiling the largest network takes milliseconds; equal arguments give equal
// programs.
//
// Instructions keep the order in which the graph was declared and differentiated,
// where a weight gradient comes before the data gradient of its convolution. Taking
// always the instruction that leaves the fewest bytes alive was tried: on nnU-Net's
// topologies it needs as much memory or up to 5 % more.
package compile

import (
	"fmt"

	"gorgonia.org/tensor"

	"noisystudent/model/loss"
	"noisystudent/model/op"
	"noisystudent/model/program"
	"noisystudent/model/unet"
)

// Network says which buffers of a program are what; None where there is no such
// buffer.
type Network struct {
	Image program.ID // (N, 1, D, H, W), to be written before a run
	// Logits are listed from the highest resolution down, None for an output that is
	// not computed. Infer has only the highest. In a training program they are Temp:
	// their memory is used again as soon as the loss is known.
	Logits []program.ID
	// Labels (N, D, H, W), Seed (1) = the loss scale, Hyper = optim's vector and
	// ClassWeights (C), None without them, are to be written before a training run.
	Labels, Seed, Hyper, ClassWeights program.ID
	Loss                              program.ID // (3): loss, Dice term, cross-entropy, weighted over the outputs
	Norm                              program.ID // (2): gradient norm, factor
	// Params holds every learned array of the network by its state-dict name, in a
	// training program also those of heads that are not computed: as in PyTorch, where
	// their gradient is None, they have no gradient and no state and never change.
	Params map[string]program.ID
	Grads  map[string]program.ID // by parameter name; scaled by the seed
	// State holds the optimiser's memory: "<param>.momentum", or "<param>.exp_avg" and
	// "<param>.exp_avg_sq".
	State map[string]program.ID
}

// LossConfig chooses the loss of a training program.
type LossConfig = loss.Config

// Train compiles one optimiser step: forward, loss, backward, gradient norm and the
// update of every parameter. clip is the norm that gradients are clipped to, 0: never.
func Train(spec unet.Spec, batch int, patch [3]int, lc LossConfig, rule program.Rule, clip float32) (*program.Program, *Network, error) {
	u, err := train(spec, batch, patch, lc, rule, clip)
	if err != nil {
		return nil, nil, fmt.Errorf("compile: training program: %w", err)
	}
	if err := u.run(passes); err != nil {
		return nil, nil, fmt.Errorf("compile: training program: %w", err)
	}
	return u.Program, u.net, nil
}

// Infer compiles the forward part up to the logits of the highest resolution.
func Infer(spec unet.Spec, batch int, patch [3]int) (*program.Program, *Network, error) {
	u, err := infer(spec, batch, patch)
	if err != nil {
		return nil, nil, fmt.Errorf("compile: inference program: %w", err)
	}
	if err := u.run(passes); err != nil {
		return nil, nil, fmt.Errorf("compile: inference program: %w", err)
	}
	return u.Program, u.net, nil
}

// unit is a program on its way through the passes.
type unit struct {
	*program.Program
	net *Network
}

// pass changes a program without changing what it computes.
type pass struct {
	name string
	do   func(*unit)
}

// passes, in order. Each may rely on what those above it leave behind.
var passes = []pass{
	{"moments into convolutions", fuseMoments},
	{"norm and activation into views", fuseNorms},
	{"concatenation into input lists", fuseConcats},
	{"sums into accumulation", fuseAdds},
	{"gradients in place", inPlace},
	{"cheap activations made again", recompute},
	{"drop unused buffers", drop},
}

func (u *unit) run(list []pass) error {
	if err := program.Check(u.Program); err != nil {
		return fmt.Errorf("after lowering: %w", err)
	}
	for _, p := range list {
		p.do(u)
		if err := program.Check(u.Program); err != nil {
			return fmt.Errorf("after pass %q: %w", p.name, err)
		}
	}
	return nil
}

// infer declares and lowers an inference program.
func infer(spec unet.Spec, batch int, patch [3]int) (*unit, error) {
	g := op.NewGraph(tensor.Float32)
	heads := make([]bool, max(1, spec.Stages()-1))
	heads[0] = true
	net, err := unet.Forward(g, spec, batch, patch, heads)
	if err != nil {
		return nil, err
	}
	l := newLowering(g)
	l.inputs(net)
	l.outputs = map[*op.Node]string{net.Logits[0]: "logits"}
	if err := l.lower(); err != nil {
		return nil, err
	}
	return l.unit(net.Logits[:1]), nil
}

// train declares, differentiates and lowers a training program.
func train(spec unet.Spec, batch int, patch [3]int, lc LossConfig, rule program.Rule, clip float32) (*unit, error) {
	t, err := declareTraining(op.NewGraph(tensor.Float32), spec, batch, patch, lc)
	if err != nil {
		return nil, err
	}
	l := newLowering(t.g)
	l.inputs(t.net)
	l.input(t.labels, program.Labels, program.Input)
	l.input(t.seed, program.Vector, program.Input)
	if t.loss.ClassWeights != nil {
		l.input(t.loss.ClassWeights, program.Vector, program.Input)
	}
	l.outputs[t.loss.Value] = "loss"
	for i, n := range t.grads {
		l.outputs[n] = t.g.Name(t.net.Params[i]) + ".grad"
	}
	if err := l.lower(); err != nil {
		return nil, err
	}
	u := l.unit(t.net.Logits)
	u.net.Labels, u.net.Seed, u.net.Loss = l.at[t.labels], l.at[t.seed], l.at[t.loss.Value]
	if t.loss.ClassWeights != nil {
		u.net.ClassWeights = l.at[t.loss.ClassWeights]
	}
	u.addUpdates(t, l.at, rule, clip)
	u.addIdleParams(spec)
	return u, nil
}

// training is a network with its loss and gradients on a graph.
type training struct {
	g            *op.Graph
	net          unet.Net
	loss         loss.Declared
	labels, seed *op.Node
	grads        []*op.Node // of net.Params
}

func declareTraining(g *op.Graph, spec unet.Spec, batch int, patch [3]int, lc LossConfig) (t training, err error) {
	if err := spec.Check(); err != nil {
		return t, err
	}
	if n := len(lc.ClassWeights); n != 0 && n != spec.Classes {
		return t, fmt.Errorf("%d class weights for %d classes", n, spec.Classes)
	}
	heads, lc, err := activeHeads(spec, lc)
	if err != nil {
		return t, err
	}
	t.g = g
	if t.net, err = unet.Forward(g, spec, batch, patch, heads); err != nil {
		return t, err
	}
	t.labels = g.Input("labels", batch, patch[0], patch[1], patch[2])
	if t.loss, err = loss.Declare(g, t.net.Logits[:spec.Outputs()], t.labels, lc); err != nil {
		return t, err
	}
	t.seed = g.Input("seed", 1)
	if g.Err() != nil {
		return t, g.Err()
	}
	t.grads, err = op.Gradient(t.loss.Value, t.seed, t.net.Params)
	return t, err
}

// activeHeads tells which decoder stages need a head, highest resolution first, and
// fixes the weights of the outputs.
func activeHeads(spec unet.Spec, lc LossConfig) ([]bool, LossConfig, error) {
	weights, err := lc.Weights(spec.Outputs())
	if err != nil {
		return nil, lc, err
	}
	heads := make([]bool, spec.Stages()-1)
	for i, w := range weights {
		heads[i] = w > 0
	}
	lc.OutputWeights = weights
	return heads, lc, nil
}

// addUpdates appends the gradient norm and the update of every parameter that has
// a gradient.
func (u *unit) addUpdates(t training, at map[*op.Node]program.ID, rule program.Rule, clip float32) {
	net := u.net
	net.Grads, net.State = map[string]program.ID{}, map[string]program.ID{}
	net.Hyper = u.New("hyper", program.Vector, program.Input, rule.HyperLen())
	net.Norm = u.New("norm", program.Vector, program.Output, 2)
	norm := program.GradNorm{Seed: net.Seed, Out: net.Norm, MaxNorm: clip}
	var updates []program.Instr
	for i, n := range t.net.Params {
		name, param, grad := t.g.Name(n), at[n], at[t.grads[i]]
		norm.Grads = append(norm.Grads, grad)
		net.Grads[name] = grad
		b := u.Buffers[param]
		var state []program.ID
		for _, suffix := range stateNames(rule) {
			id := u.New(name+suffix, b.Class, program.State, b.Shape...)
			net.State[name+suffix] = id
			state = append(state, id)
		}
		updates = append(updates, program.Update{Rule: rule, Param: param, Grad: grad, State: state, Hyper: net.Hyper, Norm: net.Norm})
	}
	u.Emit(norm)
	u.Emit(updates...)
}

func stateNames(rule program.Rule) []string {
	if rule == program.AdamW {
		return []string{".exp_avg", ".exp_avg_sq"}
	}
	return []string{".momentum"}
}

// addIdleParams adds the parameters that nothing computes with, so that they are
// kept in checkpoints.
func (u *unit) addIdleParams(spec unet.Spec) {
	for _, p := range unet.Params(spec) {
		if _, ok := u.net.Params[p.Name]; !ok {
			u.net.Params[p.Name] = u.New(p.Name, paramClass(p.Shape), program.Param, p.Shape...)
		}
	}
}

func paramClass(shape []int) program.Class {
	if len(shape) == 5 {
		return program.Kernel
	}
	return program.Vector
}
