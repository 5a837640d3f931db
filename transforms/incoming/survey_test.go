package incoming

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"noisystudent/io/store"
	"noisystudent/transforms/cases"
	"noisystudent/transforms/manifest"
)

// ward is a folder of scans beside a store.
type ward struct {
	*testing.T
	folder string
	st     *store.Store
	model  string
	Options
}

var opened int

func newWard(t *testing.T) *ward {
	opened++
	st, err := store.Open(t.Context(), fmt.Sprintf("mem://incoming-%d", opened))
	if err != nil {
		t.Fatal(err)
	}
	w := &ward{T: t, folder: t.TempDir(), st: st}
	w.Input, w.Settle = w.folder, 20*time.Millisecond
	w.model = digest('a')
	return w
}

func digest(c byte) string { return strings.Repeat(string(c), 64) }

func (w *ward) put(name, text string) {
	w.Helper()
	if err := os.WriteFile(filepath.Join(w.folder, name), []byte(text), 0o644); err != nil {
		w.Fatal(err)
	}
}

func (w *ward) remove(name string) {
	w.Helper()
	if err := os.Remove(filepath.Join(w.folder, name)); err != nil {
		w.Fatal(err)
	}
}

// look looks and gives the groups in words: names joined, the source before a colon.
func (w *ward) look() (Survey, string) {
	w.Helper()
	if err := Meet(w.Context(), w.st, w.model, "a model"); err != nil {
		w.Fatal(err)
	}
	w.Newest = w.model
	s, err := Look(w.Context(), w.st, w.Options)
	if err != nil {
		w.Fatal(err)
	}
	var words []string
	for _, g := range s.Groups {
		var ids []string
		for _, x := range g.Scans {
			ids = append(ids, x.Case)
		}
		word := strings.Join(ids, "+")
		if g.Source != "" {
			word = g.Source + ":" + word
		}
		if g.Copy {
			word += " copy"
		}
		words = append(words, word)
	}
	slices.Sort(words)
	return s, strings.Join(words, " ")
}

// label does the work of a survey as a pipeline would.
func (w *ward) label(s Survey) {
	w.Helper()
	for _, g := range s.Groups {
		for i, x := range g.Scans {
			row := manifest.Row{Stage: "predict", Case: x.Case, Input: x.Input, Model: w.model, Outcome: manifest.Done, Output: "predictions/" + w.model[:12] + "/" + x.Case + ".nii.gz"}
			if first := g.Source; first != "" || i > 0 {
				if row.Same = first; first == "" {
					row.Same = g.Scans[0].Case
				}
			}
			if strings.HasPrefix(x.Case, "bad") {
				row.Outcome, row.Output, row.Reason = manifest.Rejected, "", cases.Truncated
			} else if err := w.st.Write(w.Context(), row.Output, []byte(x.Input)); err != nil {
				w.Fatal(err)
			}
			if err := Record(w.Context(), w.st, x.Labelled(row)); err != nil {
				w.Fatal(err)
			}
		}
	}
}

// expect looks, compares what is to be done, and does it.
func (w *ward) expect(when, want string) Survey {
	w.Helper()
	s, got := w.look()
	if got != want {
		w.Errorf("%s: %q is to be done, want %q", when, got, want)
	}
	w.label(s)
	return s
}

