package fingerprint

import (
	"context"
	"encoding/json"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"noisystudent/transforms/cases"
)

// makePhantoms writes the four phantoms of the reference dataset with the script
// that made them.
const makePhantoms = `
import sys; sys.path.insert(0, sys.argv[1])
import nibabel, phantom
for i, (shape, spacing) in enumerate([((512, 512, 96), (.80, .80, 2.5)), ((512, 512, 110), (.74, .74, 2.5)), ((512, 512, 84), (.86, .86, 3.0)), ((384, 384, 90), (.80, .80, 2.5))]):
    for name, data in zip(("image", "labels"), phantom.make(shape, spacing, seed=100 + i, air_border=24 if i == 0 else 0)):
        image = nibabel.Nifti1Image(data, phantom.affine(spacing)); image.header.set_xyzt_units("mm")
        nibabel.save(image, f"{sys.argv[2]}/phantom{i}_{name}.nii")
`

// The dataset of four phantoms and one real CT has nnU-Net's fingerprint, but for
// the draws: nnU-Net's come from NumPy's generator.
func TestFingerprintNearNNUNet(t *testing.T) {
	python, ct := os.Getenv("NOISYSTUDENT_PYTHON"), os.Getenv("NOISYSTUDENT_CT")
	if python == "" {
		t.Skip("needs Python peers: set NOISYSTUDENT_PYTHON (testdata/peers/setup makes one)")
	}
	if ct == "" {
		t.Skip("needs the real CT: set NOISYSTUDENT_CT")
	}
	if testing.Short() {
		t.Skip("half a minute: not with -short")
	}
	scripts, reference := filepath.Join(ct, "../notes/reference"), filepath.Join(ct, "../reference/plans/dataset_fingerprint.json")
	data, err := os.ReadFile(reference)
	if err != nil {
		t.Skipf("needs the parity fixtures beside the real CT: %v", err)
	}
	var want Fingerprint
	if err := json.Unmarshal(data, &want); err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	if out, err := exec.Command(python, "-c", makePhantoms, scripts, folder).CombinedOutput(); err != nil {
		t.Skipf("needs phantom.py of the parity fixtures: %v\n%s", err, out)
	}
	list := []cases.Case{{ID: "real", Image: filepath.Join(ct, "example_ct_upper30.nii.gz"), Labels: filepath.Join(ct, "example_labels13_upper30.nii.gz")}}
	for _, id := range []string{"phantom0", "phantom1", "phantom2", "phantom3"} {
		list = append(list, cases.Case{ID: id, Image: filepath.Join(folder, id+"_image.nii"), Labels: filepath.Join(folder, id+"_labels.nii")})
	}
	o := Options{Scheme: cases.Scheme{Classes: 14, Ignore: -1}, Samples: TotalSamples / int64(len(list))}
	var facts Facts
	for _, c := range list {
		image, labels, _, err := cases.ReadPair(context.Background(), c, o.Scheme, "stored", 0)
		if err != nil {
			t.Fatal(err)
		}
		facts = facts.Merge(Measure(c.ID, image, labels, o))
	}
	got, err := Summarise(facts, "stored")
	if err != nil {
		t.Fatal(err)
	}
	compare(t, want, got)
}

// A scan whose lower slices carry the ignore label has the foreground of its upper
// slices alone.
func TestIgnoredSlicesOfTheRealCT(t *testing.T) {
	ct := os.Getenv("NOISYSTUDENT_CT")
	if ct == "" {
		t.Skip("needs the real CT: set NOISYSTUDENT_CT")
	}
	measured := func(image, labels string, ignore int) Facts {
		o := Options{Scheme: cases.Scheme{Classes: 14, Ignore: ignore}, Samples: 200_000}
		c := cases.Case{ID: "x", Image: filepath.Join(ct, image), Labels: filepath.Join(ct, labels)}
		v, l, _, err := cases.ReadPair(context.Background(), c, o.Scheme, "ras", 0)
		if err != nil {
			t.Fatal(err)
		}
		return Measure("x", v, l, o)
	}
	upper := measured("example_ct_upper30.nii.gz", "example_labels13_upper30.nii.gz", -1)
	whole := measured("example_ct.nii.gz", "example_labels13_ignore14.nii.gz", 14)
	if d := cmp.Diff(upper.Histogram, whole.Histogram); d != "" {
		t.Errorf("foreground (-upper slices +whole scan)\n%s", d)
	}
	want := []int64{38634, 3947, 9452, 644, 997, 1368, 152, 184, 1333, 0, 4675, 1110, 3676} // from the data's own README
	if d := cmp.Diff(want, whole.Cases[0].LabelVoxels[1:]); d != "" {
		t.Errorf("voxels of each organ (-want +got)\n%s", d)
	}
}

func compare(t *testing.T, want, got Fingerprint) {
	t.Helper()
	for i := range want.Shapes {
		if want.Shapes[i] != got.Shapes[i] {
			t.Errorf("%s: shape %v, want %v", got.Cases[i], got.Shapes[i], want.Shapes[i])
		}
		for a := range 3 {
			if math.Abs(want.Spacings[i][a]-got.Spacings[i][a]) > 1e-6 {
				t.Errorf("%s: spacing %v, want %v", got.Cases[i], got.Spacings[i], want.Spacings[i])
			}
		}
	}
	if math.Abs(want.RelativeSize-got.RelativeSize) > 1e-9 {
		t.Errorf("relative size %v, want %v", got.RelativeSize, want.RelativeSize)
	}
	// The whole foreground has mean 95.887, sd 54.912, and 0.50007 of it is up to 107 HU: 1e8 draws leave standard errors
	// of 0.006, 0.02 and 0.00005 on either side, so the median may be 107 or 108.
	w, g := want.CT(), got.CT()
	t.Logf("nnU-Net %+v\nours    %+v", w, g)
	for _, c := range []struct {
		name                 string
		want, got, tolerance float64
	}{
		{"mean", w.Mean, g.Mean, 0.05},
		{"std", w.SD, g.SD, 0.1},
		{"median", w.Median, g.Median, 1},
		{"percentile_00_5", w.P005, g.P005, 1},
		{"percentile_99_5", w.P995, g.P995, 1},
		{"min", w.Min, g.Min, 0},
		{"max", w.Max, g.Max, 0},
	} {
		if math.Abs(c.want-c.got) > c.tolerance {
			t.Errorf("%s %v, want %v within %v", c.name, c.got, c.want, c.tolerance)
		}
	}
}
