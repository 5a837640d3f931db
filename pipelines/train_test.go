package pipelines

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"noisystudent/transforms/fit"
)

// TestTrain goes through the roles, fold by fold, each command making what it lacks.
func TestTrain(t *testing.T) {
	folder := t.TempDir()
	root, st := filepath.Join(folder, "cohort"), filepath.Join(folder, "store")
	tinyCohort(t, root, 3, 2, 0, 0)
	log := &notes{}
	o := tinyOptions(root, st, log)
	folds := func(trained Trained) (list []int) {
		for _, m := range trained.Models {
			list = append(list, m.Fold)
		}
		return list
	}
	for _, c := range []struct {
		role   fit.Role
		folds  []int
		want   []int
		fresh  int64 // epochs of each
		stages []string
	}{
		{fit.Teacher, []int{1}, []int{1}, 2, []string{"fingerprint: 3 of 3", "preprocess: 3 of 3", "train teacher: 4 of 4"}},
		{fit.Teacher, []int{1}, []int{1}, 0, []string{"preprocess: 3 of 3 cases were done before", "train teacher: 4 of 4 steps were done before"}},
		{fit.Student, []int{0}, []int{0}, 1, []string{"preprocess: 5 of 5 cases, 2 of them now", "train teacher: 8 of 8 steps, 4 of them now", "pseudolabel: 2 of 2", "train student: 2 of 2"}},
		{fit.Finetuned, []int{0}, []int{0}, 1, []string{"train student: 2 of 2 steps were done before", "train finetuned: 2 of 2"}},
		{fit.Finetuned, nil, nil, -1, []string{"train student: 4 of 4 steps, 2 of them now", "validate student fold 0: ", "validate student fold 1: "}},
		{fit.Control, nil, []int{0, 1}, 2, []string{"train control: 8 of 8"}},
	} {
		trained, err := Train(t.Context(), o, c.role, c.folds)
		if err != nil {
			t.Fatal(err)
		}
		if c.want != nil && !slices.Equal(folds(trained), c.want) {
			t.Errorf("%s %v: trained %v", c.role, c.folds, trained)
		}
		for _, m := range trained.Models {
			if m.New != c.fresh && c.fresh >= 0 || !(m.Loss == m.Loss) || m.Role != c.role {
				t.Errorf("%s %v: %+v", c.role, c.folds, m)
			}
		}
		lines := strings.Join(log.take(), "\n")
		for _, want := range c.stages {
			if !strings.Contains(lines, want) {
				t.Errorf("%s %v: nobody says %q:\n%s", c.role, c.folds, want, lines)
			}
		}
	}
	var usage *UsageError
	for _, role := range []fit.Role{fit.Teacher, fit.Student, fit.Finetuned, fit.Control} {
		for _, fold := range []int{-1, 2} {
			if _, err := Train(t.Context(), o, role, []int{fold}); !errors.As(err, &usage) || !strings.Contains(err.Error(), "there are 0 to 1") {
				t.Errorf("%s fold %d: %v", role, fold, err)
			}
		}
	}
}

// TestInterruptedTraining stops a run between epochs; the next one goes on.
func TestInterruptedTraining(t *testing.T) {
	folder := t.TempDir()
	root, st := filepath.Join(folder, "cohort"), filepath.Join(folder, "store")
	tinyCohort(t, root, 2, 1, 0, 0)
	log := &notes{}
	o := tinyOptions(root, st, log)
	o.Set = append(slices.Clone(o.Set), "training.teacher_epochs=12")
	ctx, cancel := context.WithCancel(t.Context())
	go func() { // until the first checkpoint is there
		for found := []string{}; len(found) == 0 && t.Context().Err() == nil; time.Sleep(5 * time.Millisecond) {
			found, _ = filepath.Glob(filepath.Join(st, "models", "teacher", "fold_*", "latest"))
		}
		cancel()
	}()
	if _, err := Train(ctx, o, fit.Teacher, nil); !errors.Is(err, context.Canceled) {
		t.Fatalf("%v", err)
	}
	if lines := log.take(); !strings.Contains(lines[len(lines)-1], " of 48 steps, stopped") {
		t.Errorf("%q", lines)
	}
	trained, err := Train(t.Context(), o, fit.Teacher, nil)
	if err != nil || len(trained.Models) != 2 || trained.Models[0].New+trained.Models[1].New >= 24 {
		t.Errorf("%+v, %v", trained, err)
	}
}

