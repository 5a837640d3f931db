package pipelines

import (
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"noisystudent/transforms/fit"
	"noisystudent/transforms/plan"
)

func TestFitEpochs(t *testing.T) {
	paper := plan.Training{TeacherEpochs: 1000, StudentEpochs: 1000, FinetuneEpochs: 75, StepsPerEpoch: 250}
	loop := []paid{{fit.Teacher, 5, 10}, {fit.Student, 5, 10}, {fit.Finetuned, 1, 5}}
	for _, c := range []struct {
		stages []paid
		hours  float64
		want   [3]int
		fits   bool
	}{
		{loop, (2*5*1000*25 + 75*50) / 3600.0, [3]int{1000, 1000, 75}, true}, // just what is planned
		{loop, (2*5*500*25 + 37*50) / 3600.0, [3]int{499, 499, 37}, true},    // half, and a half epoch less
		{loop, 2 * (2*5*1000*25 + 75*50) / 3600.0, [3]int{2000, 2000, 150}, true},
		{loop, (2*5*2*25 + 50) / 3600.0, [3]int{2, 2, 1}, true}, // the fine-tune's part would be none
		{loop, (2*5*25 + 50) / 3600.0, [3]int{1, 1, 1}, true},
		{loop, (2*5*25 + 49) / 3600.0, [3]int{1, 1, 1}, false},
		{loop, 0.001 / 3600, [3]int{1, 1, 1}, false},
		{[]paid{{fit.Teacher, 1, 250}}, 10.5 / 3600, [3]int{10, 10, 1}, true},
		{[]paid{{fit.Control, 1, 250}}, 215 / 3600.0, [3]int{200, 200, 15}, true},
	} {
		spend := time.Duration(c.hours * float64(time.Hour))
		got, took := fitEpochs(paper, c.stages, spend+time.Millisecond)
		epochs := [3]int{got.TeacherEpochs, got.StudentEpochs, got.FinetuneEpochs}
		near := true
		for i := range epochs { // steps of 2 % on the way down
			near = near && epochs[i] <= c.want[i] && float64(epochs[i]) >= 0.96*float64(c.want[i])-1 && epochs[i] >= 1
		}
		if !near || (took <= spend+time.Millisecond) != c.fits {
			t.Errorf("%v: %v, %v; want %v, fits %v", spend, epochs, took, c.want, c.fits)
		}
	}
	paper.FinetuneEpochs = 0
	if got, _ := fitEpochs(paper, loop, time.Hour); got.FinetuneEpochs != 0 {
		t.Errorf("%d epochs of a fine-tune that was not planned", got.FinetuneEpochs)
	}
}

// A budget is fitted once: the plan says it, training follows it, and the next run goes on
// with it, whatever the machine's pace is then.
func TestTimeBudget(t *testing.T) {
	folder := t.TempDir()
	root, st := filepath.Join(folder, "cohort"), filepath.Join(folder, "store")
	tinyCohort(t, root, 3, 1, 0, 0)
	log := &notes{}
	o := tinyOptions(root, st, log)
	o.Set = append(slices.Clone(tiny), "training.steps_per_epoch=40", "training.teacher_epochs=20000", "training.student_epochs=40000", "training.finetune_epochs=10000")
	o.TimeBudget = time.Millisecond
	if _, err := Loop(t.Context(), o); err == nil || !strings.Contains(err.Error(), "a time budget of 1ms is too short for one epoch of 40 steps of each of 5 models") || !strings.Contains(err.Error(), "give --time-budget 1m0s or more") {
		t.Fatalf("one millisecond: %v", err)
	}
	o.TimeBudget = 3 * time.Second
	log.take()
	r, err := Loop(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	p, err := plan.Load(t.Context(), mustOpen(t, st))
	if err != nil {
		t.Fatal(err)
	}
	f := p.Training
	if f.TimeBudget != "3s" || f.TeacherEpochs >= 20000 || f.TeacherEpochs < 1 || f.StudentEpochs < f.TeacherEpochs || f.FinetuneEpochs > f.TeacherEpochs {
		t.Errorf("fitted: %+v", f)
	}
	if why := p.Reasons["training.teacher_epochs"]; !strings.Contains(why, "fitted to a time budget of 3s") {
		t.Errorf("the plan's reason is %q", why)
	}
	for _, c := range r.Training {
		if want := map[fit.Role]int{fit.Teacher: f.TeacherEpochs, fit.Student: f.StudentEpochs, fit.Finetuned: f.FinetuneEpochs}[c.Role]; c.Epochs != int64(want) {
			t.Errorf("%s fold %d: %d epochs, want %d", c.Role, c.Fold, c.Epochs, want)
		}
	}
	if lines := strings.Join(log.take(), "\n"); !strings.Contains(lines, "time budget: of 20000 epochs of a teacher, 40000 of a student, 10000 of a fine-tune, 40 steps each as planned, 3s allow ") {
		t.Errorf("nobody says what the budget allows:\n%s", lines)
	}

	before, generations := contents(t, st)
	if _, err := Loop(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	if lines := strings.Join(log.take(), "\n"); !strings.Contains(lines, "was fitted to 3s before") {
		t.Errorf("nobody says that it was fitted before:\n%s", lines)
	}
	o.TimeBudget, o.Set = 0, tiny[:8]
	if _, err := Loop(t.Context(), o); err != nil {
		t.Errorf("without the flag: %v", err)
	}
	after, later := contents(t, st)
	for key := range after {
		if strings.HasPrefix(key, "models/") && generations[key] != later[key] || key == plan.File && before[key] != after[key] {
			t.Errorf("%s was written again", key)
		}
	}
	o.TimeBudget = time.Hour
	if _, err := Loop(t.Context(), o); err == nil || !strings.Contains(err.Error(), "fitted to a time budget of 3s, not 1h0m0s") {
		t.Errorf("another budget: %v", err)
	}
}

func TestTimeBudgetsThatCannotBeMeant(t *testing.T) {
	folder := t.TempDir()
	root, st := filepath.Join(folder, "cohort"), filepath.Join(folder, "store")
	tinyCohort(t, root, 2, 0, 0, 0)
	var usage *UsageError
	for text, change := range map[string]func(o *Options){
		"give more, such as 2h":    func(o *Options) { o.TimeBudget = -1 },
		"flink computes elsewhere": func(o *Options) { o.TimeBudget, o.Runner.Runner = time.Hour, "flink" },
		"give --time-budget":       func(o *Options) { o.Set = append(slices.Clone(tiny), "training.time_budget=2h") },
	} {
		o := tinyOptions(root, st, &notes{})
		change(&o)
		if _, err := Train(t.Context(), o, fit.Teacher, nil); !errors.As(err, &usage) || !strings.Contains(err.Error(), text) {
			t.Errorf("%s: %v", text, err)
		}
	}
	o := tinyOptions(root, st, &notes{})
	if _, err := Train(t.Context(), o, fit.Teacher, []int{0}); err != nil {
		t.Fatal(err)
	}
	o.TimeBudget = time.Hour
	if _, err := Train(t.Context(), o, fit.Teacher, nil); err == nil || !strings.Contains(err.Error(), "models/teacher/fold_0 was begun without a time budget") {
		t.Errorf("a store with models: %v", err)
	}
}
