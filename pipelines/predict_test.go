package pipelines

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"noisystudent/transforms/cases"
	"noisystudent/transforms/fit"
	"noisystudent/transforms/predict"
	"noisystudent/transforms/score"
	"noisystudent/transforms/statistics"
)

// TestPredictAndEvaluate labels scans with every model of a store and scores them.
func TestPredictAndEvaluate(t *testing.T) {
	folder := t.TempDir()
	root, st, out := filepath.Join(folder, "cohort"), filepath.Join(folder, "store"), filepath.Join(folder, "out")
	tinyCohort(t, root, 2, 1, 3, 0)
	train := tinyOptions(root, st, &notes{})
	input := filepath.Join(root, "imagesTs")
	o := Options{Store: st, Progress: &notes{}}
	predict := func(model string) (Predicted, error) {
		return Predict(t.Context(), o, PredictRequest{Input: input, Output: out, Model: model})
	}
	if _, err := predict(""); err == nil || !strings.Contains(err.Error(), "run `noisystudent plan` first") {
		t.Errorf("without a plan: %v", err)
	}
	if _, err := Plan(t.Context(), train); err != nil {
		t.Fatal(err)
	}
	if _, err := predict(""); err == nil || !strings.Contains(err.Error(), "has no trained model") {
		t.Errorf("without a model: %v", err)
	}
	if _, err := predict("student"); !errors.Is(err, errUntrained) || !strings.Contains(err.Error(), "train --role student") {
		t.Errorf("without a student: %v", err)
	}
	if _, err := Train(t.Context(), train, fit.Finetuned, nil); err != nil {
		t.Fatal(err)
	}
	digests := map[string]bool{}
	for _, c := range []struct{ model, want string }{
		{"teacher/1", "teacher fold 1"},
		{"ensemble", "the ensemble of 2 teachers"},
		{"student/0", "student fold 0"},
		{"finetuned", "finetuned fold "},
		{"", "finetuned fold "},
	} {
		p, err := predict(c.model)
		if err != nil || !strings.HasPrefix(p.Model, c.want) || p.Cases != 3 || p.Output != out {
			t.Errorf("%q: %+v, %v", c.model, p, err)
		}
		if fresh := map[bool]int{true: 0, false: 3}[digests[p.Digest]]; p.New != fresh {
			t.Errorf("%q: %d new, want %d", c.model, p.New, fresh)
		}
		digests[p.Digest] = true
	}
	labels, _ := contents(t, out)
	if got := slices.Sorted(maps.Keys(labels)); !slices.Equal(got, []string{"test_0000.nii.gz", "test_0001.nii.gz", "test_0002.nii.gz"}) {
		t.Errorf("the output holds %v", got)
	}
	if err := os.Remove(filepath.Join(out, "test_0001.nii.gz")); err != nil {
		t.Fatal(err)
	}
	if p, err := predict(""); err != nil || p.New != 0 {
		t.Errorf("%+v, %v", p, err)
	}
	if again, _ := contents(t, out); again["test_0001.nii.gz"] != labels["test_0001.nii.gz"] {
		t.Error("a label file that was removed did not come back")
	}
	other := PredictRequest{Input: input, Output: out, Export: "probabilities", Mirror: "x"}
	if p, err := Predict(t.Context(), o, other); err != nil || p.New != 3 || digests[p.Digest] {
		t.Errorf("another export: %+v, %v", p, err)
	}
	var usage *UsageError
	for _, q := range []PredictRequest{{}, {Input: input}, {Input: input, Output: out, Model: "boss"}, {Input: input, Output: out, Export: "nothing"}, {Input: input, Output: out, Mirror: "w"}, {Input: input, Output: out, Tiles: "none"}} {
		if _, err := Predict(t.Context(), o, q); !errors.As(err, &usage) {
			t.Errorf("%+v: %v", q, err)
		}
	}
	predictedStatistics(t, o, PredictRequest{Input: input, Output: out, Model: "ensemble", Statistics: true})
	evaluate(t, root, out)
	crossValidated(t, root, st)
	benched(t, st, input)
}

