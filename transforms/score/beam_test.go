package score

import (
	"bytes"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/testing/passert"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/testing/ptest"
	"github.com/google/go-cmp/cmp"

	"noisystudent/io/nifti"
	"noisystudent/io/store"
	"noisystudent/io/volume"
	"noisystudent/transforms/beamtest"
	"noisystudent/transforms/cases"
	"noisystudent/transforms/manifest"
)

func TestMain(m *testing.M) { beamtest.Main(m) }

// writeLabels stores labels with axes towards the letters in a file's own order.
func writeLabels(t *testing.T, path string, l *volume.Labels, axes string) {
	t.Helper()
	frame := nifti.NewFrame(l.Geometry)
	if axes != "" {
		var err error
		if frame, err = nifti.NewFrameOriented(l.Geometry, axes); err != nil {
			t.Fatal(err)
		}
	}
	var out bytes.Buffer
	if err := nifti.WriteLabels(&out, l, frame); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, out.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}

// pairs writes the fixture as two files and four ways to fail.
func pairs(t *testing.T) []Pair {
	t.Helper()
	dir := t.TempDir()
	file := func(name string) string { return filepath.Join(dir, name+".nii.gz") }
	shape, ref := readNPY(t, "testdata/reference.npy")
	_, pred := readNPY(t, "testdata/prediction.npy")
	spacing := [3]float64{2.5, 0.9, 0.8}
	writeLabels(t, file("ref"), labelsOf(shape, spacing, ref), "")
	writeLabels(t, file("pred"), labelsOf(shape, spacing, pred), "")
	writeLabels(t, file("turned"), labelsOf(shape, spacing, pred), "LPS")
	unknown := append([]uint8{77}, pred[1:]...)
	writeLabels(t, file("unknown"), labelsOf(shape, spacing, unknown), "")
	if err := os.WriteFile(file("cut"), []byte("\x1f\x8b"), 0o644); err != nil {
		t.Fatal(err)
	}
	var out []Pair
	for _, name := range []string{"pred", "ref", "turned", "unknown", "cut", "none"} {
		out = append(out, Pair{Case: name, Reference: file("ref"), Prediction: file(name)})
	}
	return out
}

func TestCasesUnderPrism(t *testing.T) {
	list, root := pairs(t), t.TempDir()
	c := Config{Store: root, Name: "test", Options: Options{Labels: flareLabels()}}
	for range 2 { // the second run takes everything from the ledger
		p, s := beam.NewPipelineWithRoot()
		rows, rejected := Cases(s, c, beam.CreateList(s, list))
		passert.Count(s, rows, "rows", 2)
		passert.Count(s, rejected, "rejected", 4)
		passert.Count(s, Report(s, c, rows), "table", 1)
		ptest.RunAndValidate(t, p)
	}
	checkLedger(t, root)
	checkReport(t, root)
}

func checkLedger(t *testing.T, root string) {
	t.Helper()
	st, err := store.Open(t.Context(), root)
	if err != nil {
		t.Fatal(err)
	}
	rows, err := manifest.Rows(t.Context(), st, "score-test")
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]cases.Kind{}
	for id, r := range rows {
		got[id] = r.Reason
	}
	want := map[string]cases.Kind{"pred": "", "ref": "", "turned": cases.GridMismatch, "unknown": cases.UnknownLabel, "cut": cases.Truncated, "none": cases.Missing}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// checkReport compares the mean of the case and of the reference with itself, by
// the fixture's scores for this spacing.
func checkReport(t *testing.T, root string) {
	t.Helper()
	var table Table
	readJSON(t, filepath.Join(root, "report", "test", "table.json"), &table)
	var f fixture
	readJSON(t, "testdata/scores.json", &f)
	for i, l := range table.Lines {
		want := (FLARE22.Round(f.Scores[1].FLARE22[i][0]) + 1) / 2
		if math.Abs(l.DSC-want) > parity {
			t.Errorf("%s: got %g, want %g", l.Name, l.DSC, want)
		}
	}
	// No reference holds label 8 and 12; the esophagus is in one slice of both.
	if diff := cmp.Diff([]string{"left adrenal gland", "duodenum"}, table.Absent); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"pred esophagus", "ref esophagus"}, table.Flagged); diff != "" {
		t.Error(diff)
	}
	text, err := os.ReadFile(filepath.Join(root, "report", "test", "scores.csv"))
	if err != nil || !strings.HasPrefix(string(text), "Name,Liver_DSC,RK_DSC,") || strings.Count(string(text), "\n") != 3 {
		t.Errorf("scores.csv: %v\n%s", err, text)
	}
	var summary map[string]json.RawMessage
	text, _ = os.ReadFile(filepath.Join(root, "report", "test", "summary.json"))
	if err := json.Unmarshal(bytes.ReplaceAll(text, []byte("NaN"), []byte("null")), &summary); err != nil || len(summary) != 3 {
		t.Errorf("summary.json: %v", err)
	}
}

func TestProcessReplacesChangedRows(t *testing.T) {
	root := t.TempDir()
	st, err := store.Open(t.Context(), root)
	if err != nil {
		t.Fatal(err)
	}
	c, p := Config{Store: root, Name: "x", Options: Options{Labels: flareLabels()}}, pairs(t)[0]
	row, _, err := Process(t.Context(), st, c, p)
	if err != nil {
		t.Fatal(err)
	}
	again, _, err := Process(t.Context(), st, c, p)
	if diff := cmp.Diff(row, again); err != nil || diff != "" {
		t.Errorf("%v %s", err, diff)
	}
	if err := st.Write(t.Context(), c.rowKey(p.Case), []byte(`{}`)); err != nil {
		t.Fatal(err)
	}
	again, _, err = Process(t.Context(), st, c, p)
	if diff := cmp.Diff(row, again); err != nil || diff != "" {
		t.Errorf("a row that was changed: %v %s", err, diff)
	}
	c.Name = "../x"
	if _, _, err := Process(t.Context(), st, c, p); err == nil {
		t.Error("a name that leaves the folder: no error")
	}
}
