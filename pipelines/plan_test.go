package pipelines

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"noisystudent/transforms/fit"
	"noisystudent/transforms/plan"
)

// TestPlanIsKept follows one store through commands that agree with its plan and
// commands that do not.
func TestPlanIsKept(t *testing.T) {
	folder := t.TempDir()
	root, st := filepath.Join(folder, "cohort"), filepath.Join(folder, "store")
	tinyCohort(t, root, 3, 2, 0, 0)
	log := &notes{}
	o := tinyOptions(root, st, log)
	made, err := Plan(t.Context(), o)
	if err != nil || !made.New {
		t.Fatalf("%+v, %v", made, err)
	}
	again, err := Plan(t.Context(), o)
	if err != nil || again.New || again.Plan.Digest() != made.Plan.Digest() || !strings.Contains(again.String(), "planned before") {
		t.Errorf("%v, %v", again, err)
	}
	if lines := log.take(); lines[len(lines)-1] != "plan: made before; nothing to do" {
		t.Errorf("%q", lines)
	}
	for name, c := range map[string]struct {
		change func(o *Options)
		want   string // empty: it is the plan's
	}{
		"nothing asked": {func(o *Options) { o.Preset, o.Set = "", nil }, ""},
		"preset":        {func(o *Options) { o.Preset = "nnunet" }, "is of preset demo, not nnunet; give --replan"},
		"seed":          {func(o *Options) { o.Seed = 5 }, "has seed 0, not 5; give --replan"},
		"field":         {func(o *Options) { o.Set = []string{"batch_size=7"} }, "has batch_size 2, not 7; give --replan"},
		"precision":     {func(o *Options) { o.Precision = plan.BF16 }, "has inference.precision mixed, not bf16; give --replan"},
		"its precision": {func(o *Options) { o.Precision = plan.Mixed }, ""},
		"auto":          {func(o *Options) { o.Precision = auto }, ""},
		"no such field": {func(o *Options) { o.Set = []string{"batchsize=7"} }, "there is no field"},
	} {
		asked := o
		c.change(&asked)
		p, err := Plan(t.Context(), asked)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) || p.New {
			t.Errorf("%s: new %v, %v", name, p.New, err)
		}
	}
	data, err := os.ReadFile(filepath.Join(root, "dataset.json"))
	if err != nil {
		t.Fatal(err)
	}
	put(t, filepath.Join(root, "dataset.json"), []byte(strings.Replace(string(data), "duodenum", "jejunum", 1)))
	if _, err := Plan(t.Context(), o); err == nil || !strings.Contains(err.Error(), "has other labels") {
		t.Errorf("another dataset: %v", err)
	}
	put(t, filepath.Join(root, "dataset.json"), data)

	if _, err := Train(t.Context(), o, fit.Teacher, []int{0}); err != nil {
		t.Fatal(err)
	}
	o.Replan, o.Set = true, append([]string{"training.weight_decay=0.5"}, o.Set...)
	if made, err = Plan(t.Context(), o); err != nil || !made.New || made.Plan.Training.WeightDecay != 0.5 {
		t.Fatalf("--replan: %+v, %v", made.New, err)
	}
	o.Replan = false
	var stale *fit.StaleError
	if _, err := Train(t.Context(), o, fit.Teacher, []int{0}); !errors.As(err, &stale) || !strings.Contains(err.Error(), "--retrain") {
		t.Errorf("a model of another plan: %v", err)
	}
	o.Retrain = true
	if trained, err := Train(t.Context(), o, fit.Teacher, []int{0}); err != nil || trained.Models[0].New != 2 {
		t.Errorf("--retrain: %+v, %v", trained, err)
	}
	if trained, err := Train(t.Context(), o, fit.Teacher, []int{0}); err != nil || trained.Models[0].New != 0 {
		t.Errorf("--retrain of what is trained: %+v, %v", trained, err)
	}
}

// TestLateCases adds a labelled case to a planned store, and mends a file.
func TestLateCases(t *testing.T) {
	folder := t.TempDir()
	root, st := filepath.Join(folder, "cohort"), filepath.Join(folder, "store")
	tinyCohort(t, root, 3, 2, 0, 0)
	late := filepath.Join(root, "imagesTr", "labelled_0002_0000.nii.gz")
	data, err := os.ReadFile(late)
	if err != nil {
		t.Fatal(err)
	}
	put(t, late, data[:100])
	put(t, filepath.Join(root, "imagesUn", "x.mha"), nil)
	log := &notes{}
	o := tinyOptions(root, st, log)
	p, err := Plan(t.Context(), o)
	if err != nil || len(p.Rejected) != 2 {
		t.Fatalf("%+v, %v", p.Rejected, err)
	}
	if p, err = Plan(t.Context(), o); err != nil || len(p.Rejected) != 2 {
		t.Errorf("a second plan forgets: %+v, %v", p.Rejected, err)
	}
	put(t, late, data)
	if err := os.Remove(filepath.Join(root, "imagesUn", "x.mha")); err != nil {
		t.Fatal(err)
	}
	done, err := Preprocess(t.Context(), o)
	if err != nil || done.Cases != 5 || len(done.Rejected) != 0 {
		t.Errorf("%+v, %v", done, err)
	}
	if lines := strings.Join(log.take(), "\n"); !strings.Contains(lines, "labelled, but in no fold: labelled_0002; ") {
		t.Errorf("nobody says that a case is in no fold:\n%s", lines)
	}
	if text, _ := contents(t, st); text["ledger/load/x.json"] != "" {
		t.Error("the row of a file that is gone is still there")
	}
}

// TestPeopleAreTold looks for what headers and dataset.json give reason to say.
func TestPeopleAreTold(t *testing.T) {
	folder := t.TempDir()
	root, st := filepath.Join(folder, "cohort"), filepath.Join(folder, "store")
	tinyCohort(t, root, 2, 7, 0, 0)
	data, err := os.ReadFile(filepath.Join(root, "dataset.json"))
	if err != nil {
		t.Fatal(err)
	}
	put(t, filepath.Join(root, "dataset.json"), []byte(strings.Replace(string(data), `"CT"`, `"MRI"`, 1)))
	for i := range 7 { // neither qform nor sform
		file := filepath.Join(root, "imagesUn", "unlabelled_000"+string(rune('0'+i))+"_0000.nii")
		packed, err := os.ReadFile(file + ".gz")
		if err != nil {
			t.Fatal(err)
		}
		plain := unpack(t, packed)
		copy(plain[252:256], make([]byte, 4))
		put(t, file, plain)
		if err := os.Remove(file + ".gz"); err != nil {
			t.Fatal(err)
		}
	}
	log := &notes{}
	if _, err := Preprocess(t.Context(), tinyOptions(root, st, log)); err != nil {
		t.Fatal(err)
	}
	lines := strings.Join(log.take(), "\n")
	for _, want := range []string{
		`dataset: dataset.json calls the channel "MRI"`,
		"header of unlabelled_0000, unlabelled_0001, unlabelled_0002, unlabelled_0003, unlabelled_0004 and 2 more: the header gives no orientation",
	} {
		if !strings.Contains(lines, want) {
			t.Errorf("nobody says %q:\n%s", want, lines)
		}
	}
	if _, err := Preprocess(t.Context(), tinyOptions(root, st, log)); err != nil {
		t.Fatal(err)
	}
	if lines := strings.Join(log.take(), "\n"); strings.Contains(lines, "header of") {
		t.Errorf("they are told twice:\n%s", lines)
	}
}
