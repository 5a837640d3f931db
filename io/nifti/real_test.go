package nifti

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// realCT opens a file of the public CT that tests may use where it is.
func realCT(t *testing.T, name string) *os.File {
	t.Helper()
	folder := os.Getenv("NOISYSTUDENT_CT")
	if folder == "" {
		t.Skip("needs the real CT: set NOISYSTUDENT_CT")
	}
	f, err := os.Open(filepath.Join(folder, name))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// The expected numbers are those that the data's README states.
func TestRealCT(t *testing.T) {
	v, f, err := Read(realCT(t, "example_ct.nii.gz"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if v.Shape != [3]int{112, 101, 122} || v.Spacing != [3]float64{3, 3, 3} || f.Note != "" {
		t.Errorf("%v, note %q", v.Geometry, f.Note)
	}
	if lo, hi := slices.Min(v.Data), slices.Max(v.Data); lo != -1207 || hi != 3382 {
		t.Errorf("HU from %g to %g", lo, hi)
	}
}

func TestRealLabels(t *testing.T) {
	l, _, err := ReadLabels(realCT(t, "example_labels13_upper30.nii.gz"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	counts := make([]int, 256)
	for _, v := range l.Data {
		counts[v]++
	}
	want := []int{38634, 3947, 9452, 644, 997, 1368, 152, 184, 1333, 0, 4675, 1110, 3676}
	if diff := cmp.Diff(want, counts[1:14]); diff != "" {
		t.Errorf("voxels of labels 1 to 13 (-want +got):\n%s", diff)
	}
	image, _, err := ReadHeader(realCT(t, "example_ct_upper30.nii.gz"), Options{})
	if err != nil || !image.SameGrid(l.Geometry, 1e-3) {
		t.Errorf("labels on %v, image on %v, %v", l.Geometry, image, err)
	}
}
