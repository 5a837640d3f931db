package engine

import (
	"math"
	"os"
	"strings"
	"testing"

	"noisystudent/io/iotest"
	"noisystudent/model/compile"
	"noisystudent/model/optim"
	"noisystudent/model/program"
	"noisystudent/model/unet"
)

// tolerance is the fixtures' own, relative to the largest value of an array, but
// no less than floor of it: what a bias before a norm gets is rounding, for its
// gradient is 0.
const (
	tolerance = 1e-4
	floor     = 1e-2
)

var tiny = unet.Spec{
	InChannels: 1, Classes: 4, Features: []int{4, 8, 12},
	Kernels:      [][3]int{{1, 3, 3}, {3, 3, 3}, {3, 3, 3}},
	Strides:      [][3]int{{1, 1, 1}, {1, 2, 2}, {2, 2, 2}},
	ConvsEncoder: []int{2, 2, 2}, ConvsDecoder: []int{2, 2}, DeepSupervision: true,
}

var tinyPatch = [3]int{8, 16, 24}

// the devices that compute.
var computing = []Options{{Device: "ref"}, {Device: "cpu", Threads: 2}}

// tried are the devices that compute, with -short only the one that people use, and
// the card alone where NOISYSTUDENT_CARD names one.
func tried() []Options {
	if card := os.Getenv("NOISYSTUDENT_CARD"); card != "" {
		return []Options{{Device: card}}
	}
	if testing.Short() {
		return computing[1:]
	}
	return computing
}

func open(t *testing.T, o Options) *Engine {
	t.Helper()
	e, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return e
}

func load(t *testing.T, path string) map[string]Tensor {
	t.Helper()
	out := map[string]Tensor{}
	for name, v := range iotest.Tensors(t, path) {
		out[name] = Tensor(v)
	}
	return out
}

func labels(v Tensor) []uint8 {
	out := make([]uint8, len(v.Data))
	for i, x := range v.Data {
		out[i] = uint8(x)
	}
	return out
}

// fixtureTrainer is a Trainer under the fixtures' loss: output weights 2/3 and 1/3,
// and labels of the second output that are not those of the first made smaller.
func fixtureTrainer(t *testing.T, e *Engine, clip float32) (*Trainer, program.ID) {
	t.Helper()
	c := TrainConfig{
		Spec: tiny, Patch: tinyPatch, Batch: 2, BatchDice: true, Ignore: -1,
		Rule: program.SGD, Hyper: optim.Default(program.SGD), ClipNorm: clip, Precision: program.Exact,
	}
	loss := compile.LossConfig{BatchDice: true, Ignore: -1, OutputWeights: []float32{2.0 / 3, 1.0 / 3}}
	p, names, err := compile.Train(tiny, 2, tinyPatch, loss, c.Rule, clip)
	if err != nil {
		t.Fatal(err)
	}
	var kept []program.Instr
	second := program.None
	for _, in := range p.Instrs {
		if l, ok := in.(program.LabelsNearest); ok {
			second = l.Out
		} else {
			kept = append(kept, in)
		}
	}
	p.Instrs = kept
	p.Buffers[second].Role, p.Buffers[second].Name = program.Input, "second labels"
	trainer, err := e.newTrainer(c, p, names)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { trainer.Close() })
	return trainer, second
}

func near(t *testing.T, name string, got, want []float32, floor float64) {
	t.Helper()
	nearWithin(t, name, got, want, tolerance, floor)
}

func nearWithin(t *testing.T, name string, got, want []float32, tolerance, floor float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d values, want %d", name, len(got), len(want))
	}
	largest := floor
	for _, v := range want {
		largest = max(largest, math.Abs(float64(v)))
	}
	for i := range want {
		if d := math.Abs(float64(got[i]) - float64(want[i])); !(d <= tolerance*largest) {
			t.Errorf("%s: value %d is %g, want %g", name, i, got[i], want[i])
			return
		}
	}
}

