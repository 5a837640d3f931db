package engine

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"noisystudent/model/null"
	"noisystudent/model/optim"
	"noisystudent/model/program"
	"noisystudent/model/random"
	"noisystudent/model/unet"
)

// small is the tiny network on a smaller patch, for what needs many steps.
func small(rule program.Rule) TrainConfig {
	spec := tiny
	spec.Features = []int{3, 4, 5}
	return TrainConfig{
		Spec: spec, Patch: [3]int{4, 8, 8}, Batch: 2, BatchDice: true, Ignore: -1,
		Rule: rule, Hyper: optim.Default(rule), ClipNorm: 12,
	}
}

// batch draws images and labels of a step; the labels can be learned from the images.
func batch(c TrainConfig, step uint64) ([]float32, []uint8) {
	s := random.New(3, step)
	n := c.Batch * c.Patch[0] * c.Patch[1] * c.Patch[2]
	images, labels := make([]float32, n), make([]uint8, n)
	for i := range images {
		v := s.Normal()
		images[i] = float32(v)
		labels[i] = uint8(min(max(v+1.5, 0), float64(c.Spec.Classes-1)))
	}
	return images, labels
}

func newTrainer(t *testing.T, o Options, c TrainConfig) *Trainer {
	t.Helper()
	trainer, err := open(t, o).NewTrainer(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { trainer.Close() })
	if err := trainer.Init(random.New(1, 2)); err != nil {
		t.Fatal(err)
	}
	return trainer
}

// train runs the steps [from, to).
func train(t *testing.T, trainer *Trainer, from, to uint64) (results []StepResult) {
	t.Helper()
	for step := from; step < to; step++ {
		images, labels := batch(trainer.config, step)
		r, err := trainer.Step(t.Context(), images, labels, 0.01)
		if err != nil {
			t.Fatal(err)
		}
		results = append(results, r)
	}
	return results
}

// content is a state as bytes.
func content(t *testing.T, trainer *Trainer) []byte {
	t.Helper()
	s, err := trainer.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	binary.Write(&b, binary.LittleEndian, []int64{s.Steps, s.Skipped})
	binary.Write(&b, binary.LittleEndian, s.Scale)
	for _, m := range []map[string]Tensor{s.Weights, s.Optimiser} {
		var names []string
		for name := range m {
			names = append(names, name)
		}
		slices.Sort(names)
		for _, name := range names {
			b.WriteString(name)
			binary.Write(&b, binary.LittleEndian, m[name].Data)
		}
	}
	return b.Bytes()
}

// tensors is content without the counts.
func tensors(t *testing.T, trainer *Trainer) []byte {
	return content(t, trainer)[8*2+binary.Size(LossScale{}):]
}

func TestTrainingLearns(t *testing.T) {
	for _, o := range tried() {
		r := train(t, newTrainer(t, o, small(program.SGD)), 0, 25)
		if first, last := r[0].Loss, r[24].Loss; !(last < first-0.3) {
			t.Errorf("%s: loss went from %g to %g", o.Device, first, last)
		}
	}
}

// TestHalfLearns demands of bfloat16 factors the losses of float32, step by step.
func TestHalfLearns(t *testing.T) {
	c := small(program.SGD)
	want := train(t, newTrainer(t, Options{Device: "cpu"}, c), 0, 25)
	c.Precision = program.Half
	for k, got := range train(t, newTrainer(t, Options{Device: "cpu"}, c), 0, 25) {
		if !(math.Abs(float64(got.Loss-want[k].Loss)) < 0.01) {
			t.Errorf("step %d: the loss is %g, in float32 %g", k, got.Loss, want[k].Loss)
		}
	}
}