// predictedStatistics measures what was predicted, and how sure the models were.
func predictedStatistics(t *testing.T, o Options, q PredictRequest) {
	p, err := Predict(t.Context(), o, q)
	if err != nil || p.New != 0 || p.Statistics == nil || p.Statistics.Cases != 3 || p.Statistics.New != 3 {
		t.Fatalf("%+v, %v", p, err)
	}
	text, _ := contents(t, p.Statistics.Report)
	for _, name := range []string{"statistics.csv", "statistics.parquet", "flags.csv"} {
		if text[name] == "" {
			t.Errorf("no %s in %s", name, p.Statistics.Report)
		}
	}
	// Networks of a step or two are sure of nothing.
	unsure := func(f statistics.Flag) bool { return f.Kind == statistics.Disagree }
	if !slices.ContainsFunc(p.Statistics.Flags, unsure) || !strings.Contains(p.String(), "teachers-disagree") {
		t.Errorf("flags %+v", p.Statistics.Flags)
	}
	if again, err := Predict(t.Context(), o, q); err != nil || again.Statistics.New != 0 || len(again.Statistics.Flags) != len(p.Statistics.Flags) {
		t.Errorf("again: %+v, %v", again, err)
	}
}

// crossValidated scores labelled cases by the teachers that have not learned from them.
func crossValidated(t *testing.T, root, st string) {
	q := EvaluateRequest{CrossValidation: "teacher", TryLargest: true}
	o := Options{Store: st, Dataset: root, Progress: &notes{}}
	e, err := Evaluate(t.Context(), o, q)
	if err != nil || e.Table.Cases != 2 || e.New != 2 || e.Largest == nil || e.Largest.Cases != 2 || !strings.Contains(e.String(), "--keep-largest") {
		t.Fatalf("%v, %v", e, err)
	}
	if again, err := Evaluate(t.Context(), o, q); err != nil || again.New != 0 || again.String() == e.String() {
		t.Errorf("%v, %v", again, err)
	}
	q.Calibrate = true
	e, err = Evaluate(t.Context(), o, q)
	if c := e.Calibrated; err != nil || c == nil || c.Voxels == 0 || !(c.Before > 0 && c.After > 0 && c.Temperature > 0) || !strings.Contains(e.String(), "expected calibration error") {
		t.Errorf("%+v, %v", c, err)
	}
	if again, err := Evaluate(t.Context(), o, q); err != nil || *again.Calibrated != *e.Calibrated {
		t.Errorf("%+v, %v", again.Calibrated, err)
	}
	q.CrossValidation = "student"
	if s, err := Evaluate(t.Context(), o, q); err != nil || s.Table.Cases != 2 || s.Report == e.Report {
		t.Errorf("students: %v, %v", s, err)
	}
}

// benched finds the models of the systems, and labels with the store of a bench as with
// the one that its weights are from.
func benched(t *testing.T, st, input string) {
	o := Options{Store: st, Device: "cpu", Progress: &notes{}}
	list, err := subjectsOf(t.Context(), o, EfficiencyRequest{})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, s := range list {
		got = append(got, s.Title()+": "+s.Model)
	}
	want := []string{"nnunet: ", "nnunet mirrored x,y,z: ", "low-footprint: teacher fold 0", "student: finetuned fold "}
	if len(got) != 4 || !slices.Equal(got[:3], want[:3]) || !strings.HasPrefix(got[3], want[3]) {
		t.Fatalf("systems %q, want %q", got, want)
	}
	if _, err := subjectsOf(t.Context(), o, EfficiencyRequest{Model: "control"}); !errors.Is(err, errUntrained) {
		t.Errorf("a model that is not there: %v", err)
	}
	if _, err := subjectsOf(t.Context(), o, EfficiencyRequest{NNUNet: st}); err == nil || !strings.Contains(err.Error(), "not nnunet") {
		t.Errorf("a store of another preset for nnU-Net: %v", err)
	}
	b := bench{subject: list[3]}
	if err := b.ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer b.close()
	labels := func(store, model string) map[string]string {
		out := t.TempDir()
		if _, err := Predict(t.Context(), Options{Store: store, Device: "cpu"}, PredictRequest{Input: input, Output: out, Model: model}); err != nil {
			t.Fatal(err)
		}
		text, _ := contents(t, out)
		return text
	}
	if here, there := labels(b.folder, b.model()), labels(st, ""); len(here) != 3 || !maps.Equal(here, there) {
		t.Error("a bench labels otherwise than the model it measures")
	}
}

// A card's memory is what the process says on /metrics.
func TestCardMemory(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, "noisystudent_card_memory_bytes{card=\"0\",which=\"now\"} 1.5e+09\nnoisystudent_card_memory_bytes{card=\"0\",which=\"peak\"} 9e+09\nother 4\n")
	}))
	if got := cardMemory(server.URL)(); got != 1_500_000_000 {
		t.Errorf("%d bytes", got)
	}
	server.Close()
	if got := cardMemory(server.URL)(); got != 0 {
		t.Errorf("%d bytes of a process that does not answer", got)
	}
}