func TestThreeStepsEqualNnUNet(t *testing.T) {
	forward, after := load(t, "../compile/testdata/tiny_forward.safetensors"), load(t, "testdata/tiny_after3.safetensors")
	history := []StepResult{
		{Loss: 1.7808499336242676, GradNorm: 0.9671589136123657},
		{Loss: 1.7623820304870605, GradNorm: 0.9551409482955933},
		{Loss: 1.73799467086792, GradNorm: 0.9334723949432373},
	}
	for _, o := range tried() {
		trainer, second := fixtureTrainer(t, open(t, o), 12)
		if err := trainer.Restore(State{Weights: load(t, "../compile/testdata/tiny_weights.safetensors")}); err != nil {
			t.Fatal(err)
		}
		for i, want := range history {
			if err := trainer.loaded.WriteLabels(second, labels(forward["y1"])); err != nil {
				t.Fatal(err)
			}
			got, err := trainer.Step(t.Context(), forward["x"].Data, labels(forward["y0"]), optim.Poly(i*100, 1000, 0.01, 0.9))
			if err != nil {
				t.Fatal(err)
			}
			if math.Abs(got.Loss-want.Loss) > tolerance || math.Abs(got.GradNorm-want.GradNorm) > tolerance || math.Abs(got.Dice+got.CE-got.Loss) > 1e-6 {
				t.Errorf("%s: step %d: %+v, want %+v", o.Device, i, got, want)
			}
		}
		s, err := trainer.Snapshot()
		if err != nil {
			t.Fatal(err)
		}
		if len(s.Weights)+len(s.Optimiser) != len(after) {
			t.Errorf("%s: %d weights and %d momenta, want %d together", o.Device, len(s.Weights), len(s.Optimiser), len(after))
		}
		for name, want := range after {
			got := s.Weights[name]
			if strings.HasSuffix(name, ".momentum") {
				got = s.Optimiser[name]
			}
			near(t, o.Device+" "+name, got.Data, want.Data, floor)
		}
	}
}

func TestActiveClipEqualsPyTorch(t *testing.T) {
	forward, after := load(t, "../compile/testdata/tiny_forward.safetensors"), load(t, "testdata/tiny_clip.safetensors")
	start := load(t, "testdata/tiny_after3.safetensors")
	for name := range start {
		if strings.HasSuffix(name, ".momentum") {
			delete(start, name)
		}
	}
	for _, o := range tried() {
		trainer, second := fixtureTrainer(t, open(t, o), 0.5)
		if err := trainer.Restore(State{Weights: start}); err != nil {
			t.Fatal(err)
		}
		if err := trainer.loaded.WriteLabels(second, labels(forward["y1"])); err != nil {
			t.Fatal(err)
		}
		r, err := trainer.Step(t.Context(), forward["x"].Data, labels(forward["y0"]), 0.01)
		if err != nil {
			t.Fatal(err)
		}
		if math.Abs(r.GradNorm-0.9102964401245117) > tolerance || math.Abs(r.Loss-1.7100419998168945) > tolerance {
			t.Errorf("%s: %+v", o.Device, r)
		}
		s, err := trainer.Snapshot()
		if err != nil {
			t.Fatal(err)
		}
		for name, want := range after {
			// The change itself is compared, for it is small beside the weights; 3e-8
			// is two roundings of a weight.
			near(t, o.Device+" change of "+name, minus(s.Weights[name], start[name]), minus(want, start[name]), 3e-8/tolerance)
		}
	}
}

func minus(a, b Tensor) []float32 {
	out := make([]float32, len(a.Data))
	for i := range out {
		out[i] = a.Data[i] - b.Data[i]
	}
	return out
}

func TestLogitsEqualNnUNet(t *testing.T) {
	forward, weights := load(t, "../compile/testdata/tiny_forward.safetensors"), load(t, "../compile/testdata/tiny_weights.safetensors")
	for _, o := range tried() {
		p, err := open(t, o).NewPredictor(PredictConfig{tiny, tinyPatch, 2, program.Exact}, weights)
		if err != nil {
			t.Fatal(err)
		}
		got := make([]float32, len(forward["out0"].Data))
		if err := p.Logits(t.Context(), forward["x"].Data, got); err != nil {
			t.Fatal(err)
		}
		nearWithin(t, o.Device+" logits", got, forward["out0"].Data, 1e-5, 0)
		p.Close()
	}
}
