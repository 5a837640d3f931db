package engine

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"noisystudent/model/cpu"
	"noisystudent/model/cuda/nvrtc"
	"noisystudent/model/device"
	"noisystudent/model/optim"
	"noisystudent/model/program"
	"noisystudent/model/random"
	"noisystudent/model/unet"
)

// trials are those that this process has made or found passed, by card.
var trials = struct {
	sync.Mutex
	results map[string]error
}{results: map[string]error{}}

// errApart is the error of a card that has failed its trial.
var errApart = errors.New("it computes otherwise than the CPU, please report it")

// patience is how long a trial may take once its kernels are compiled: it is milliseconds of
// work, and kernels that only inference has are compiled within.
var patience = 2 * time.Minute

// errHung is the error of a card whose trial has not ended. What waits for the card cannot be
// called back and holds its context, so that nothing may be closed and nobody may have the card.
var errHung = errors.New("its trial has not ended, so this process leaves the card alone from now on; look whether nvidia-smi lists it and what else runs there, then start again with --device cpu, or cuda:N to take it without a trial")

// openTried is openCard for those who have not asked for a card: it must have shown that it
// computes as the CPU does. A card that has passed is known by a file beside the compiled
// kernels, for as long as card, driver, compiler and this binary stay the same.
func openTried(o Options, card int) (device.Device, error) {
	d, err := openCard(o, card)
	if err != nil {
		return nil, err
	}
	if err := d.(*shared).tried(); err != nil {
		if errors.Is(err, errHung) {
			return nil, fmt.Errorf("%s: %w", d.Name(), err) // stays open
		}
		return nil, errors.Join(fmt.Errorf("%s has not passed its trial: %w; --device cuda:%d takes it all the same", d.Name(), err, card), d.Close())
	}
	return d, nil
}

func (s *shared) tried() error {
	trials.Lock()
	defer trials.Unlock()
	if err, ok := trials.results[s.Identity()]; ok {
		return err
	}
	file := s.passed()
	_, err := os.Stat(file)
	if err != nil {
		if err = s.try(); err == nil && os.MkdirAll(filepath.Dir(file), 0o755) == nil {
			_ = os.WriteFile(file, []byte(s.Identity()+"\n"), 0o644) // else it is tried again
		}
	}
	if err == nil || errors.Is(err, errApart) { // others, such as too little memory, may pass
		trials.results[s.Identity()] = err
	}
	return err
}

// try is the trial, which is left where it does not end.
func (s *shared) try() error {
	if err := warm(s); err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- try(s) }()
	select {
	case err := <-ended:
		return err
	case <-time.After(patience):
		cards.Lock()
		defer cards.Unlock()
		s.hung = ended
		return errHung
	}
}

