package pipelines

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"

	"noisystudent/transforms/cases"
	"noisystudent/transforms/statistics"
)

// TestStatistics measures a cohort by its reference labels: one scan has no labels, one
// has broken ones.
func TestStatistics(t *testing.T) {
	folder := t.TempDir()
	root, st := filepath.Join(folder, "cohort"), filepath.Join(folder, "store")
	tinyCohort(t, root, 3, 1, 4, 0)
	labels := filepath.Join(root, "labelsTs")
	for _, err := range []error{
		os.Remove(filepath.Join(labels, "test_0000.nii.gz")),
		os.Truncate(filepath.Join(labels, "test_0001.nii.gz"), 100),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	o := Options{Store: st, Progress: &notes{}}
	q := StatisticsRequest{Input: filepath.Join(root, "imagesTs"), Labels: labels}
	if _, err := Statistics(t.Context(), o, q); err == nil || !strings.Contains(err.Error(), "--dataset") {
		t.Errorf("without a plan and a dataset: %v", err)
	}
	o.Dataset = root
	first, err := Statistics(t.Context(), o, q)
	if err != nil {
		t.Fatal(err)
	}
	if first.Cases != 2 || first.New != 2 || !first.Compared {
		t.Errorf("%+v", first)
	}
	checkRejected(t, first.Rejected, map[string]told{
		"test_0000": {stage: "statistics", kind: cases.Missing, file: filepath.Join(root, "imagesTs/test_0000_0000.nii.gz"), remedy: "predict the scan first"},
		"test_0001": {stage: "statistics-scans", kind: cases.Truncated, file: filepath.Join(labels, "test_0001.nii.gz"), remedy: "again"},
	})
	written, generations := contents(t, st)
	for _, name := range []string{"scans/statistics.csv", "scans/flags.csv", "labelled/reference.json"} {
		if written["report/statistics/"+name] == "" {
			t.Errorf("no report/statistics/%s", name)
		}
	}
	lines, err := parquet.ReadFile[statistics.Line](filepath.Join(st, "report/statistics/scans/statistics.parquet"))
	if err != nil || len(lines) == 0 || lines[0].Case != "test_0002" || lines[0].VolumeML == 0 {
		t.Errorf("parquet: %+v, %v", lines, err)
	}

	second, err := Statistics(t.Context(), o, q)
	if err != nil || second.New != 0 || second.Cases != 2 || !slices.Equal(second.Flags, first.Flags) {
		t.Errorf("again: %+v, %v", second, err)
	}
	_, again := contents(t, st)
	for name, g := range generations {
		if strings.HasPrefix(name, "statistics/") && again[name] != g {
			t.Errorf("%s was written again", name)
		}
	}
}