// TestNothingToLearnFrom is about datasets that training cannot begin with.
func TestNothingToLearnFrom(t *testing.T) {
	root, st := filepath.Join(t.TempDir(), "cohort"), filepath.Join(t.TempDir(), "store")
	tinyCohort(t, root, 2, 1, 0, 0)
	if err := os.RemoveAll(filepath.Join(root, "imagesUn")); err != nil {
		t.Fatal(err)
	}
	if _, err := Loop(t.Context(), tinyOptions(root, st, &notes{})); err == nil || !strings.Contains(err.Error(), "--unlabelled-scans") {
		t.Errorf("without a pool: %v", err)
	}
	put(t, filepath.Join(root, "imagesUn", "u_0000.nii.gz"), []byte("not gzip"))
	if _, err := Loop(t.Context(), tinyOptions(root, st, &notes{})); err == nil || !strings.Contains(err.Error(), "none of 1 unlabelled scans could be prepared") {
		t.Errorf("with a pool of nothing: %v", err)
	}
	if _, err := os.Stat(filepath.Join(st, "models")); err == nil {
		t.Error("teachers were trained that have nothing to label")
	}
}

// TestShare divides a machine among networks.
func TestShare(t *testing.T) {
	const gib = 1 << 30
	for _, c := range []struct {
		memory, network   int64
		threads, work, at int
		few               bool
		rest              int64
	}{
		{12 * gib, gib, 2, 5, 2, false, 10 * gib},
		{12 * gib, gib, 8, 5, 5, false, 7 * gib},
		{12 * gib, gib, 8, 1, 1, false, 11 * gib},
		{12 * gib, 5 * gib, 8, 5, 1, false, 7 * gib},
		{12 * gib, 14 * gib, 8, 5, 1, false, 3 * gib},
		{12 * gib, 17 * gib, 8, 5, 0, false, 0},
		{12 * gib, gib, 2, 5, 5, true, 7 * gib},     // folds end together
		{12 * gib, 2 * gib, 2, 5, 2, true, 8 * gib}, // unless the memory is too small
		{12 * gib, 5 * gib, 2, 5, 1, true, 7 * gib},
	} {
		r := &run{Options: Options{MemoryBytes: c.memory, Threads: c.threads}}
		at, rest, err := r.share(c.work, c.few, c.network)
		if at != c.at || rest != c.rest || (err == nil) != (c.at > 0) {
			t.Errorf("%+v: %d at once, %d left, %v", c, at, rest, err)
		}
	}
	t.Setenv("XDG_CACHE_HOME", t.TempDir()) // no cluster of this user's
	t.Setenv("HOME", t.TempDir())
	r := &run{Options: Options{}}
	r.Runner.Runner = "flink"
	if at, rest, err := r.share(5, true, gib); at != 1 || rest != workerBytes-gib || err != nil {
		t.Errorf("elsewhere: %d at once, %d left, %v", at, rest, err)
	}
	r.Runner.Flink.Parallelism = 3
	if at, _, err := r.share(5, true, gib); at != 3 || err != nil {
		t.Errorf("three bundles elsewhere: %d at once, %v", at, err)
	}
	r = &run{Options: Options{MemoryBytes: 12 * gib, Threads: 8}}
	r.Runner.Runner, r.Runner.Flink.Environment, r.Runner.Flink.Parallelism = "flink", "LOOPBACK", 2
	if at, _, err := r.share(5, true, gib); at != 2 || err != nil {
		t.Errorf("two bundles here: %d at once, %v", at, err)
	}
}

// TestDivergedTraining: every fold ends by itself, the error is typed and says what to do,
// status tells it, and what it says helps.
func TestDivergedTraining(t *testing.T) {
	folder := t.TempDir()
	root, st := filepath.Join(folder, "cohort"), filepath.Join(folder, "store")
	tinyCohort(t, root, 3, 0, 0, 0)
	o := tinyOptions(root, st, &notes{})
	o.Set = append(slices.Clone(tiny), "training.optimizer=sgd", "training.initial_lr=100", "training.warmup_steps=0", "training.teacher_epochs=12")
	_, err := Train(t.Context(), o, fit.Teacher, nil)
	var lost *fit.DivergedError
	if !errors.As(err, &lost) || strings.Count(err.Error(), "diverged in epoch") != 2 || !strings.Contains(err.Error(), "--set training.initial_lr=10") {
		t.Fatalf("two folds: %v", err)
	}
	s, err := ReadStatus(t.Context(), st)
	if err != nil || len(s.Models) != 2 || s.Models[0].Diverged == "" || strings.Count(s.String(), "epochs, diverged") != 2 {
		t.Errorf("%v\n%v", err, s)
	}
	o.Set = append(o.Set, "training.initial_lr=0.01")
	o.Replan, o.Retrain = true, true
	trained, err := Train(t.Context(), o, fit.Teacher, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range trained.Models {
		if m.Best < 1 || m.Best > 12 || !(m.EMA >= 0 && m.EMA <= 1) {
			t.Errorf("%+v", m)
		}
	}
	if s, err = ReadStatus(t.Context(), st); err != nil || len(s.Models) != 2 || s.Models[1].Best != trained.Models[1].Best || strings.Contains(s.String(), "diverged") || !strings.Contains(s.String(), "pseudo-DSC") {
		t.Errorf("%v\n%v", err, s)
	}
}
