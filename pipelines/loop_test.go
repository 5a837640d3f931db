package pipelines

import (
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"noisystudent/io/store/storetest"
	"noisystudent/transforms/cases"
)

// artefacts are the files that a loop leaves, as the README lists them: a pattern of
// path.Match and how many of them.
var artefacts = []struct {
	pattern string
	count   int
}{
	{"fingerprint.json", 1},
	{"plan.json", 1},
	{"splits.json", 1},
	{"fingerprint/*.json", 3},
	{"preprocessed/*/*.zarr/zarr.json", 5},
	{"preprocessed/*/*.zarr/image/zarr.json", 5},
	{"preprocessed/*/*.zarr/labels/zarr.json", 3},
	{"models/teacher/fold_[01]/latest", 2},
	{"models/teacher/fold_[01]/epoch_00002/weights.safetensors", 2},
	{"models/teacher/fold_[01]/epoch_00002/optimiser.safetensors", 2},
	{"models/teacher/fold_[01]/epoch_00002/state.json", 2},
	{"models/teacher/fold_[01]/training.jsonl", 2},
	{"models/teacher/fold_[01]/events.out.tfevents.noisystudent", 2},
	{"models/student/fold_[01]/latest", 2},
	{"models/student/best.json", 1},
	{"models/finetuned/fold_[01]/latest", 1},
	{"pseudo/1/unlabelled_000[01].nii.gz", 2},
	{"pseudo/1/unlabelled_000[01].json", 2},
	{"pseudo/1/unlabelled_000[01].zarr/zarr.json", 2},
	{"pseudo/1/selection.json", 1},
	{"predictions/*/test_0000.nii.gz", 5}, // two teachers, ensemble, student, fine-tuned
	{"predictions/*/labelled_000?.nii.gz", 3},
	{"ledger/fingerprint/*.json", 3},
	{"ledger/preprocess/*.json", 6},
	{"ledger/pseudo-1/*.json", 2},
	{"pseudo/1/unlabelled_000[01].doubts.json", 2}, // for the page
	{"ledger/doubts-1/*.json", 2},
	{"ledger/predict-*/*.json", 8},
	{"ledger/score-test_*/*.json", 5},
	{"ledger/score-validate_*/*.json", 3},
	{"ledger/files/*.json", 19}, // 11 of the cohort, and 8 predictions when they are scored
	{"report/summary.json", 1},
	{"report/index.html", 1},
	{"report/timings.json", 1},
	{"report/test_*/table.json", 5},
	{"report/test_*/summary.json", 5},
	{"report/test_*/scores.csv", 5},
}

func TestLoop(t *testing.T) {
	folder := t.TempDir()
	checkLoop(t, filepath.Join(folder, "cohort"), filepath.Join(folder, "store"))
}

func TestLoopInBucket(t *testing.T) {
	if testing.Short() {
		t.Skip("the loop once more: not with -short")
	}
	storetest.Bucket(t, "data")
	checkLoop(t, "gs://data/cohort", "gs://data/store")
}

// checkLoop runs the whole method where nothing is there, and again where all is.
func checkLoop(t *testing.T, dataset, root string) {
	tinyCohort(t, dataset, 3, 3, 1, 1)
	log := &notes{}
	first, err := Loop(t.Context(), tinyOptions(dataset, root, log))
	if err != nil {
		t.Fatal(err)
	}
	checkReport(t, first)
	said := map[string]bool{}
	for _, line := range log.take() {
		stage, _, _ := strings.Cut(line, ": ")
		if said[stage] || strings.Contains(line, "nothing to do") {
			t.Errorf("the first run asks twice for what it has made: %q", line)
		}
		said[stage] = true
	}
	text, before := contents(t, root)
	for _, a := range artefacts {
		n := 0
		for key := range text {
			if ok, err := path.Match(a.pattern, key); err != nil {
				t.Fatal(err)
			} else if ok {
				n++
			}
		}
		if n != a.count {
			t.Errorf("%d files %s, want %d", n, a.pattern, a.count)
		}
	}
	for _, want := range []string{"<h2>Pseudo-labels that the teachers doubt most", "<figcaption>unlabelled_0000</figcaption>", "<th>unlabelled_0001</th>", "<figcaption>teacher: pseudo-DSC"} {
		if !strings.Contains(text["report/index.html"], want) {
			t.Errorf("the page lacks %s", want)
		}
	}
	second, err := Loop(t.Context(), tinyOptions(dataset, root, log))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(first, second, cmp.AllowUnexported(Scores{})); diff != "" {
		t.Errorf("the second run reports something else (-first +second)\n%s", diff)
	}
	if lines := lacks(log.take(), "nothing to do"); len(lines) > 0 {
		t.Errorf("the second run says %q", lines)
	}
	again, after := contents(t, root)
	for key := range again {
		// Digests of files that were seconds old are taken once more, and reports of scores are printed anew.
		touched := strings.HasPrefix(key, "ledger/files/") || strings.HasPrefix(key, "report/") || key == "pseudo/1/selection.json"
		if before[key] != after[key] && !touched || text[key] != again[key] && !strings.HasPrefix(key, "ledger/files/") {
			t.Errorf("%s was written again", key)
		}
	}
}