// A snapshot taken at step 3 and restored elsewhere gives the bytes of the run that
// went on, also with another number of threads.
func TestResumeGivesTheSameBytes(t *testing.T) {
	for _, rule := range []program.Rule{program.SGD, program.AdamW} {
		for _, pair := range [][2]Options{{{Device: "ref"}, {Device: "ref"}}, {{Device: "cpu", Threads: 1}, {Device: "cpu", Threads: 2}}} {
			first := newTrainer(t, pair[0], small(rule))
			train(t, first, 0, 3)
			state, err := first.Snapshot()
			if err != nil {
				t.Fatal(err)
			}
			at3 := content(t, first)
			train(t, first, 3, 6)
			second := newTrainer(t, pair[1], small(rule))
			train(t, second, 7, 9) // leaves other values behind
			if err := second.Restore(state); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(content(t, second), at3) {
				t.Errorf("%s %s: a restored state reads back with other bytes", rule, pair[0].Device)
			}
			train(t, second, 3, 6)
			if !bytes.Equal(content(t, second), content(t, first)) {
				t.Errorf("%s %s: the resumed run has other bytes", rule, pair[0].Device)
			}
		}
	}
}

// AdamW's correction counts updates, not steps: a skipped step must not move it.
func TestSkippedStepsLeaveNoTrace(t *testing.T) {
	for _, rule := range []program.Rule{program.SGD, program.AdamW} {
		for _, o := range tried() {
			trainer, plain := newTrainer(t, o, small(rule)), newTrainer(t, o, small(rule))
			train(t, trainer, 0, 2)
			train(t, plain, 0, 2)
			images, labels := batch(trainer.config, 2)
			images[77] = float32(math.NaN())
			r, err := trainer.Step(t.Context(), images, labels, 0.01)
			if err != nil || !r.Skipped {
				t.Fatalf("%s: a step on NaN gives %+v, %v", o.Device, r, err)
			}
			if got, want := tensors(t, trainer), tensors(t, plain); !bytes.Equal(got, want) {
				t.Errorf("%s %s: a skipped step changed the state", o.Device, rule)
			}
			train(t, trainer, 3, 4)
			train(t, plain, 3, 4)
			if got, want := tensors(t, trainer), tensors(t, plain); !bytes.Equal(got, want) {
				t.Errorf("%s %s: a skipped step changed the one after it", o.Device, rule)
			}
			if s, err := trainer.Snapshot(); err != nil || s.Steps != 4 || s.Skipped != 1 {
				t.Errorf("%d steps, %d skipped, %v", s.Steps, s.Skipped, err)
			}
		}
	}
}