func TestLook(t *testing.T) {
	w := newWard(t)
	if s := w.expect("an empty place", ""); s.Seen != 0 {
		t.Errorf("%+v", s)
	}
	w.put("one_0000.nii.gz", "1")
	w.put("bad.nii.gz", "?")
	w.expect("two new scans", "bad one")
	start := time.Now()
	w.Settle = time.Hour // which nothing that is known waits for
	s := w.expect("nothing new", "")
	if s.UpToDate != 1 || len(s.Rejected) != 1 || s.Rejected[0].Case != "bad" || time.Since(start) > time.Minute {
		t.Errorf("%+v", s)
	}
	w.Settle = 20 * time.Millisecond
	w.put("one_0000.nii.gz", "one")
	w.put("two.nii.gz", "2")
	w.expect("one changed, one new", "one two")
	later := time.Now().Add(time.Hour)
	if err := os.Chtimes(filepath.Join(w.folder, "two.nii.gz"), later, later); err != nil {
		t.Fatal(err)
	}
	if s := w.expect("touched", ""); s.UpToDate != 2 {
		t.Errorf("%+v", s)
	}
	if err := w.st.Remove(t.Context(), "predictions/aaaaaaaaaaaa/two.nii.gz"); err != nil {
		t.Fatal(err)
	}
	w.expect("labels lost", "two")
	w.Output = t.TempDir()
	w.expect("no copies", "one copy two copy")
	for _, name := range []string{"one.nii.gz", "two.nii.gz"} {
		if err := os.WriteFile(filepath.Join(w.Output, name), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	w.expect("copies", "")
}

func TestLookWaitsForUploads(t *testing.T) {
	w := newWard(t)
	w.Settle = 300 * time.Millisecond
	w.put("whole.nii.gz", "1")
	w.put("grows.nii.gz", "12")
	w.put("grows.tif", "12") // refused, but not before it is whole
	w.put("part.nii.gz.part", "1")
	w.put(".hidden.nii.gz.Xw3", "1")
	grow := time.AfterFunc(100*time.Millisecond, func() {
		w.put("grows.nii.gz", "1234")
		w.put("grows.tif", "1234")
		w.put("late.nii.gz", "1") // after the first look
	})
	s := w.expect("growing", "whole")
	grow.Stop()
	if got := strings.Join(s.Waiting, " "); got != "grows grows late" || len(s.Refused) != 0 {
		t.Errorf("%q are waiting, %+v are refused", got, s.Refused)
	}
	if rows, err := Rows(t.Context(), w.st); err != nil || rows["grows"].Outcome != Waiting || rows["grows"].Input != "" {
		t.Errorf("%+v, %v", rows["grows"], err)
	}
	w.Settle = 20 * time.Millisecond
	// The same bytes as whole: a copy of its labels.
	if s := w.expect("whole", "grows whole:late"); len(s.Refused) != 1 || s.Refused[0].Reason != cases.UnsupportedType {
		t.Errorf("refused %+v", s.Refused)
	}
}

func TestLookFindsTwins(t *testing.T) {
	w := newWard(t)
	w.put("b.nii.gz", "1")
	w.put("a.nii.gz", "1")
	w.put("c.nii.gz", "2")
	w.expect("twins", "a+b c")
	w.put("d.nii.gz", "1")
	w.expect("another", "a:d")
	w.remove("a.nii.gz")
	w.put("renamed.nii.gz", "1")
	if s := w.expect("renamed", "a:renamed"); !slices.Equal(s.Removed, []string{"a"}) {
		t.Errorf("removed %v", s.Removed)
	}
	w.model = digest('b')
	w.expect("a new model", "a:b+d+renamed c")
}

func TestLookMarksWhatIsGone(t *testing.T) {
	w := newWard(t)
	w.put("a.nii.gz", "1")
	w.put("b.nii.gz", "2")
	w.expect("new", "a b")
	w.remove("a.nii.gz")
	for range 2 {
		s := w.expect("one is gone", "")
		if s.Seen != 1 || !slices.Equal(s.Removed, []string{"a"}) {
			t.Errorf("%+v", s)
		}
	}
	if _, err := w.st.Stat(t.Context(), "predictions/aaaaaaaaaaaa/a.nii.gz"); err != nil {
		t.Errorf("its labels are gone too: %v", err)
	}
	w.Input = t.TempDir()
	if s := w.expect("elsewhere", ""); !slices.Equal(s.Removed, []string{"a"}) {
		t.Errorf("what was not looked at is removed: %v", s.Removed)
	}
	w.Input = w.folder
	w.put("a.nii.gz", "1")
	if s := w.expect("it is back", ""); len(s.Removed) != 0 || s.UpToDate != 2 {
		t.Errorf("%+v", s)
	}
}

func TestLookRefusesAnotherFileOfAName(t *testing.T) {
	w := newWard(t)
	w.put("a.nii.gz", "1")
	w.expect("new", "a")
	first := w.folder
	w.folder = t.TempDir()
	w.Input = w.folder
	w.put("a.nii.gz", "2")
	s := w.expect("another ward's", "")
	if len(s.Refused) != 1 || s.Refused[0].Reason != cases.DuplicateCase || !strings.Contains(s.Refused[0].Message, "rename the file, or use another --store") {
		t.Errorf("refused %+v", s.Refused)
	}
	if err := os.Remove(filepath.Join(first, "a.nii.gz")); err != nil {
		t.Fatal(err)
	}
	w.expect("moved and changed", "a")
}

func TestPolicy(t *testing.T) {
	w := newWard(t)
	w.put("old.nii.gz", "1")
	w.expect("by a", "old")
	time.Sleep(5 * time.Millisecond)
	w.model = digest('b')
	w.put("middle.nii.gz", "2")
	w.Policy.OnlyMissing = true
	w.expect("only missing", "middle")
	time.Sleep(5 * time.Millisecond)
	w.model = digest('c')
	w.expect("still only missing", "")
	for since, want := range map[string]string{"": "middle old", Latest: "middle old", digest('b'): "old", "bbbbbbbb": "old", "aaaaaa": "", digest('c')[:12]: "middle old"} {
		w.Policy = Policy{Since: since}
		if _, got := w.look(); got != want {
			t.Errorf("since %q: %q, want %q", since, got, want)
		}
	}
	for _, since := range []string{"bbb", "1234567", "yesterday"} {
		w.Policy.Since = since
		if _, err := Look(t.Context(), w.st, w.Options); err == nil || !strings.Contains(err.Error(), "names 0 models") && !strings.Contains(err.Error(), "names 1 models") {
			t.Errorf("since %q: %v", since, err)
		}
	}
	w.Policy = Policy{}
	w.expect("all", "middle old")
}