// checkReport checks what summary.json promises.
func checkReport(t *testing.T, r Report) {
	t.Helper()
	if r.Format != 1 || r.Cases != 1 || len(r.Teachers) != 2 || r.Pseudo != (PseudoCounts{Kept: 2}) || r.PeakRSS < 1<<20 {
		t.Errorf("report %+v", r)
	}
	if len(r.Rejected) != 1 || r.Rejected[0].Case != "unlabelled_0002" || r.Rejected[0].Stage != "preprocess" || r.Rejected[0].Reason != cases.Truncated {
		t.Errorf("rejected %+v", r.Rejected)
	}
	stages := []string{"fingerprint", "preprocess", "train teacher", "pseudolabel", "train student", "validate", "validate scores", "train finetuned", "test", "test scores"}
	for _, s := range stages {
		if !(r.Seconds[s] > 0) {
			t.Errorf("no seconds of stage %s: %v", s, r.Seconds)
		}
	}
	if len(r.Seconds) != len(stages) {
		t.Errorf("stages %v", r.Seconds)
	}
	for _, s := range append(slices.Clone(r.Teachers), r.Teacher, r.Ensemble, r.Student, r.Finetuned) {
		if len(s.PerOrgan)+len(r.Absent) != 13 || !(s.DSC >= 0 && s.DSC <= 1) || !(s.NSD >= 0 && s.NSD <= 1) {
			t.Errorf("scores %+v, absent %v", s, r.Absent)
		}
	}
}

// TestLoopBeyondThePaper: students become teachers, and what is doubted is left out, with
// reasons; a second run does nothing.
func TestLoopBeyondThePaper(t *testing.T) {
	folder := t.TempDir()
	dataset, root := filepath.Join(folder, "cohort"), filepath.Join(folder, "store")
	tinyCohort(t, dataset, 3, 4, 1, 0)
	log := &notes{}
	o := tinyOptions(dataset, root, log)
	o.Set = append(slices.Clone(o.Set), "pseudo_labels.more_rounds=1", "pseudo_labels.drop_part=0.5", "pseudo_labels.max_change=1", "pseudo_labels.max_deviation=1000", "pseudo_labels.min_organs=0.2",
		"pseudo_labels.weigh_voxels=true", "training.mirror=left-right")
	first, err := Loop(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if p := first.Pseudo; p.Kept+p.Dropped != 4 || p.Kept == 0 || p.Organs == 0 || !strings.Contains(first.String(), "organs of those kept are left out") {
		t.Errorf("%+v", p)
	}
	text, before := contents(t, root)
	for _, key := range []string{
		"models/student-1/fold_1/latest", "models/student/fold_1/latest", "pseudo/1/selection.json", "pseudo/2/selection.json",
		"pseudo/2/unlabelled_0003.doubts.json", "pseudo/2/unlabelled_0003.certain.zarr/zarr.json", "ledger/doubts-2/unlabelled_0000.json",
	} {
		if text[key] == "" {
			t.Errorf("no %s", key)
		}
	}
	if first, second := text["pseudo/1/unlabelled_0003.doubts.json"], text["pseudo/2/unlabelled_0003.doubts.json"]; strings.Contains(first, `"changes"`) || !strings.Contains(second, `"changes"`) {
		t.Errorf("changes since the round before:\n%s\n%s", first, second)
	}
	if csv := text["report/pseudo_labels.csv"]; strings.Count(csv, "\n") < 5 || !strings.Contains(csv, "in which it is doubted most") {
		t.Errorf("report\n%s", csv)
	}
	log.take()
	second, err := Loop(t.Context(), o)
	if diff := cmp.Diff(first, second, cmp.AllowUnexported(Scores{})); err != nil || diff != "" {
		t.Errorf("error %v; the second run reports something else (-first +second)\n%s", err, diff)
	}
	if lines := lacks(log.take(), "nothing to do"); len(lines) > 0 {
		t.Errorf("the second run says %q", lines)
	}
	_, after := contents(t, root)
	for key := range before {
		if strings.HasPrefix(key, "models/") && before[key] != after[key] {
			t.Errorf("%s was written again", key)
		}
	}
}
