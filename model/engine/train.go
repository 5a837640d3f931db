package engine

import (
	"context"
	"fmt"
	"math"

	"noisystudent/model/compile"
	"noisystudent/model/optim"
	"noisystudent/model/program"
	"noisystudent/model/unet"
)

// TrainConfig is a network with its loss and optimiser. Ignore is a label that
// counts nowhere, -1 for none; ClassWeights, empty or one a class, weigh
// cross-entropy. Hyper.LR is not looked at: every step brings its own. ClipNorm 0
// never clips.
type TrainConfig struct {
	Spec         unet.Spec
	Patch        [3]int
	Batch        int
	BatchDice    bool
	Ignore       int
	ClassWeights []float32
	Rule         program.Rule
	Hyper        optim.Hyper
	ClipNorm     float32
	Precision    program.Precision
}

func (c TrainConfig) check() error {
	if err := c.Hyper.Check(c.Rule); err != nil {
		return err
	}
	if c.Ignore == 0 || c.Ignore < -1 || c.Ignore > math.MaxUint8 {
		return fmt.Errorf("ignore label %d, need 1 to 255, or -1 for none: %w", c.Ignore, ErrInput)
	}
	if !(c.ClipNorm >= 0) || math.IsInf(float64(c.ClipNorm), 0) {
		return fmt.Errorf("clip norm %g: %w", c.ClipNorm, ErrInput)
	}
	for i, w := range c.ClassWeights {
		if !(w >= 0) || math.IsInf(float64(w), 0) {
			return fmt.Errorf("weight %g of class %d: %w", w, i, ErrInput)
		}
	}
	return nil
}

// Trainer is a network in training.
type Trainer struct {
	network
	config         TrainConfig
	allowed        [256]bool // labels
	steps, skipped int64
	scale          LossScale
	inARow         int
	torn           bool // weights and memory may be of different steps

	// What a step writes and reads, so that it takes nothing from the heap.
	seed, hyper []float32
	loss, norm  []float32
}

// NewTrainer compiles a training step and takes its memory. Call Init or Restore
// before the first step.
func (e *Engine) NewTrainer(c TrainConfig) (*Trainer, error) {
	if err := c.check(); err != nil {
		return nil, fmt.Errorf("engine: new trainer: %w", err)
	}
	lc := compile.LossConfig{BatchDice: c.BatchDice, Ignore: c.Ignore, ClassWeights: c.ClassWeights}
	p, names, err := compile.Train(c.Spec, c.Batch, c.Patch, lc, c.Rule, c.ClipNorm)
	if err != nil {
		return nil, fmt.Errorf("engine: new trainer: %w", err)
	}
	return e.newTrainer(c, p, names)
}

func (e *Engine) newTrainer(c TrainConfig, p *program.Program, names *compile.Network) (*Trainer, error) {
	n, err := e.load(p, names, c.Precision)
	if err != nil {
		return nil, fmt.Errorf("engine: new trainer: %w", err)
	}
	t := &Trainer{network: n, config: c, seed: make([]float32, 1), loss: make([]float32, 3), norm: make([]float32, 2)}
	for label := range t.allowed {
		t.allowed[label] = label < c.Spec.Classes || label == c.Ignore
	}
	return t, nil
}

// Precision is what the device computes in: that of the TrainConfig, decided.
func (t *Trainer) Precision() program.Precision { return t.program.Precision }

// StepResult is what one step reports: the loss and its two parts, weighted over
// the outputs, before the update, and the norm of all gradients before clipping.
// Scale is the loss scale, 1 where there is none. A skipped step has changed nothing
// but counts and the next step's scale.
type StepResult struct {
	Loss, Dice, CE, GradNorm, Scale float64
	Skipped                         bool
}

// Step runs one optimiser step. A step whose gradient is not finite is skipped and
// counted; where too many are, the error is a *DivergedError, beside the result.
// When ctx ends in the middle, the weights may be of two steps, and Restore must
// follow.
func (t *Trainer) Step(ctx context.Context, images []float32, labels []uint8, lr float64) (StepResult, error) {
	if err := t.bring(t.loaded, images, labels); err != nil {
		return StepResult{}, fmt.Errorf("engine: step: %w", err)
	}
	return t.step(ctx, lr, t.loaded.Run)
}

