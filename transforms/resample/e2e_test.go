package resample

import (
	"bytes"
	"context"
	"math"
	"os"
	"path/filepath"
	"testing"

	"noisystudent/io/iotest"
	"noisystudent/io/nifti"
	"noisystudent/io/safetensors"
	"noisystudent/io/volume"
	"noisystudent/transforms/cases"
	"noisystudent/transforms/plan"
)

// TestRealCaseEqualsNNUNet takes a real CT through preprocessing and labels at
// network resolution back onto it, as nnU-Net v2 and the paper do.
func TestRealCaseEqualsNNUNet(t *testing.T) {
	dir, _ := realManifest(t)
	var want struct {
		Shape  [4]int  `json:"preprocessed_shape"`
		Sum    float64 `json:"preprocessed_sum"`
		AbsSum float64 `json:"preprocessed_abs_sum"`
	}
	readJSON(t, filepath.Join(dir, "e2e", "e2e.json"), &want)
	file := filepath.Join(os.Getenv("NOISYSTUDENT_CT"), "example_ct_upper30.nii.gz")
	got, err := Load(context.Background(), cases.Case{ID: "real", Set: cases.Unlabelled, Image: file}, tinyPlan(t, dir), 0)
	if err != nil {
		t.Fatal(err)
	}
	if got.Shape != [3]int(want.Shape[1:]) {
		t.Fatalf("got shape %v, want %v", got.Shape, want.Shape)
	}
	var sum, abs float64
	for _, v := range got.Image {
		sum, abs = sum+float64(v), abs+math.Abs(float64(v))
	}
	if n := float64(len(got.Image)); math.Abs(sum-want.Sum)/n > 1e-6 || math.Abs(abs-want.AbsSum)/n > 1e-6 {
		t.Errorf("got sums %g and %g, want %g and %g", sum, abs, want.Sum, want.AbsSum)
	}
	tensors := iotest.Tensors(t, filepath.Join(dir, "e2e", "e2e.safetensors"))
	block := volume.Crop(got.Image, got.Shape, volume.Box{Lo: [3]int{10, 40, 40}, Hi: [3]int{14, 88, 88}})
	for i, w := range tensors["preprocessed_block"].Data {
		if math.Abs(float64(block[i]-w)) > tolerance {
			t.Fatalf("voxel %d of the block: got %g, want %g", i, block[i], w)
		}
	}
	checkPaperExport(t, dir, got, tensors["argmax_plan_space"])
}

// checkPaperExport compares with the paper's arg-max, then nearest.
func checkPaperExport(t *testing.T, dir string, p *Prepared, argmax safetensors.Tensor) {
	t.Helper()
	labels := make([]uint8, len(argmax.Data))
	for i, v := range argmax.Data {
		labels[i] = uint8(v)
	}
	data, err := os.ReadFile(filepath.Join(dir, "e2e", "pred_paper_nearest.nii.gz"))
	if err != nil {
		t.Fatal(err)
	}
	want, _, err := nifti.ReadLabels(bytes.NewReader(data), nifti.Options{Orientation: nifti.Stored})
	if err != nil {
		t.Fatal(err)
	}
	got := p.Restore(labels)
	if !got.SameGrid(want.Geometry, 1e-3) || !bytes.Equal(got.Data, want.Data) {
		t.Errorf("labels on %v differ from the paper's export on %v", got.Geometry, want.Geometry)
	}
}

// tinyPlan reads what preprocessing needs of the small model's nnU-Net plans.
func tinyPlan(t *testing.T, dir string) plan.Plan {
	t.Helper()
	var file struct {
		Configurations map[string]struct {
			Spacing [3]float64 `json:"spacing"`
		} `json:"configurations"`
		Intensity map[string]plan.Intensity `json:"foreground_intensity_properties_per_channel"`
	}
	readJSON(t, filepath.Join(dir, "tiny_model", "plans.json"), &file)
	p := plan.Plan{Orientation: nifti.Stored, Ignore: -1, Intensity: file.Intensity["0"]}
	for _, c := range file.Configurations {
		p.Spacing = c.Spacing
	}
	return p
}