func TestLargestText(t *testing.T) {
	line := func(name string, dsc float64, cases int) score.Line {
		return score.Line{Name: name, Mean: score.Mean{DSC: dsc}, Cases: cases}
	}
	all := score.Table{Lines: []score.Line{line("liver", 0.8, 2), line("right kidney", 0.5, 2), line("spleen", 0, 0)}}
	better := score.Table{Lines: []score.Line{line("liver", 0.79, 2), line("right kidney", 0.6, 2), line("spleen", 0, 0)}}
	text := largestText(all, better)
	if !strings.Contains(text, "--keep-largest 'right kidney' would raise") || !strings.Contains(text, "-1.00") || strings.Contains(text, "spleen") {
		t.Error(text)
	}
	if text := largestText(all, all); !strings.Contains(text, "of no organ") {
		t.Error(text)
	}
}

// evaluate scores predictions, of which one goes missing.
func evaluate(t *testing.T, root, out string) {
	q := EvaluateRequest{Predictions: out, References: filepath.Join(root, "labelsTs")}
	log := &notes{}
	e, err := Evaluate(t.Context(), Options{Progress: log}, q)
	if err != nil || e.New != 3 || e.Table.Cases != 3 || len(e.Rejected) != 0 {
		t.Fatalf("%+v, %v", e, err)
	}
	for _, file := range []string{"summary.json", "report/evaluate/table.json", "report/evaluate/scores.csv", "report/evaluate/summary.json", "report/evaluate/index.html"} {
		if _, err := os.Stat(filepath.Join(out, file)); err != nil {
			t.Error(err)
		}
	}
	page, err := os.ReadFile(filepath.Join(out, "report/evaluate/index.html"))
	if view := "noisystudent view --input " + filepath.Join(root, "imagesTs") + " --labels " + out; err != nil || !strings.Contains(string(page), view) || strings.Count(string(page), "<img ") != 2+3 {
		t.Errorf("the page lacks its scans: %v\n%.2000s", err, page)
	}
	again, err := Evaluate(t.Context(), Options{Progress: log}, q)
	if err != nil || again.New != 0 || !strings.Contains(again.String(), "3 pairs are scored; nothing to do") {
		t.Errorf("%v, %v", again, err)
	}
	if err := os.Remove(filepath.Join(out, "test_0001.nii.gz")); err != nil {
		t.Fatal(err)
	}
	q.Rules = "nnunet"
	e, err = Evaluate(t.Context(), Options{Progress: log}, q)
	if err != nil || e.New != 2 || e.Table.Cases != 2 || len(e.Rejected) != 1 || e.Rejected[0].Reason != cases.Missing {
		t.Errorf("%+v, %v", e, err)
	}
	if text, _ := contents(t, out); !strings.Contains(text["ledger/evaluate/test_0001.json"], "predict the scan first") {
		t.Errorf("no row of the missing prediction")
	}
	var usage *UsageError
	for _, q := range []EvaluateRequest{{}, {Predictions: out}, {Predictions: out, References: root, Rules: "mine"}} {
		if _, err := Evaluate(t.Context(), Options{}, q); !errors.As(err, &usage) {
			t.Errorf("%+v: %v", q, err)
		}
	}
	empty := filepath.Join(t.TempDir(), "empty")
	if _, err := Evaluate(t.Context(), Options{}, EvaluateRequest{Predictions: empty, References: q.References}); err == nil || !strings.Contains(err.Error(), "no label file found") {
		t.Errorf("without predictions: %v", err)
	}
	if _, err := os.Stat(empty); err == nil {
		t.Error("the folder without predictions was made")
	}
}

func TestScheme(t *testing.T) {
	for references, want := range map[string]string{
		"/d/labelsTs": "/d/dataset.json", "/d/labelsTs/": "/d/dataset.json", "d/labelsTs": "d/dataset.json", "labelsTs": "dataset.json",
		"gs://b/d/labelsTs": "gs://b/d/dataset.json", "gs://b/labelsTs/": "gs://b/dataset.json",
	} {
		if got := (EvaluateRequest{References: references}).scheme(); got != want {
			t.Errorf("%s: %s, want %s", references, got, want)
		}
	}
	if got := (EvaluateRequest{References: "/d/x", Dataset: "/e/dataset.json"}).scheme(); got != "/e/dataset.json" {
		t.Error(got)
	}
}

