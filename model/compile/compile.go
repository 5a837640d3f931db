// Package compile turns a network declared on a graph into a program.
//
// Train and Infer declare (unet, loss), differentiate (op.Gradient) and lower the
// graph to instructions one by one; the table of passes below then fuses them, each
// pass leaving a program that package program accepts and that computes the same
// values. Place gives every buffer its memory on one device. Nothing of the graph
// survives: a Network says which buffer is what. No array is made at any step, so
// that compiling the largest network takes milliseconds; equal arguments give equal
// programs. All functions may be called concurrently on different programs.
//
// Instructions keep the order in which the graph was declared and differentiated,
// where a weight gradient comes before the data gradient of its convolution. Taking
// always the instruction that leaves the fewest bytes alive was tried: on nnU-Net's
// topologies it needs as much memory or up to 5 % more.
package compile

import (
	"fmt"

	"noisystudent/model/loss"
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
	{"upsampling into what reads it", fuseUpsampling},
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
