package pipelines_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"noisystudent/io/nifti"
	"noisystudent/io/volume"
	"noisystudent/pipelines"
	"noisystudent/runners"
	"noisystudent/transforms/phantom"
	"noisystudent/transforms/plan"
)

// TestRealCT is the plumbing check of BENCHMARKS.md, shortened: a cohort deformed
// from one real labelled scan goes through the whole loop, and the model labels the
// undeformed scan and the whole CT that it was cut from. All of it is one anatomy:
// the scores say that axes, spacing and labels come out where they went in.
func TestRealCT(t *testing.T) {
	ct := os.Getenv("NOISYSTUDENT_CT")
	if ct == "" {
		t.Skip("needs the real CT: set NOISYSTUDENT_CT")
	}
	if testing.Short() {
		t.Skip("half a minute of training: not with -short")
	}
	if err := runners.Init(t.Context(), os.Stderr, false); err != nil {
		t.Fatal(err)
	}
	scan, labels := filepath.Join(ct, "example_ct_upper30.nii.gz"), filepath.Join(ct, "example_labels13_upper30.nii.gz")
	folder := t.TempDir()
	o := pipelines.Options{
		Dataset: filepath.Join(folder, "cohort"), Store: filepath.Join(folder, "store"), Preset: plan.Demo, Seed: 1,
		Set: []string{
			"training.steps_per_epoch=25", "training.teacher_epochs=4", "training.student_epochs=6", "training.finetune_epochs=1",
			"training.folds=2",
		},
	}
	cohort := phantom.Options{Labelled: 3, Unlabelled: 3, Test: 2, Seed: 1, CT: scan, Labels: labels}
	if _, err := pipelines.Phantom(t.Context(), o, pipelines.PhantomRequest{Out: o.Dataset, Options: cohort}); err != nil {
		t.Fatal(err)
	}
	report, err := pipelines.Loop(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if len(report.Rejected) > 0 || report.Pseudo.Kept != 3 {
		t.Errorf("rejected %v, pseudo-labels %+v", report.Rejected, report.Pseudo)
	}
	for i, input := range []string{scan, filepath.Join(ct, "example_ct.nii.gz")} {
		out := filepath.Join(folder, "labels"+strconv.Itoa(i))
		p, err := pipelines.Predict(t.Context(), o, pipelines.PredictRequest{Input: input, Output: out})
		if err != nil || p.Cases != 1 {
			t.Fatalf("predict %s: %+v, %v", input, p, err)
		}
		sameGrid(t, input, filepath.Join(out, filepath.Base(input)))
	}
	references := filepath.Join(folder, "reference", "labels")
	copyFile(t, labels, filepath.Join(references, filepath.Base(scan)))
	copyFile(t, filepath.Join(o.Dataset, "dataset.json"), filepath.Join(folder, "reference", "dataset.json"))
	e, err := pipelines.Evaluate(t.Context(), pipelines.Options{}, pipelines.EvaluateRequest{Predictions: filepath.Join(folder, "labels0"), References: references})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("undeformed scan:\n%s", e.Table)
	if e.Table.Cases != 1 || len(e.Table.Lines) != 13 || len(e.Table.Absent) != 1 || e.Table.Absent[0] != "esophagus" {
		t.Errorf("%d cases, %d organs, absent %v; want 1, 13 and the esophagus", e.Table.Cases, len(e.Table.Lines), e.Table.Absent)
	}
	if liver := e.Table.Lines[0]; liver.DSC < 0.5 {
		t.Errorf("liver DSC %.3f after a short training on its own deformations; axes or labels are mixed up", liver.DSC)
	}
}

// sameGrid checks that labels lie exactly where their scan does, in the file's own axes.
func sameGrid(t *testing.T, scan, labels string) {
	t.Helper()
	var grids [2]volume.Geometry
	for i, name := range []string{scan, labels} {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if grids[i], _, err = nifti.ReadHeader(bytes.NewReader(data), nifti.Options{Orientation: nifti.Stored}); err != nil {
			t.Fatal(err)
		}
	}
	if !grids[0].SameGrid(grids[1], 1e-4) {
		t.Errorf("%s lies on %v, its scan on %v", labels, grids[1], grids[0])
	}
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	data, err := os.ReadFile(from)
	if err == nil {
		err = os.MkdirAll(filepath.Dir(to), 0o755)
	}
	if err == nil {
		err = os.WriteFile(to, data, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}