// step runs on inputs that the device has.
func (t *Trainer) step(ctx context.Context, lr float64, run func(context.Context) error) (StepResult, error) {
	if t.torn {
		return StepResult{}, fmt.Errorf("engine: step: the last step was interrupted, restore a state first: %w", ErrState)
	}
	if err := t.set(lr); err != nil {
		return StepResult{}, fmt.Errorf("engine: step: %w", err)
	}
	t.torn = true // until all updates have run
	if err := run(ctx); err != nil {
		return StepResult{}, fmt.Errorf("engine: step: %w", err)
	}
	t.torn = false
	r, err := t.result()
	if err != nil {
		return StepResult{}, fmt.Errorf("engine: step: %w", err)
	}
	return r, t.count(r)
}

// inputs takes voxels: a Loaded for the run that is next, or where they wait.
type inputs interface {
	Write(id program.ID, src []float32) error
	WriteLabels(id program.ID, src []uint8) error
}

// bring checks the inputs of a step and copies them.
func (t *Trainer) bring(to inputs, images []float32, labels []uint8) error {
	if err := t.fits("images", t.names.Image, len(images)); err != nil {
		return err
	}
	if err := t.fits("labels", t.names.Labels, len(labels)); err != nil {
		return err
	}
	for i, label := range labels {
		if !t.allowed[label] {
			return fmt.Errorf("label %d at %d with %d classes: %w", label, i, t.config.Spec.Classes, ErrInput)
		}
	}
	if err := to.Write(t.names.Image, images); err != nil {
		return err
	}
	return to.WriteLabels(t.names.Labels, labels)
}

// set writes what a step takes beside its inputs.
func (t *Trainer) set(lr float64) error {
	if !(lr >= 0) || math.IsInf(lr, 0) {
		return fmt.Errorf("learning rate %g: %w", lr, ErrInput)
	}
	hyper := t.config.Hyper
	hyper.LR = lr
	t.seed[0] = t.scale.seed()
	t.hyper = hyper.Append(t.hyper[:0], t.config.Rule, t.steps-t.skipped+1)
	for _, in := range [...]struct {
		id     program.ID
		values []float32
	}{
		{t.names.Seed, t.seed}, {t.names.Hyper, t.hyper}, {t.names.ClassWeights, t.config.ClassWeights},
	} {
		if in.id == program.None {
			continue
		}
		if err := t.loaded.Write(in.id, in.values); err != nil {
			return err
		}
	}
	return nil
}

func (t *Trainer) result() (StepResult, error) {
	if err := t.loaded.Read(t.names.Loss, t.loss); err != nil {
		return StepResult{}, err
	}
	if err := t.loaded.Read(t.names.Norm, t.norm); err != nil {
		return StepResult{}, err
	}
	return StepResult{
		Loss: float64(t.loss[0]), Dice: float64(t.loss[1]), CE: float64(t.loss[2]), GradNorm: float64(t.norm[0]),
		Scale: float64(t.seed[0]), Skipped: !finite(float64(t.norm[0])),
	}, nil
}

// The bounds within which skipped steps are an accident: single bad batches are,
// a network whose values have overflowed is not, for it never recovers.
const (
	maxInARow   = 10
	minSteps    = 200
	maxPerMille = 10
)

// count takes account of a step and tells whether training has failed. Steps that were
// skipped for a loss scale that was too large are none of that.
func (t *Trainer) count(r StepResult) error {
	t.steps++
	explained := t.scale.after(r)
	if r.Skipped {
		t.skipped++
	}
	switch {
	case !r.Skipped:
		t.inARow = 0
	case !explained:
		t.inARow++
	}
	often := t.steps >= minSteps && (t.skipped-t.scale.Halved)*1000 > t.steps*maxPerMille
	if t.inARow >= maxInARow || often || !r.Skipped && !finite(r.Loss) {
		return &DivergedError{Steps: t.steps, Skipped: t.skipped, InARow: t.inARow, Loss: r.Loss}
	}
	return nil
}

// DivergedError says that a training cannot go on: ten steps in a row were
// skipped that no loss scale explains, or more than 1 % of at least 200, or the loss has
// overflowed while the gradient was finite.
type DivergedError struct {
	Steps, Skipped int64
	InARow         int
	Loss           float64 // of the last step
}

func (e *DivergedError) Error() string {
	return fmt.Sprintf("engine: training diverged after %d steps: %d skipped for gradients that are not finite, the last %d in a row; last loss %g",
		e.Steps, e.Skipped, e.InARow, e.Loss)
}