func TestParseModel(t *testing.T) {
	for name, want := range map[string]modelName{
		"ensemble": {"", -1, false}, "student": {fit.Student, -1, false}, "finetuned": {fit.Finetuned, -1, false}, "control": {fit.Control, -1, false},
		"teacher/0": {fit.Teacher, 0, false}, "student/12": {fit.Student, 12, false},
		"teacher/3@best": {fit.Teacher, 3, true}, "ensemble@best": {"", -1, true}, "finetuned@best": {fit.Finetuned, -1, true},
	} {
		if got, err := parseModel(name); got != want || err != nil {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	for _, name := range []string{"", "teacher", "boss", "boss/1", "teacher/", "teacher/x", "teacher/-1", "teacher/1/2", "ensemble/1"} {
		if got, err := parseModel(name); err == nil {
			t.Errorf("%q: %+v", name, got)
		}
	}
}

// The best checkpoint is asked for by name, and is another model than the last.
func TestPredictWithTheBestCheckpoint(t *testing.T) {
	folder := t.TempDir()
	root, st, out := filepath.Join(folder, "cohort"), filepath.Join(folder, "store"), filepath.Join(folder, "out")
	tinyCohort(t, root, 2, 0, 1, 0)
	train := tinyOptions(root, st, &notes{})
	train.Device = "ref" // the same course on every machine
	train.Set = append(slices.Clone(tiny), "training.teacher_epochs=8", "training.initial_lr=0.3")
	trained, err := Train(t.Context(), train, fit.Teacher, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Train(t.Context(), train, fit.Control, []int{0}); err != nil {
		t.Fatal(err)
	}
	differ := 0
	for _, m := range trained.Models {
		r, err := openPredict(t.Context(), Options{Store: st}, PredictRequest{Input: root, Output: out})
		if err != nil {
			t.Fatal(err)
		}
		_, last, err := r.pick(t.Context(), fmt.Sprintf("teacher/%d", m.Fold))
		if err != nil {
			t.Fatal(err)
		}
		text, best, err := r.pick(t.Context(), fmt.Sprintf("teacher/%d@best", m.Fold))
		if err != nil || !strings.HasSuffix(text, "@best") || best[0].Weights != fit.CheckpointKey(fit.Folder(fit.Teacher, m.Fold), m.Best) {
			t.Fatalf("%v: %s, %+v, %v", m, text, best, err)
		}
		if (m.Best == m.Epochs) != (last[0] == best[0]) {
			t.Errorf("best after %d of %d epochs: %v and %v", m.Best, m.Epochs, last, best)
		}
		if m.Best != m.Epochs {
			differ++
		}
		if _, err := r.store.Stat(t.Context(), best[0].Weights); err != nil {
			t.Error(err)
		}
	}
	if differ == 0 {
		t.Error("the last epochs are the best of all folds; the test wants another")
	}
	q := PredictRequest{Input: filepath.Join(root, "imagesTs"), Output: out, Model: "ensemble@best"}
	if p, err := Predict(t.Context(), Options{Store: st}, q); err != nil || p.Cases != 1 || p.Model != "the ensemble of 2 teachers@best" {
		t.Errorf("%+v, %v", p, err)
	}
	all := tinyOptions(root, filepath.Join(folder, "all"), &notes{})
	all.Set = append(slices.Clone(tiny), "training.student_all_labels=true")
	if _, err := Train(t.Context(), all, fit.Control, nil); err != nil {
		t.Fatal(err)
	}
	q.Model = "control@best"
	if _, err := Predict(t.Context(), Options{Store: all.Store}, q); err == nil || !strings.Contains(err.Error(), "trained without validation cases") {
		t.Errorf("a model that saw all cases: %v", err)
	}
}

// TestCalibratedOnOtherFolds: a fold that is overconfident is judged by the temperature of
// the others.
func TestCalibratedOnOtherFolds(t *testing.T) {
	temperatures := predict.Temperatures()
	plain, warm := slices.Index(temperatures, 1), len(temperatures)-1
	fold := func(best int, error int64) predict.Calibration { // its ECE is 0 at best, else error of 100
		c := predict.NewCalibration()
		for k := range c.NLL {
			c.Bins[k][0] = predict.Bin{Voxels: 100, Correct: 50, Sum: 50}
			if k != best {
				c.NLL[k], c.Bins[k][0].Sum = 10, float64(50+error)
			}
		}
		return c
	}
	same := calibratedOf("teacher", []predict.Calibration{fold(warm, 20), fold(warm, 20)})
	if same.Temperature != temperatures[warm] || same.Before != 0.2 || same.After != 0 || same.Voxels != 200 || !strings.Contains(same.String(), "inference.temperature=5.657") {
		t.Errorf("%+v: %s", same, same)
	}
	other := calibratedOf("teacher", []predict.Calibration{fold(warm, 20), fold(plain, 10)})
	if other.After != 0.15 || !strings.Contains(other.String(), "no truer") {
		t.Errorf("folds that differ: %+v: %s", other, other)
	}
	if one := calibratedOf("teacher", []predict.Calibration{fold(warm, 20)}); one.After != 0 {
		t.Errorf("one fold: %+v", one)
	}
}
