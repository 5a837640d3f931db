package fit

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"noisystudent/io/store"
	"noisystudent/transforms/plan"
)

// wild is a job whose learning rate throws it off after a while.
func wild(j Job, rate float64) Job {
	j.Epochs, j.Rate = 30, rate
	return j.Sealed()
}

// stopped fails the test unless a job diverged after some epochs whose checkpoint is whole.
func stopped(t *testing.T, st *store.Store, j Job, err error) *DivergedError {
	t.Helper()
	var d *DivergedError
	if !errors.As(err, &d) {
		t.Fatalf("%s: %v", j.Name(), err)
	}
	c, err := load(t.Context(), st, j)
	if err != nil || int64(len(c.history)) != d.Epoch || d.Epoch >= j.Epochs {
		t.Fatalf("%s: %d epochs are in the checkpoint, %v; %v", j.Name(), len(c.history), err, d)
	}
	for name, w := range c.state.Weights {
		if slices.ContainsFunc(w.Data, func(v float32) bool { return v != v || v-v != 0 }) {
			t.Errorf("%s: %s holds values that are not finite", j.Name(), name)
		}
	}
	return d
}

func TestDivergenceStopsTraining(t *testing.T) {
	st, j := prepare(t, Teacher)
	j = wild(j, 10)
	d := stopped(t, st, j, Run(t.Context(), j, onRef, nil))
	if d.Epoch < 2 {
		t.Errorf("it diverged in epoch %d; the test wants some good ones before", d.Epoch)
	}
	for _, want := range []string{"teacher fold 0 diverged in epoch ", "cross-entropy", "epochs stays", "--set training.initial_lr=1 ", "--set training.clip_norm=1 (it is 12)"} {
		if !strings.Contains(d.Error(), want) {
			t.Errorf("%q lacks %q", d, want)
		}
	}
	if strings.Contains(d.Error(), "fp32") {
		t.Errorf("fp32 is no remedy for exact products: %q", d)
	}
	logged(t, st, j)
	// Once more it diverges at the same place.
	if again := stopped(t, st, j, Run(t.Context(), j, onRef, nil)); *again != *d {
		t.Errorf("first %v, then %v", d, again)
	}
}

// Gradients that are not finite ten times in a row end the training too.
func TestOverflowStopsTraining(t *testing.T) {
	st, j := prepare(t, Finetuned)
	j.Epochs, j.Plan.Training.Precision = 40, plan.BF16
	j = j.Sealed()
	overflow(t, st, j)
	d := stopped(t, st, j, Run(t.Context(), j, onRef, nil))
	for _, want := range []string{"finetuned fold 0 diverged", "in a row", "--precision fp32 (it is bf16)", "training.finetune_lr=0.001"} {
		if !strings.Contains(d.Error(), want) {
			t.Errorf("%q lacks %q", d, want)
		}
	}
}

// A fold that diverges is noted in the store, and the others are trained to their end.
func TestOtherFoldsGoOn(t *testing.T) {
	for _, o := range []Options{{Device: "ref", Threads: 1, Jobs: 1}, {Device: "ref", Threads: 1, Jobs: 3}, {Device: "ref", Threads: 1, Jobs: 3, Whole: true}} {
		st, list := jobs(t, 3)
		list[1] = wild(list[1], 100)
		if _, err := submit(t, o, list); err != nil {
			t.Fatal(err)
		}
		for _, j := range list {
			d, err := Diverged(t.Context(), st, j.Folder(), j.Inputs)
			if err != nil {
				t.Fatal(err)
			}
			done, err := Done(t.Context(), st, j)
			switch {
			case err != nil:
				t.Error(err)
			case j.Fold == 1:
				stopped(t, st, j, d)
			case d != nil || done != j.Epochs:
				t.Errorf("%s: %d epochs, %v", j.Name(), done, d)
			}
		}
		if d, err := Diverged(t.Context(), st, list[1].Folder(), "other inputs"); d != nil || err != nil {
			t.Errorf("another job in its place: %v, %v", d, err)
		}
		idleProcess(t)
	}
}
