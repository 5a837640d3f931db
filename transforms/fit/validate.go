package fit

import (
	"context"
	"fmt"

	"noisystudent/model/engine"
	"noisystudent/transforms/augment"
	"noisystudent/transforms/patch"
	"noisystudent/transforms/resample"
)

// validationPart of the steps of an epoch are batches of validation, rounded up:
// nnU-Net's 50 to 250.
const validationPart = 5

// emaPast is the weight of what was before in the moving average of the pseudo-DSC.
const emaPast = 0.9

// validator applies a network in training to patches of its fold's validation cases.
type validator struct {
	predictor *engine.Predictor
	cache     *patch.Cache
	plane     []float32 // logits (classes, H, W)
}

// hits counts voxels of each class, background included, over an epoch's validation.
type hits struct{ both, said, true []int64 }

// pseudoDSC is nnU-Net's online estimate: the DSC of each foreground class from the voxels
// of all patches together, and the mean over those classes that are in the labels or the
// prediction. ok is false where none is.
func (h hits) pseudoDSC() (dsc float64, ok bool) {
	n := 0
	for c := 1; c < len(h.both); c++ {
		if all := h.said[c] + h.true[c]; all > 0 {
			dsc += 2 * float64(h.both[c]) / float64(all)
			n++
		}
	}
	return dsc / float64(max(n, 1)), n > 0
}

// ready takes the memory of the network, once, and sets its weights.
func (v *validator) ready(s *session, weights map[string]engine.Tensor) error {
	if v.predictor != nil {
		return v.predictor.SetWeights(weights)
	}
	config, err := trainConfig(s.job)
	if err != nil {
		return err
	}
	p := s.job.Plan
	v.plane = make([]float32, p.Classes()*p.PatchSize[1]*p.PatchSize[2])
	v.cache = patch.NewCache(func(ctx context.Context, slot patch.Slot) (patch.Case, error) {
		ref := s.job.Validation[slot.Index]
		c, err := resample.OpenCase(ctx, s.store, ref.Prepared)
		if err != nil {
			return nil, fmt.Errorf("case %s: %w; run `noisystudent preprocess` again", ref.Case, err)
		}
		return c, nil
	}, s.options.Memory/int64(max(s.options.Jobs, 1))/8)
	v.predictor, err = s.engine.NewPredictor(engine.PredictConfig{Spec: p.Network, Patch: p.PatchSize, Batch: 1, Precision: config.Precision}, weights)
	return err
}

// validate fills in the pseudo-DSC of an epoch and its moving average, on patches that are
// drawn anew each epoch as training draws its own, but not augmented. Without cases, or
// where no patch has an organ, it leaves the record as it is.
func (s *session) validate(ctx context.Context, e *Epoch) error {
	if len(s.job.Validation) == 0 {
		return nil
	}
	if err := s.validator.ready(s, s.predicting()); err != nil {
		return err
	}
	steps := s.validationSteps()
	h, err := s.count(ctx, e.Epoch, steps)
	if err != nil {
		return fmt.Errorf("validation: %w", err)
	}
	var ok bool
	if e.DSC, ok = h.pseudoDSC(); !ok {
		return nil
	}
	e.Validated, e.EMA = int64(steps*s.job.Plan.BatchSize), e.DSC
	if last, found := lastValidated(s.history); found {
		e.EMA = emaPast*last.EMA + (1-emaPast)*e.DSC
	}
	return nil
}

func (s *session) validationSteps() int {
	return (s.job.Plan.Training.StepsPerEpoch + validationPart - 1) / validationPart
}

// count labels an epoch's patches and compares them with their labels.
func (s *session) count(ctx context.Context, epoch int64, steps int) (h hits, err error) {
	sampler, table, classes := s.sampler(), augment.Table{}, s.job.Plan.Classes()
	sampler.Role, sampler.StepsPerEpoch = "validate "+sampler.Role, steps
	sampler.Labelled, sampler.Pseudo = len(s.job.Validation), 0
	if table, err = augment.Lookup("none"); err != nil {
		return h, err
	}
	first := epoch * int64(steps)
	loader, err := patch.NewLoader(ctx, sampler, table, s.validator.cache.Open, first, first+int64(steps), patch.Options{Workers: max(s.options.Threads, 1)})
	if err != nil {
		return h, err
	}
	defer loader.Close()
	h = hits{make([]int64, classes), make([]int64, classes), make([]int64, classes)}
	for range steps {
		b, err := loader.Next()
		if err != nil {
			return h, err
		}
		voxels := len(b.Labels) / len(b.Slots)
		for i := range b.Slots {
			if err := s.validator.add(ctx, h, b.Images[i*voxels:(i+1)*voxels], b.Labels[i*voxels:(i+1)*voxels]); err != nil {
				return h, err
			}
		}
	}
	return h, nil
}

// add labels one patch. Labels beyond the classes are ignored voxels.
func (v *validator) add(ctx context.Context, h hits, image []float32, labels []uint8) error {
	if err := v.predictor.Forward(ctx, image); err != nil {
		return err
	}
	area := len(v.plane) / len(h.both)
	for z := range len(labels) / area {
		if err := v.predictor.Plane(z, v.plane); err != nil {
			return err
		}
		for i, label := range labels[z*area : (z+1)*area] {
			if int(label) >= len(h.both) {
				continue
			}
			best := 0
			for c := 1; c < len(h.both); c++ {
				if v.plane[c*area+i] > v.plane[best*area+i] {
					best = c
				}
			}
			h.true[label]++
			h.said[best]++
			if best == int(label) {
				h.both[label]++
			}
		}
	}
	return nil
}

func (v *validator) close() {
	if v.predictor != nil {
		v.predictor.Close()
	}
}

// lastValidated returns the last epoch of a history that has a pseudo-DSC.
func lastValidated(history []Epoch) (Epoch, bool) {
	for i := len(history) - 1; i >= 0; i-- {
		if history[i].Validated > 0 {
			return history[i], true
		}
	}
	return Epoch{}, false
}

// Best returns how many epochs were done when the moving average of the pseudo-DSC was
// highest, the first time, and what it is now; 0 where nothing was validated. The
// checkpoint of that epoch is kept.
func Best(history []Epoch) (ema float64, epochs int64) {
	for _, e := range history {
		if e.Validated == 0 {
			continue
		}
		ema = e.EMA
		if epochs == 0 || ema > history[epochs-1].EMA {
			epochs = e.Epoch + 1
		}
	}
	return ema, epochs
}
