package engine

import (
	"bytes"
	"errors"
	"math"
	"slices"
	"testing"

	"noisystudent/model/program"
)

func TestLossScale(t *testing.T) {
	good, overflow, bad := StepResult{Loss: 1}, StepResult{Loss: 1, Skipped: true}, StepResult{Loss: math.NaN(), Skipped: true}
	for name, c := range map[string]struct {
		from    LossScale
		results []StepResult
		want    LossScale
	}{
		"none stays none":         {LossScale{}, []StepResult{good, bad, overflow}, LossScale{}},
		"good steps are counted":  {LossScale{Value: 1024}, slices.Repeat([]StepResult{good}, 1999), LossScale{Value: 1024, Good: 1999}},
		"2000 double it":          {LossScale{Value: 1024}, slices.Repeat([]StepResult{good}, 2000), LossScale{Value: 2048}},
		"and halve again":         {LossScale{Value: 1024, Good: 1999}, []StepResult{good, overflow, good}, LossScale{Value: 1024, Good: 1, Halved: 1}},
		"a bad batch is no one's": {LossScale{Value: 1024, Good: 7}, []StepResult{bad}, LossScale{Value: 512}},
		"not above the largest":   {LossScale{Value: largestScale, Good: 1999}, []StepResult{good, good}, LossScale{Value: largestScale, Good: 1}},
		"not below 1":             {LossScale{Value: 2}, []StepResult{overflow, overflow, overflow}, LossScale{Value: 1, Halved: 1}},
	} {
		s := c.from
		for _, r := range c.results {
			s.after(r)
		}
		if s != c.want {
			t.Errorf("%s: %+v, want %+v", name, s, c.want)
		}
	}
}

// A scale that is far too large takes many halvings, which are no divergence; weights
// that are not finite are, soon after the scale has nothing left to explain.
func TestHalvingsAreNoDivergence(t *testing.T) {
	trainer := &Trainer{scale: LossScale{Value: largestScale}}
	overflow := StepResult{Loss: 1, Skipped: true}
	steps := 0
	for ; steps < 24; steps++ {
		if err := trainer.count(overflow); err != nil {
			t.Fatalf("step %d: %v", steps, err)
		}
	}
	if trainer.skipped != 24 || trainer.scale.Value != 1 {
		t.Errorf("%d skipped, scale %g", trainer.skipped, trainer.scale.Value)
	}
	var err error
	for ; err == nil && steps < 100; steps++ {
		err = trainer.count(overflow)
	}
	var diverged *DivergedError
	if !errors.As(err, &diverged) || steps != 24+maxInARow {
		t.Errorf("after %d steps: %v", steps, err)
	}
	often := &Trainer{steps: 998, skipped: 30, scale: LossScale{Value: 8, Halved: 21}}
	if err := often.count(overflow); err != nil {
		t.Errorf("9 of 999 beside 22 halvings: %v", err)
	}
	if err := errors.Join(often.count(StepResult{Loss: math.Inf(1), Skipped: true}), often.count(StepResult{Loss: math.Inf(1), Skipped: true})); err == nil {
		t.Error("11 of 1001 beside 22 halvings are accepted")
	}
}

// The scale is a power of two, so that float32, in which other devices compute programs
// of half precision, gives the bytes that it gives without one.
func TestScaleChangesNothingInFloat32(t *testing.T) {
	for _, rule := range []program.Rule{program.SGD, program.AdamW} {
		for _, o := range tried() {
			plain, scaled := small(rule), small(rule)
			scaled.Precision = program.Float16
			a, b := newTrainer(t, o, plain), newTrainer(t, o, scaled)
			want, got := train(t, a, 0, 4), train(t, b, 0, 4)
			for i := range want {
				if got[i].Scale != firstScale || want[i].Scale != 1 {
					t.Errorf("%s: step %d is scaled by %g, float32 by %g", o.Device, i, got[i].Scale, want[i].Scale)
				}
				got[i].Scale = want[i].Scale
				if got[i] != want[i] {
					t.Errorf("%s: step %d is %+v, want %+v", o.Device, i, got[i], want[i])
				}
			}
			if !bytes.Equal(tensors(t, b), tensors(t, a)) {
				t.Errorf("%s %s: the scale has changed the training", o.Device, rule)
			}
		}
	}
}

// The scale goes through a state, and the states of float32 have none.
func TestScaleInState(t *testing.T) {
	c := small(program.SGD)
	c.Precision = program.Float16
	first := newTrainer(t, Options{Device: "cpu"}, c)
	images, labels := batch(c, 0)
	images[5] = float32(math.NaN())
	if _, err := first.Step(t.Context(), images, labels, 0.01); err != nil {
		t.Fatal(err)
	}
	train(t, first, 1, 3)
	state, err := first.Snapshot()
	if want := (LossScale{Value: firstScale / 2, Good: 2}); err != nil || state.Scale != want {
		t.Fatalf("scale %+v, %v, want %+v", state.Scale, err, want)
	}
	second := newTrainer(t, Options{Device: "cpu"}, c)
	if err := second.Restore(state); err != nil {
		t.Fatal(err)
	}
	train(t, first, 3, 5)
	train(t, second, 3, 5)
	if !bytes.Equal(content(t, first), content(t, second)) {
		t.Error("the resumed run has other bytes")
	}
	for name, s := range map[string]LossScale{
		"no power of two": {Value: 3}, "too small": {Value: 0.5}, "too large": {Value: 2 * largestScale},
		"negative": {Value: 2, Good: -1}, "late": {Value: 2, Good: growAfter}, "more halvings than skipped": {Value: 2, Halved: 2}, "a count without a value": {Good: 1},
	} {
		state.Scale = s
		if err := second.Restore(state); !errors.Is(err, ErrState) {
			t.Errorf("%s: %v", name, err)
		}
	}
	plain := newTrainer(t, Options{Device: "cpu"}, small(program.SGD))
	state.Scale = LossScale{Value: 8}
	if err := plain.Restore(state); err != nil {
		t.Fatal(err)
	}
	if s, err := plain.Snapshot(); err != nil || s.Scale != (LossScale{}) {
		t.Errorf("float32 has the scale %+v, %v", s.Scale, err)
	}
}
