// Package optim defines how a network learns: the update rules, their
// hyper-parameters, and the learning rate over time.
//
// The rules follow PyTorch (torch.optim.SGD with nesterov=True and dampening 0,
// torch.optim.AdamW), the schedule nnU-Net's PolyLRScheduler. The functions here
// are the definition of program.Update: package ref calls them, devices are
// checked against it.
package optim

import (
	"fmt"
	"math"

	"noisystudent/model/program"
)

// Hyper holds the hyper-parameters of both rules. SGD reads LR, Momentum and
// WeightDecay; AdamW reads LR, Beta1, Beta2, Eps and WeightDecay.
type Hyper struct {
	LR, Momentum, WeightDecay, Beta1, Beta2, Eps float64
}

// Default returns nnU-Net's SGD (lr 0.01, momentum 0.99, weight decay 3e-5) or
// AdamW as PyTorch sets it but with nnU-Net's weight decay.
func Default(rule program.Rule) Hyper {
	if rule == program.AdamW {
		return Hyper{LR: 1e-3, Beta1: 0.9, Beta2: 0.999, Eps: 1e-8, WeightDecay: 3e-5}
	}
	return Hyper{LR: 0.01, Momentum: 0.99, WeightDecay: 3e-5}
}

// Check reports the first value that the rule cannot work with.
func (h Hyper) Check(rule program.Rule) error {
	in := func(name string, v, lo, hi float64) error {
		if !(v >= lo && v < hi) {
			return fmt.Errorf("optim: check %s: %s is %g, need [%g, %g)", rule, name, v, lo, hi)
		}
		return nil
	}
	list := []error{in("learning rate", h.LR, 0, math.Inf(1)), in("weight decay", h.WeightDecay, 0, math.Inf(1))}
	if rule == program.SGD {
		list = append(list, in("momentum", h.Momentum, 0, 1))
	} else {
		list = append(list, in("beta1", h.Beta1, 0, 1), in("beta2", h.Beta2, 0, 1), in("eps", h.Eps, math.SmallestNonzeroFloat32, 1))
	}
	for _, err := range list {
		if err != nil {
			return err
		}
	}
	return nil
}

// Vector returns the Hyper vector of a program.Update. Step counts the updates of
// a training from 1; AdamW corrects its moments by it. The corrections are taken
// here, in float64, because 1 - beta^t cancels.
func (h Hyper) Vector(rule program.Rule, step int64) []float32 { return h.Append(nil, rule, step) }

// Append appends Vector's values to dst.
func (h Hyper) Append(dst []float32, rule program.Rule, step int64) []float32 {
	if rule == program.SGD {
		return append(dst, float32(h.LR), float32(h.Momentum), float32(h.WeightDecay))
	}
	t := float64(step)
	return append(dst,
		float32(h.LR), float32(h.Beta1), float32(h.Beta2), float32(h.Eps), float32(h.WeightDecay),
		float32(1-math.Pow(h.Beta1, t)), float32(1-math.Pow(h.Beta2, t)))
}

// Poly returns the learning rate of an epoch, lr0 * (1 - epoch/epochs)^exponent.
// nnU-Net's exponent is 0.9.
func Poly(epoch, epochs int, lr0, exponent float64) float64 {
	return lr0 * math.Pow(1-float64(epoch)/float64(epochs), exponent)
}

// WarmUp scales a learning rate linearly over the first steps: step 0 gets
// 1/steps of it, step steps-1 and later all of it.
func WarmUp(step, steps int64, lr float64) float64 {
	if step+1 >= steps {
		return lr
	}
	return lr * float64(step+1) / float64(steps)
}
