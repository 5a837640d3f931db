package pipelines

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"noisystudent/transforms/manifest"
)

func (c *clinic) status() (Status, string) {
	c.Helper()
	s, err := ReadStatus(c.Context(), c.st.Root())
	if err != nil {
		c.Fatal(err)
	}
	return s, s.String()
}

func TestStatus(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "none")
	if s, err := ReadStatus(t.Context(), empty); err != nil || !strings.Contains(s.String(), "nothing was done here yet") {
		t.Errorf("%v, %v", s, err)
	}
	if _, err := os.Stat(empty); err == nil {
		t.Error("status has made the store")
	}
	c := newClinic(t)
	c.put("a", 1)
	c.put("b", 1)
	put(t, filepath.Join(c.folder, "bad.nii.gz"), []byte("no scan"))
	put(t, filepath.Join(c.folder, "picture.tif"), []byte("no scan"))
	c.q.Input = c.folder
	c.reprocess()
	if err := os.Remove(filepath.Join(c.folder, "a_0000.nii.gz")); err != nil {
		t.Fatal(err)
	}
	c.reprocess()
	if err := c.st.Write(t.Context(), "ledger/index/predict-of-many.json", []byte("{}")); err != nil { // rows, but no stage
		t.Fatal(err)
	}
	_, before := contents(t, c.st.Root())
	s, text := c.status()
	r := s.Reprocess
	if r == nil || r.Scans != 2 || len(r.Models) != 1 || r.Same != 1 || len(r.Removed) != 1 || r.Held || !r.Lock.Released {
		t.Fatalf("%+v", r)
	}
	if len(s.Models) != 1 || s.Models[0].Model != "finetuned/fold_0" || !s.Models[0].Done {
		t.Errorf("%+v", s.Models)
	}
	if strings.Contains(text, "index") {
		t.Errorf("index is no stage:\n%s", text)
	}
	refused := map[string]string{}
	for _, x := range s.Refused {
		refused[x.Case] = string(x.Reason)
	}
	if len(s.Refused) != 2 || refused["picture"] != "unsupported-type" || refused["bad"] != "unsupported-type" {
		t.Errorf("refused %+v", s.Refused)
	}
	for _, want := range []string{"2 done, 1 rejected (unsupported-type 1)", "reprocess 2 scans, 1 labelled (1 under another name), 1 removed, labels kept", "refused   picture (incoming): ", "predictions/"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if data, err := json.Marshal(s); err != nil || !strings.Contains(string(data), `"removed":["a"]`) {
		t.Errorf("%s, %v", data, err)
	}
	if _, after := contents(t, c.st.Root()); len(after) != len(before) {
		t.Error("status has changed the store")
	}
}

// What runs is told while it runs, how long it takes, and that it fell silent.
func TestStatusOfWhatRuns(t *testing.T) {
	c := newClinic(t)
	lock, err := manifest.Acquire(t.Context(), c.st, lockName, manifest.LockExpiry, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, release := lock.Hold(t.Context())
	defer release()
	m := beating{silent{}, c.st, 0}.Stage("test teacher 0", 10, "case")
	m.At(2, "")
	time.Sleep(20 * time.Millisecond)
	m.At(4, "")
	s, text := c.status()
	if len(s.Running) != 1 || s.Running[0].Done != 4 || s.Running[0].Silent || s.Running[0].LeftSeconds < 0.05 || s.Running[0].LeftSeconds > 30 {
		t.Errorf("%+v", s.Running)
	}
	if s.Reprocess == nil || !s.Reprocess.Held || !strings.Contains(text, "is at work since") || !strings.Contains(text, "test teacher 0: 4 of 10 cases, on ") || !strings.Contains(text, " left") {
		t.Errorf("%s", text)
	}
	row := s.Running[0].Running
	row.At = row.At.Add(-time.Hour)
	if err := manifest.Put(t.Context(), c.st, runningStage, "test_teacher_0", row); err != nil {
		t.Fatal(err)
	}
	if s, text := c.status(); !s.Running[0].Silent || !strings.Contains(text, "not heard of for 1h0m") {
		t.Errorf("%s", text)
	}
	m.End("")
	if s, _ := c.status(); len(s.Running) != 0 {
		t.Errorf("%+v", s.Running)
	}
	brief := beating{silent{}, c.st, time.Hour}.Stage("brief", 1, "case")
	brief.At(0, "")
	if s, _ := c.status(); len(s.Running) != 0 {
		t.Errorf("a stage of a moment was written down: %+v", s.Running)
	}
	brief.End("")
}
