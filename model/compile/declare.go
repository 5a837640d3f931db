package compile

import (
	"fmt"

	"gorgonia.org/tensor"

	"noisystudent/model/loss"
	"noisystudent/model/op"
	"noisystudent/model/program"
	"noisystudent/model/unet"
)

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
	if !(clip >= 0) {
		return nil, fmt.Errorf("clip norm %g, need 0 or more", clip)
	}
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
