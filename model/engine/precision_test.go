package engine

import (
	"math"
	"testing"

	"noisystudent/model/optim"
	"noisystudent/model/program"
	"noisystudent/model/unet"
)

// footprint has the shape of the paper's low-footprint network on a smaller patch.
func footprint(p program.Precision) TrainConfig {
	return TrainConfig{
		Spec: unet.Spec{
			InChannels: 1, Classes: 14, Features: []int{16, 32, 64, 64},
			Kernels:      [][3]int{{1, 3, 3}, {3, 3, 3}, {3, 3, 3}, {3, 3, 3}},
			Strides:      [][3]int{{1, 1, 1}, {1, 2, 2}, {2, 2, 2}, {2, 2, 2}},
			ConvsEncoder: []int{2, 2, 2, 2}, ConvsDecoder: []int{2, 2, 2}, DeepSupervision: true,
		},
		Patch: [3]int{8, 48, 56}, Batch: 1, BatchDice: true, Ignore: -1,
		Rule: program.SGD, Hyper: optim.Default(program.SGD), ClipNorm: 12, Precision: p,
	}
}

// TestFloat32IsNearExact trains with transformed products and without, then compares
// the logits of one state: relative L2 error at most 1e-4, labels equal in 99.99 % of
// voxels.
func TestFloat32IsNearExact(t *testing.T) {
	if testing.Short() {
		t.Skip("short: whole steps of a wide network")
	}
	o := Options{Device: "cpu", Threads: 2}
	exact, fast := newTrainer(t, o, footprint(program.Exact)), newTrainer(t, o, footprint(program.Float32))
	want, got := train(t, exact, 0, 4), train(t, fast, 0, 4)
	for i := range want {
		if d := math.Abs(got[i].Loss - want[i].Loss); !(d <= 1e-4) {
			t.Errorf("step %d: loss %g, want %g", i, got[i].Loss, want[i].Loss)
		}
		if d := math.Abs(got[i].GradNorm - want[i].GradNorm); !(d <= 1e-3*want[i].GradNorm) {
			t.Errorf("step %d: gradient norm %g, want %g", i, got[i].GradNorm, want[i].GradNorm)
		}
	}
	state, err := exact.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	a, b := logits(t, o, program.Exact, state.Weights), logits(t, o, program.Float32, state.Weights)
	relative, equal := distance(a, b), agreement(a, b, exact.config.Spec.Classes)
	t.Logf("relative L2 error %.2g, labels equal in %.4f %% of voxels", relative, 100*equal)
	if !(relative <= 1e-4) || equal < 0.9999 {
		t.Errorf("relative L2 error %g, labels equal in %g of voxels", relative, equal)
	}
	if relative == 0 {
		t.Error("both precisions give the same bytes: nothing was compared")
	}
}

// logits applies a state to the images of a step that nobody has seen.
func logits(t *testing.T, o Options, precision program.Precision, weights map[string]Tensor) []float32 {
	t.Helper()
	c := footprint(precision)
	p, err := open(t, o).NewPredictor(PredictConfig{c.Spec, c.Patch, c.Batch, precision}, weights)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	images, _ := batch(c, 99)
	out := make([]float32, len(images)*c.Spec.Classes)
	if err := p.Logits(t.Context(), images, out); err != nil {
		t.Fatal(err)
	}
	return out
}

// distance is |got - want| / |want| in L2.
func distance(want, got []float32) float64 {
	d, n := 0.0, 0.0
	for i := range want {
		e := float64(got[i]) - float64(want[i])
		d += e * e
		n += float64(want[i]) * float64(want[i])
	}
	return math.Sqrt(d / n)
}

// agreement is the share of voxels whose largest logit is of the same class, for a
// batch of one.
func agreement(a, b []float32, classes int) float64 {
	voxels, equal := len(a)/classes, 0
	top := func(x []float32, v int) int {
		best := 0
		for c := range classes {
			if x[c*voxels+v] > x[best*voxels+v] {
				best = c
			}
		}
		return best
	}
	for v := range voxels {
		if top(a, v) == top(b, v) {
			equal++
		}
	}
	return float64(equal) / float64(voxels)
}
