package pipelines

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"noisystudent/io/store"
	"noisystudent/transforms/fit"
)

// TestCourse sums up histories: rates weighted by time, skipped steps in all.
func TestCourse(t *testing.T) {
	j := fit.Job{Role: fit.Teacher, Fold: 2, Store: "mem://course", Epochs: 2}
	history := []fit.Epoch{{Seconds: 3, Samples: 10, Waited: 0.5, Skipped: 1, Loss: 2}, {Epoch: 1, Seconds: 1, Samples: 2, Waited: 0.1, Skipped: 2, Loss: 1}}
	want := Course{Role: fit.Teacher, Fold: 2, Epochs: 2, Loss: 1, Skipped: 3, Samples: 8, Waited: 0.4}
	got := courseOf(j, history)
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
	if text := pace([]Course{got}); text != "8.0 samples/s a model, 40.0 % of the time waiting for data, 3 steps skipped" {
		t.Error(text)
	}
	if text := (Report{Training: []Course{got}}).String(); !strings.Contains(text, "steps skipped, their gradients were not finite: teacher fold 2 (3)") {
		t.Error(text)
	}
	if pace(nil) != "" || skippedText([]Course{{}}) != "" {
		t.Error("words about nothing")
	}
}

// TestWatchWarns follows a job whose history has skipped steps: one line each time
// that there are more.
func TestWatchWarns(t *testing.T) {
	st, err := store.Open(t.Context(), "mem://watch")
	if err != nil {
		t.Fatal(err)
	}
	log := &notes{}
	r := &run{store: st, progress: log}
	j := fit.Job{Role: fit.Teacher, Epochs: 2}
	watch := r.watch([]fit.Job{j})
	write := func(key, text string) {
		if err := st.Write(t.Context(), j.Folder()+"/"+key, []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	if text := watch(t.Context()); text != "" {
		t.Errorf("before the first epoch: %q", text)
	}
	write("latest", `{"format":1,"epochs":1}`)
	write("epoch_00001/state.json", `{"format":1,"epochs":1,"history":[{"seconds":1,"samples_per_second":4,"skipped":2}]}`)
	for range 2 {
		if text := watch(t.Context()); !strings.HasPrefix(text, "4.0 samples/s") {
			t.Error(text)
		}
	}
	if lines := log.take(); len(lines) != 1 || !strings.HasPrefix(lines[0], "warning: teacher fold 0: 2 steps skipped up to epoch 1") {
		t.Errorf("%q", lines)
	}
}
