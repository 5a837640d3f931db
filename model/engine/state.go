package engine

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"

	"noisystudent/model/program"
	"noisystudent/model/random"
	"noisystudent/model/unet"
)

// State is everything that training goes on from. Weights has nnU-Net's
// state-dict names, Optimiser "<param>.momentum" for SGD, "<param>.exp_avg" and
// "<param>.exp_avg_sq" for AdamW; a head that deep supervision leaves out has
// weights and no memory, as in PyTorch. Steps counts all steps, Skipped those that
// changed nothing. Scale is zero but for program.Float16, where a zero one
// starts afresh, and for program.Mixed once a device has computed in that.
type State struct {
	Weights, Optimiser map[string]Tensor
	Steps, Skipped     int64
	Scale              LossScale
}

// Snapshot copies the state out.
func (t *Trainer) Snapshot() (State, error) {
	if t.torn {
		return State{}, fmt.Errorf("engine: snapshot: the last step was interrupted, restore a state first: %w", ErrState)
	}
	s := State{Steps: t.steps, Skipped: t.skipped, Scale: t.scale}
	var err error
	if s.Weights, err = t.tensors(t.names.Params); err != nil {
		return State{}, fmt.Errorf("engine: snapshot weights: %w", err)
	}
	if s.Optimiser, err = t.tensors(t.names.State); err != nil {
		return State{}, fmt.Errorf("engine: snapshot optimiser: %w", err)
	}
	return s, nil
}

// Restore goes back to a state; what follows has the bytes that it had there. An
// empty Optimiser, with no steps taken, starts afresh from weights, as fine-tuning
// does. The state is checked as a whole before anything is written.
func (t *Trainer) Restore(s State) error {
	if err := t.checkState(s); err != nil {
		return fmt.Errorf("engine: restore: %w", err)
	}
	t.torn = true // until all is written
	for name, id := range t.names.State {
		data := s.Optimiser[name].Data
		if data == nil {
			data = make([]float32, t.program.Buffers[id].Len())
		}
		if err := t.loaded.Write(id, data); err != nil {
			return fmt.Errorf("engine: restore %s: %w", name, err)
		}
	}
	for name, id := range t.names.Params {
		if err := t.loaded.Write(id, s.Weights[name].Data); err != nil {
			return fmt.Errorf("engine: restore %s: %w", name, err)
		}
	}
	t.steps, t.skipped, t.inARow, t.torn = s.Steps, s.Skipped, 0, false
	t.scale = LossScale{}
	if t.config.Precision == program.Float16 || t.config.Precision == program.Mixed {
		t.scale = s.Scale
	}
	if t.config.Precision == program.Float16 || t.Precision() == program.Float16 {
		t.scale.Value = cmp.Or(t.scale.Value, firstScale)
	}
	return nil
}

func (t *Trainer) checkState(s State) error {
	if err := checkTensors(t.program, t.names.Params, s.Weights); err != nil {
		return fmt.Errorf("weights: %w", err)
	}
	if s.Skipped < 0 || s.Skipped > s.Steps {
		return fmt.Errorf("%d steps skipped of %d: %w", s.Skipped, s.Steps, ErrState)
	}
	if err := s.Scale.check(s.Skipped); err != nil {
		return err
	}
	if len(s.Optimiser) == 0 && s.Steps == 0 {
		return nil
	}
	if err := checkTensors(t.program, t.names.State, s.Optimiser); err != nil {
		return fmt.Errorf("optimiser: %w", err)
	}
	return nil
}

// checkTensors demands exactly the buffers' names and shapes, and finite values.
func checkTensors(p *program.Program, ids map[string]program.ID, tensors map[string]Tensor) error {
	for _, name := range slices.Sorted(maps.Keys(tensors)) {
		if _, ok := ids[name]; !ok {
			return fmt.Errorf("%s is unknown: %w", name, ErrState)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(ids)) {
		v, ok := tensors[name]
		if !ok {
			return fmt.Errorf("%s is missing: %w", name, ErrState)
		}
		if err := checkTensor(v, p.Buffers[ids[name]].Shape); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

func checkTensor(v Tensor, shape []int) error {
	if !slices.Equal(v.Shape, shape) || len(v.Data) != (program.Buffer{Shape: shape}).Len() {
		return fmt.Errorf("shape %v with %d values, need %v: %w", v.Shape, len(v.Data), shape, ErrState)
	}
	for i, x := range v.Data {
		if !finite(float64(x)) {
			return fmt.Errorf("value %d is %g: %w", i, x, ErrState)
		}
	}
	return nil
}

func finite(x float64) bool { return !math.IsNaN(x) && !math.IsInf(x, 0) }

// Init starts a training from Random weights, with no optimiser memory.
func (t *Trainer) Init(s *random.Stream) error {
	if err := t.Restore(State{Weights: Random(t.config.Spec, s)}); err != nil {
		return fmt.Errorf("engine: init: %w", err)
	}
	return nil
}

// Random draws the weights of a network: kernels from He's normal distribution for a
// leaky slope of 0.01, biases 0, norms 1 and 0. The values depend on the stream and on
// the parameter's name only. Reference: nnU-Net's InitWeights_He.
func Random(spec unet.Spec, s *random.Stream) map[string]Tensor {
	weights := map[string]Tensor{}
	for _, p := range unet.Params(spec) {
		data, own := make([]float32, p.Len()), s.Child(random.Key(p.Name))
		for i := range data {
			data[i] = p.Value
			if p.Fan > 0 {
				data[i] = float32(p.SD() * own.NormalAt(uint64(i)))
			}
		}
		weights[p.Name] = Tensor{p.Shape, data}
	}
	return weights
}