// warm compiles the trial's kernels, which takes its time and lets the card compute nothing.
func warm(d device.Device) error {
	for _, p := range []program.Precision{program.Float32, program.Float16} {
		c := trial
		c.Precision = p
		t, err := On(d).NewTrainer(c)
		if err == nil {
			err = t.Close()
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// passed is the file that says that the card has passed with this binary; empty: none can be kept.
func (s *shared) passed() string {
	sum := sha256.Sum256([]byte(s.Identity() + build()))
	folder := nvrtc.Folder(cardOptions.Cache)
	if folder == "" {
		return ""
	}
	return filepath.Join(folder, hex.EncodeToString(sum[:])+".passed")
}

// build is the digest of this process's executable, or a number of its own.
var build = sync.OnceValue(func() string {
	h := sha256.New()
	path, err := os.Executable()
	if err == nil {
		var f *os.File
		if f, err = os.Open(path); err == nil {
			defer f.Close()
			_, err = io.Copy(h, f)
		}
	}
	if err != nil {
		fmt.Fprint(h, os.Getpid())
	}
	return hex.EncodeToString(h.Sum(nil))
})

// trial is a network with every kind of layer and the sizes of its case: milliseconds.
var trial = TrainConfig{
	Spec: unet.Spec{
		InChannels: 1, Classes: 3, Features: []int{8, 16, 32}, Kernels: [][3]int{{1, 3, 3}, {3, 3, 3}, {3, 3, 3}},
		Strides: [][3]int{{1, 1, 1}, {1, 2, 2}, {2, 2, 2}}, ConvsEncoder: []int{2, 2, 2}, ConvsDecoder: []int{2, 2}, DeepSupervision: true,
	},
	Patch: [3]int{4, 16, 24}, Batch: 2, BatchDice: true, Ignore: -1, Rule: program.SGD, Hyper: optim.Default(program.SGD), ClipNorm: 12,
}

// trialRate is large, so that weights show the update.
const trialRate = 1

// try trains and applies a small network on a device and on the CPU, and returns the first
// thing that the device computes otherwise.
func try(d device.Device) error {
	own, err := cpu.Open(cpu.Options{Threads: 1})
	if err != nil {
		return err
	}
	defer own.Close()
	for _, p := range []struct {
		name      string
		precision program.Precision
		within    float64
	}{{"fp32", program.Float32, 1e-2}, {"fp16", program.Float16, 0.25}} { // right kernels are 0.004 and 0.09 away on the emulator
		var results [2]outcome
		for i, d := range []device.Device{d, own} {
			if results[i], err = outcomeOn(On(d), p.precision); err != nil {
				return fmt.Errorf("%s: %w", p.name, err)
			}
		}
		if err := results[0].apart(results[1], p.within); err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
	}
	return nil
}

// outcome is what a device has made of the trial.
type outcome struct {
	step   StepResult
	state  State     // after the step
	scores []float32 // of the first image's middle plane, by the weights before it
}

func outcomeOn(e *Engine, precision program.Precision) (o outcome, err error) {
	c := trial
	c.Precision = precision
	t, err := e.NewTrainer(c)
	if err != nil {
		return o, err
	}
	defer func() { err = errors.Join(err, t.Close()) }()
	if err := t.Init(random.New(0)); err != nil {
		return o, err
	}
	before, err := t.Snapshot()
	if err != nil {
		return o, err
	}
	images, labels := noise(c)
	if o.step, err = t.Step(context.Background(), images, labels, trialRate); err != nil {
		return o, err
	}
	if o.state, err = t.Snapshot(); err != nil {
		return o, err
	}
	o.scores, err = e.middle(c, before.Weights, images[:len(images)/c.Batch])
	return o, err
}

// noise draws images and labels that follow from them.
func noise(c TrainConfig) ([]float32, []uint8) {
	s := random.New(1)
	images := make([]float32, c.Batch*c.Patch[0]*c.Patch[1]*c.Patch[2])
	labels := make([]uint8, len(images))
	for i := range images {
		images[i] = float32(s.Normal())
		labels[i] = uint8(min(max(images[i]+1.5, 0), float32(c.Spec.Classes-1)))
	}
	return images, labels
}

// middle gives the logits (classes, H, W) of an image's middle plane, blended on the device
// where it blends.
func (e *Engine) middle(c TrainConfig, weights map[string]Tensor, image []float32) (scores []float32, err error) {
	p, err := e.NewPredictor(PredictConfig{Spec: c.Spec, Patch: c.Patch, Batch: 1, Precision: c.Precision}, weights)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, p.Close()) }()
	if err := p.Forward(context.Background(), image); err != nil {
		return nil, err
	}
	z := c.Patch[0] / 2
	scores = make([]float32, c.Spec.Classes*c.Patch[1]*c.Patch[2])
	ones := make([]float32, len(image))
	for i := range ones {
		ones[i] = 1
	}
	b, err := p.Blend(device.Blend{Models: 1, Size: [2]int{c.Patch[1], c.Patch[2]}, Weights: ones})
	if errors.Is(err, errors.ErrUnsupported) {
		return scores, p.Plane(z, scores)
	}
	if err != nil {
		return nil, err
	}
	return scores, errors.Join(b.Add(0, [3]int{}, [3]bool{}, 1), b.Scores(z, scores), b.Close())
}

// apart reports what differs, as a whole, by more than a part of its size. Values that are
// nothing but rounding, as gradients before a norm are, count as small beside the gradient.
func (o outcome) apart(want outcome, part float64) error {
	if o.step.Skipped {
		return fmt.Errorf("the gradient is not finite: %w", errApart)
	}
	least := want.step.GradNorm / 30
	errs := []error{
		apart("the loss", []float32{float32(o.step.Loss)}, []float32{float32(want.step.Loss)}, part/5, 0),
		apart("logits", o.scores, want.scores, part/5, 0),
	}
	for _, name := range slices.Sorted(maps.Keys(want.state.Optimiser)) { // of the first step: the gradient
		errs = append(errs, apart(name, o.state.Optimiser[name].Data, want.state.Optimiser[name].Data, part, least))
	}
	for _, name := range slices.Sorted(maps.Keys(want.state.Weights)) {
		errs = append(errs, apart(name, o.state.Weights[name].Data, want.state.Weights[name].Data, part, least))
	}
	return cmp.Or(errs...)
}

// apart reports values whose distance from those wanted is more than a part of the length
// of these, or of the least length.
func apart(name string, got, want []float32, part, least float64) error {
	var distance, length float64
	for i, v := range want {
		distance, length = math.Hypot(distance, float64(got[i]-v)), math.Hypot(length, float64(v))
	}
	if !(distance <= part*max(length, least)) {
		return fmt.Errorf("%s: %.3g away from values of length %.3g: %w", name, distance, length, errApart)
	}
	return nil
}
