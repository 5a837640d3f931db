package command

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// scores is a model's part of summary.json.
type scores struct {
	DSC      *float64 `json:"mean_dsc"`
	NSD      *float64 `json:"mean_nsd"`
	PerOrgan map[string]struct {
		DSC   *float64 `json:"dsc"`
		NSD   *float64 `json:"nsd"`
		Cases *int     `json:"cases"`
	} `json:"per_organ"`
}

// summary is what other programs rely on in summary.json.
type summary struct {
	Format                                         int
	Teacher, Ensemble, Student, Finetuned, Control scores
	Teachers                                       []scores
	Pseudo                                         map[string]int `json:"pseudo_labels"`
	Absent                                         []string       `json:"absent_organs"`
	Rejected                                       []struct{ Case, Stage, Reason string }
	Seconds                                        map[string]float64
	PeakRSS                                        int64 `json:"peak_rss_bytes"`
}

// TestDemo runs the demo, short, and once more.
func TestDemo(t *testing.T) {
	if testing.Short() {
		t.Skip("half a minute: not with -short")
	}
	folder := filepath.Join(t.TempDir(), "demo")
	code, out, log := command(t, "demo", "--quick", "--out", folder)
	if code != Done {
		t.Fatalf("exit code %d\n%s%s", code, out, log)
	}
	for _, want := range []string{"teacher", "ensemble", "student", "fine-tuned", "control", "liver", "duodenum", "mean", "one seed", "1 rejected:\n  unlabelled_0003 (preprocess): "} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	first, err := os.ReadFile(filepath.Join(folder, "summary.json"))
	if err != nil {
		t.Fatal(err)
	}
	var s summary
	if err := json.Unmarshal(first, &s); err != nil {
		t.Fatal(err)
	}
	checkSummary(t, s)
	checkPage(t, filepath.Join(folder, "store", "report", "index.html"))
	code, again, log := command(t, "demo", "--quick", "--out", folder)
	if code != Done || again != out {
		t.Errorf("a second run: exit code %d, prints\n%s", code, again)
	}
	for line := range strings.Lines(log) { // the last is the summary
		if !strings.Contains(line, "nothing to do") && !strings.HasPrefix(line, "noisystudent demo: done, ") {
			t.Errorf("a second run says %s", line)
		}
	}
	if second, err := os.ReadFile(filepath.Join(folder, "summary.json")); err != nil || string(second) != string(first) {
		t.Errorf("a second run changes summary.json: %v\n%s", err, second)
	}
}

// checkPage looks for what the demo's page tells.
func checkPage(t *testing.T, file string) {
	t.Helper()
	html, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for want, times := range map[string]int{
		"one seed (1)": 1, "<th>control</th>": 1, "<td>liver</td>": 2, "<img ": 2 + 2 + 4 + 1 + 3, // boxes, best and worst case, losses, pseudo-DSC of the teachers, doubts; captions are also what those hear who cannot see
		"best: test_000": 2, "worst: test_000": 2, "<td>unlabelled_0003</td><td>preprocess</td><td>truncated</td>": 1,
		"Pseudo-labels that the teachers doubt most": 1, "noisystudent demo --out ": 1, "noisystudent view --input ": 1,
	} {
		if n := strings.Count(string(html), want); n != times {
			t.Errorf("the page has %q %d times, want %d", want, n, times)
		}
	}
}

func checkSummary(t *testing.T, s summary) {
	t.Helper()
	if s.Format != 1 || len(s.Teachers) != 5 || s.Absent == nil || s.PeakRSS < 10<<20 || s.Pseudo["kept"] != 3 || s.Pseudo["dropped"] != 0 || len(s.Pseudo) != 2 {
		t.Errorf("%+v", s)
	}
	if len(s.Rejected) != 1 || s.Rejected[0] != struct{ Case, Stage, Reason string }{"unlabelled_0003", "preprocess", "truncated"} {
		t.Errorf("rejected %+v", s.Rejected)
	}
	for _, m := range append(slices.Clone(s.Teachers), s.Teacher, s.Ensemble, s.Student, s.Finetuned, s.Control) {
		if m.DSC == nil || m.NSD == nil || len(m.PerOrgan)+len(s.Absent) != 13 {
			t.Fatalf("scores %+v, absent %v", m, s.Absent)
		}
		dsc, nsd := 0.0, 0.0
		for name, o := range m.PerOrgan {
			if o.DSC == nil || o.NSD == nil || o.Cases == nil || *o.Cases != 2 {
				t.Fatalf("%s: %+v", name, o)
			}
			dsc, nsd = dsc+*o.DSC, nsd+*o.NSD
		}
		if n := float64(len(m.PerOrgan)); abs(dsc/n-*m.DSC) > 1e-9 || abs(nsd/n-*m.NSD) > 1e-9 {
			t.Errorf("means %v, %v are not those of the organs, %v, %v", *m.DSC, *m.NSD, dsc/n, nsd/n)
		}
	}
	for _, stage := range []string{"phantom", "fingerprint", "preprocess", "train teacher", "pseudolabel", "train student and control", "train finetuned", "test", "test scores"} {
		if !(s.Seconds[stage] > 0) {
			t.Errorf("no seconds of %s: %v", stage, s.Seconds)
		}
	}
}

func abs(v float64) float64 { return max(v, -v) }