func TestDivergence(t *testing.T) {
	good, bad := StepResult{Loss: 1}, StepResult{Loss: math.NaN(), Skipped: true}
	for name, c := range map[string]struct {
		steps, skipped int64
		results        []StepResult
		diverged       bool
	}{
		"one bad step":             {0, 0, []StepResult{good, bad, good}, false},
		"nine in a row":            {0, 0, slices.Repeat([]StepResult{bad}, 9), false},
		"ten in a row":             {0, 0, slices.Repeat([]StepResult{bad}, 10), true},
		"nine, a good one, nine":   {0, 0, slices.Concat(slices.Repeat([]StepResult{bad}, 9), []StepResult{good}, slices.Repeat([]StepResult{bad}, 9)), false},
		"2 of 200":                 {198, 1, []StepResult{good, bad}, false},
		"3 of 200":                 {198, 2, []StepResult{good, bad}, true},
		"3 of 199":                 {197, 2, []StepResult{good, bad}, false},
		"10 of 1000":               {998, 9, []StepResult{good, bad}, false},
		"11 of 1000":               {999, 10, []StepResult{bad}, true},
		"loss overflows by itself": {5, 0, []StepResult{{Loss: math.Inf(1), GradNorm: 1}}, true},
	} {
		trainer := &Trainer{steps: c.steps, skipped: c.skipped}
		var err error
		for i, r := range c.results {
			if err != nil {
				t.Errorf("%s: diverged before result %d", name, i)
			}
			err = trainer.count(r)
		}
		var diverged *DivergedError
		if errors.As(err, &diverged) != c.diverged {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// An interrupted step may have updated half of the weights.
func TestInterruptedStepIsNotSaved(t *testing.T) {
	trainer := newTrainer(t, Options{Device: "ref"}, small(program.SGD))
	before, err := trainer.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	stop()
	images, labels := batch(trainer.config, 0)
	if _, err := trainer.Step(ctx, images, labels, 0.01); !errors.Is(err, context.Canceled) {
		t.Errorf("an ended context gives %v", err)
	}
	if _, err := trainer.Snapshot(); !errors.Is(err, ErrState) {
		t.Errorf("a torn state is given out: %v", err)
	}
	if _, err := trainer.Step(t.Context(), images, labels, 0.01); !errors.Is(err, ErrState) {
		t.Errorf("a torn state is trained: %v", err)
	}
	if err := trainer.Restore(before); err != nil {
		t.Fatal(err)
	}
	train(t, trainer, 0, 1)
}

func TestInit(t *testing.T) {
	c := small(program.SGD)
	c.Spec.Features = []int{16, 16, 16}
	a, b := newTrainer(t, Options{Device: "ref"}, c), newTrainer(t, Options{Device: "cpu", Threads: 2}, c)
	if !bytes.Equal(content(t, a), content(t, b)) {
		t.Error("two devices start from different weights")
	}
	s, err := a.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	const first = "encoder.stages.0.0.convs.0.conv.weight"
	for i, v := range s.Weights[first].Data {
		sd := math.Sqrt(2 / (1 + 0.01*0.01) / 9)
		if want := float32(sd * random.New(1, 2, random.Key(first)).NormalAt(uint64(i))); v != want {
			t.Fatalf("%s: value %d is %g, want %g", first, i, v, want)
		}
	}
	for name, want := range map[string]float32{
		"encoder.stages.1.0.convs.0.conv.bias": 0, "encoder.stages.1.0.convs.0.norm.weight": 1,
		"encoder.stages.1.0.convs.0.norm.bias": 0, "decoder.transpconvs.0.bias": 0,
	} {
		for _, v := range s.Weights[name].Data {
			if v != want {
				t.Errorf("%s starts at %g, want %g", name, v, want)
			}
		}
	}
	for name, fan := range map[string]float64{"encoder.stages.1.0.convs.1.conv.weight": 16 * 27, "decoder.transpconvs.0.weight": 16 * 8} {
		mean, square, n := 0.0, 0.0, float64(len(s.Weights[name].Data))
		for _, v := range s.Weights[name].Data {
			mean, square = mean+float64(v)/n, square+float64(v)*float64(v)/n
		}
		if want := 2 / (1 + 0.01*0.01) / fan; math.Abs(square/want-1) > 0.1 || mean*mean > 0.01*want {
			t.Errorf("%s: mean %g, variance %g, want 0 and %g", name, mean, square, want)
		}
	}
}

func TestRestoreRefuses(t *testing.T) {
	trainer := newTrainer(t, Options{Device: "ref"}, small(program.SGD))
	train(t, trainer, 0, 1)
	before := content(t, trainer)
	const conv = "encoder.stages.0.0.convs.0.conv.weight"
	for name, spoil := range map[string]func(s *State){
		"a weight is missing":       func(s *State) { delete(s.Weights, conv) },
		"a weight is unknown":       func(s *State) { s.Weights["more"] = Tensor{[]int{1}, []float32{1}} },
		"a shape is another":        func(s *State) { s.Weights[conv] = Tensor{[]int{3, 1, 1, 9, 1}, s.Weights[conv].Data} },
		"values are missing":        func(s *State) { s.Weights[conv] = Tensor{s.Weights[conv].Shape, nil} },
		"a value is NaN":            func(s *State) { s.Weights[conv].Data[3] = float32(math.NaN()) },
		"a momentum is infinite":    func(s *State) { s.Optimiser[conv+".momentum"].Data[0] = float32(math.Inf(1)) },
		"a momentum is missing":     func(s *State) { delete(s.Optimiser, conv+".momentum") },
		"memory of another rule":    func(s *State) { s.Optimiser[conv+".exp_avg"] = s.Optimiser[conv+".momentum"] },
		"no memory after steps":     func(s *State) { s.Optimiser = nil },
		"more skipped than steps":   func(s *State) { s.Skipped = 2 },
		"a negative count of steps": func(s *State) { s.Steps = -1 },
	} {
		s, err := trainer.Snapshot()
		if err != nil {
			t.Fatal(err)
		}
		spoil(&s)
		if err := trainer.Restore(s); !errors.Is(err, ErrState) {
			t.Errorf("%s: %v", name, err)
		}
		if !bytes.Equal(content(t, trainer), before) {
			t.Fatalf("%s: the refused state was partly taken", name)
		}
	}
}

func TestStepRefuses(t *testing.T) {
	c := small(program.SGD)
	c.Ignore = 9
	trainer := newTrainer(t, Options{Device: "ref"}, c)
	images, labels := batch(c, 0)
	labels[5] = 9 // the ignore label is no error
	if _, err := trainer.Step(t.Context(), images, labels, 0.01); err != nil {
		t.Error(err)
	}
	wrong := slices.Clone(labels)
	wrong[7] = 4
	for name, step := range map[string]func() (StepResult, error){
		"few images":     func() (StepResult, error) { return trainer.Step(t.Context(), images[1:], labels, 0.01) },
		"few labels":     func() (StepResult, error) { return trainer.Step(t.Context(), images, labels[1:], 0.01) },
		"a wrong label":  func() (StepResult, error) { return trainer.Step(t.Context(), images, wrong, 0.01) },
		"no rate":        func() (StepResult, error) { return trainer.Step(t.Context(), images, labels, math.NaN()) },
		"a minus rate":   func() (StepResult, error) { return trainer.Step(t.Context(), images, labels, -1) },
		"a rate too big": func() (StepResult, error) { return trainer.Step(t.Context(), images, labels, math.Inf(1)) },
	} {
		if _, err := step(); !errors.Is(err, ErrInput) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestNewTrainerRefuses(t *testing.T) {
	e := open(t, Options{Device: "null"})
	for name, spoil := range map[string]func(c *TrainConfig){
		"a patch that does not divide": func(c *TrainConfig) { c.Patch[1] = 7 },
		"an empty batch":               func(c *TrainConfig) { c.Batch = 0 },
		"the background ignored":       func(c *TrainConfig) { c.Ignore = 0 },
		"an ignore label of 256":       func(c *TrainConfig) { c.Ignore = 256 },
		"a negative clip":              func(c *TrainConfig) { c.ClipNorm = -1 },
		"a weight that is NaN":         func(c *TrainConfig) { c.ClassWeights = []float32{1, 1, 1, float32(math.NaN())} },
		"too few class weights":        func(c *TrainConfig) { c.ClassWeights = []float32{1} },
		"a momentum of 1":              func(c *TrainConfig) { c.Hyper.Momentum = 1 },
		"an unknown rule":              func(c *TrainConfig) { c.Rule = 7 },
		"no stages":                    func(c *TrainConfig) { c.Spec = unet.Spec{} },
	} {
		c := small(program.SGD)
		spoil(&c)
		if _, err := e.NewTrainer(c); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
}

// Class weights and an ignore label reach the device.
func TestLossOptionsCount(t *testing.T) {
	for _, o := range tried() {
		seen := map[float64]string{}
		for name, change := range map[string]func(c *TrainConfig){
			"plain":         func(c *TrainConfig) {},
			"class weights": func(c *TrainConfig) { c.ClassWeights = []float32{1, 2, 3, 0.5} },
			"ignore":        func(c *TrainConfig) { c.Ignore = 3 },
			"sample dice":   func(c *TrainConfig) { c.BatchDice = false },
		} {
			c := small(program.SGD)
			change(&c)
			loss := train(t, newTrainer(t, o, c), 0, 1)[0].Loss
			if other, ok := seen[loss]; ok {
				t.Errorf("%s: %s and %s give one loss", o.Device, name, other)
			}
			seen[loss] = name
		}
	}
}

func TestPredictor(t *testing.T) {
	c := small(program.SGD)
	for _, o := range tried() {
		trainer := newTrainer(t, o, c)
		before, err := trainer.Snapshot()
		if err != nil {
			t.Fatal(err)
		}
		train(t, trainer, 0, 5)
		after, err := trainer.Snapshot()
		if err != nil {
			t.Fatal(err)
		}
		p, err := open(t, o).NewPredictor(PredictConfig{c.Spec, c.Patch, c.Batch, program.Exact}, before.Weights)
		if err != nil {
			t.Fatal(err)
		}
		images, _ := batch(c, 0)
		first, second, again := make([]float32, 4*len(images)), make([]float32, 4*len(images)), make([]float32, 4*len(images))
		err = errors.Join(p.Logits(t.Context(), images, first), p.SetWeights(after.Weights), p.Logits(t.Context(), images, second),
			p.SetWeights(before.Weights), p.Logits(t.Context(), images, again))
		if err != nil {
			t.Fatal(err)
		}
		if slices.Equal(first, second) || !slices.Equal(first, again) {
			t.Errorf("%s: weights are not what logits depend on", o.Device)
		}
		delete(after.Weights, "decoder.seg_layers.0.bias")
		if err := p.SetWeights(after.Weights); !errors.Is(err, ErrState) {
			t.Errorf("%s: missing weights: %v", o.Device, err)
		}
		before.Weights["more"] = Tensor{[]int{1}, []float32{1}}
		if err := p.SetWeights(before.Weights); !errors.Is(err, ErrState) || !strings.Contains(err.Error(), "more is unknown") {
			t.Errorf("%s: unknown weights: %v", o.Device, err)
		}
		if err := p.Logits(t.Context(), images[1:], first); !errors.Is(err, ErrInput) {
			t.Errorf("%s: few images: %v", o.Device, err)
		}
		if err := p.Logits(t.Context(), images, first[1:]); !errors.Is(err, ErrInput) {
			t.Errorf("%s: few logits: %v", o.Device, err)
		}
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestAllocations demands that a step and a tile take nothing from Go's heap, and that
// planes are those of Logits.
func TestAllocations(t *testing.T) {
	o := Options{Device: "cpu", Threads: 2}
	for _, rule := range []program.Rule{program.SGD, program.AdamW} {
		c := small(rule)
		trainer := newTrainer(t, o, c)
		images, labels := batch(c, 0)
		step := func() {
			if _, err := trainer.Step(t.Context(), images, labels, 1e-3); err != nil {
				t.Fatal(err)
			}
		}
		if n := testing.AllocsPerRun(5, step); n > 0 {
			t.Errorf("%s: %g allocations a step", rule, n)
		}
	}
	c := small(program.SGD)
	before, err := newTrainer(t, o, c).Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	p, err := open(t, o).NewPredictor(PredictConfig{c.Spec, c.Patch, c.Batch, program.Float32}, before.Weights)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	images, _ := batch(c, 0)
	depth, area := c.Patch[0], c.Patch[1]*c.Patch[2]
	logits, plane := make([]float32, c.Spec.Classes*len(images)), make([]float32, c.Spec.Classes*area)
	tile := func() {
		if err := errors.Join(p.Logits(t.Context(), images, logits), p.Plane(depth, plane)); err != nil {
			t.Fatal(err)
		}
	}
	if n := testing.AllocsPerRun(5, tile); n > 0 {
		t.Errorf("%g allocations a tile", n)
	}
	for i, v := range plane { // the first plane of the second element of the batch
		if want := logits[((c.Spec.Classes+i/area)*depth)*area+i%area]; v != want {
			t.Fatalf("element %d of a plane is %g, want %g", i, v, want)
		}
	}
}

func TestOpen(t *testing.T) {
	if _, err := Open(Options{Device: "abacus"}); !errors.Is(err, ErrDevice) || !strings.Contains(err.Error(), "auto, cpu, cuda, ref, null, cuda:N") {
		t.Errorf("an unknown device gives %v", err)
	}
	if _, err := Open(Options{Device: "cpu", Threads: -1}); err == nil {
		t.Error("a negative number of threads is accepted")
	}
	for name, known := range map[string]bool{
		"": true, "auto": true, "cuda": true, "cuda:0": true, "cuda:12": true, "cpu": true, "null": true,
		"cuda:": false, "cuda:-1": false, "cuda:x": false, "cpu:0": false, "auto:1": false, "Cuda": false, ":1": false,
	} {
		if got := Known(name); got != known {
			t.Errorf("%q is known: %v", name, got)
		}
	}
	auto, cpu := open(t, Options{}), open(t, Options{Device: "cpu"})
	if auto.Passed() != nil && auto.Name() != cpu.Name() || auto.Passed() == nil && !strings.HasPrefix(auto.Name(), "cuda") {
		t.Errorf("auto opens %q, cpu %q, for %v", auto.Name(), cpu.Name(), auto.Passed())
	}
	if cpu.Passed() != nil {
		t.Errorf("nobody asked for a card: %v", cpu.Passed())
	}
	if _, err := Open(Options{Device: "cuda:99"}); err == nil || !strings.Contains(err.Error(), "cuda:99") {
		t.Errorf("a card that no machine has gives %v", err)
	}
}

// flare is the network that nnU-Net plans for FLARE22's geometry, with 16 features.
var flare = unet.Spec{
	InChannels: 1, Classes: 14, Features: []int{16, 32, 64, 128, 256, 320},
	Kernels:      [][3]int{{1, 3, 3}, {3, 3, 3}, {3, 3, 3}, {3, 3, 3}, {3, 3, 3}, {3, 3, 3}},
	Strides:      [][3]int{{1, 1, 1}, {1, 2, 2}, {2, 2, 2}, {2, 2, 2}, {2, 2, 2}, {1, 2, 2}},
	ConvsEncoder: []int{2, 2, 2, 2, 2, 2}, ConvsDecoder: []int{2, 2, 2, 2, 2}, DeepSupervision: true,
}

// The plan of the real network is walked without arithmetic: no value is read after
// its memory went to another, over two steps, and the arena has next to no gaps.
func TestPlanOfTheRealNetwork(t *testing.T) {
	e := open(t, Options{Device: "null"})
	c := TrainConfig{
		Spec: flare, Patch: [3]int{40, 224, 192}, Batch: 2, BatchDice: true, Ignore: -1,
		Rule: program.SGD, Hyper: optim.Default(program.SGD), ClipNorm: 12,
	}
	trainer, err := e.NewTrainer(c)
	if err != nil {
		t.Fatal(err)
	}
	n := 2 * 40 * 224 * 192
	images, labels := make([]float32, n), make([]uint8, n)
	for range 2 {
		if _, err := trainer.Step(t.Context(), images, labels, 0.01); err != nil {
			t.Fatal(err)
		}
	}
	report := trainer.loaded.(*null.Loaded).Report()
	if report.Reach > trainer.ArenaBytes() || float64(trainer.ArenaBytes()) > 1.1*float64(report.Live) {
		t.Errorf("arena of %d bytes, %+v", trainer.ArenaBytes(), report)
	}
	t.Logf("training batch 2: arena %.2f GB, %.2f GB alive in %s", gb(trainer.ArenaBytes()), gb(report.Live), report.At)
}

func gb(n int64) float64 { return float64(n) / 1e9 }
