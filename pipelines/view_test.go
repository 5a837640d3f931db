package pipelines

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestView pairs scans and labels by name, and names classes by the dataset.json that lies where
// predictions or references come from.
func TestView(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{
		"imagesTs/a_0000.nii.gz", "imagesTs/b_0000.nii.gz", "imagesTs/c_0000.mha", "labelsTs/a.nii.gz", "labelsTs/b.nii.gz",
		"labels/b.nii.gz", "labels/other.nii.gz", "alone/ct.nii", "alone/organs.nii", "none/x.nii.gz",
	} {
		file := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte("not read before it is looked at"), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	dataset := `{"channel_names": {"0": "CT"}, "labels": {"background": 0, "liver": 1}, "numTraining": 0, "file_ending": ".nii.gz"}`
	if err := os.WriteFile(filepath.Join(dir, "dataset.json"), []byte(dataset), 0o666); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name                      string
		input, labels, references string
		want                      string // of cases.json, else of the error
		rejected                  int
	}{
		{"scans alone", "imagesTs", "", "", `[{"id":"a","layers":["scan"]},{"id":"b","layers":["scan"]}],"labels":[{"id":1,"name":"liver"}]`, 1},
		{"some labels", "imagesTs/*.nii.gz", "labels", "labelsTs", `[{"id":"a","layers":["scan","references"]},{"id":"b","layers":["scan","labels","references","differences"]}],"labels":[{"id":1,"name":"liver"}]`, 0},
		{"two files of any name", "alone/ct.nii", "alone/organs.nii", "", `[{"id":"ct","layers":["scan","labels"]}],"labels":[]`, 0},
		{"labels of others", "imagesTs", "none", "", "no scan of DIR/imagesTs has labels in DIR/none; label files are called <case>.nii.gz, as a.nii.gz", 0},
		{"no scan", "missing", "", "", "no scan found", 0},
		{"no label file", "imagesTs", "missing", "", "no label file found", 0},
	} {
		place := func(name string) string {
			if name == "" {
				return ""
			}
			return filepath.Join(dir, filepath.FromSlash(name))
		}
		v, err := View(t.Context(), ViewRequest{Input: place(c.input), Labels: place(c.labels), References: place(c.references)})
		if err != nil {
			if got := strings.ReplaceAll(err.Error(), dir, "DIR"); !strings.Contains(got, c.want) {
				t.Errorf("%s: %s, want %s", c.name, got, c.want)
			}
			continue
		}
		w := httptest.NewRecorder()
		v.Server.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "http://localhost"+v.Server.Path()+"cases.json", nil))
		var got struct{ Cases, Labels json.RawMessage }
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
			t.Fatal(err)
		}
		if text := string(got.Cases) + `,"labels":` + string(got.Labels); text != c.want || len(v.Rejected) != c.rejected {
			t.Errorf("%s: %s, %d rejected, want %s, %d", c.name, text, len(v.Rejected), c.want, c.rejected)
		}
	}
	if _, err := View(t.Context(), ViewRequest{Input: filepath.Join(dir, "imagesTs"), Dataset: filepath.Join(dir, "other.json")}); err == nil || !strings.Contains(err.Error(), "other.json") {
		t.Errorf("a dataset.json that is not there: %v", err)
	}
}
