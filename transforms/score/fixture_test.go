package score

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"

	"noisystudent/io/volume"
	"noisystudent/transforms/cases"
)

// readNPY reads a C-order uint8 array of three axes.
func readNPY(t *testing.T, path string) ([3]int, []uint8) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	end := bytes.IndexByte(data, '\n')
	dims := regexp.MustCompile(`'\|u1', 'fortran_order': False, 'shape': \((\d+), (\d+), (\d+)\)`).FindSubmatch(data[:end])
	if dims == nil {
		t.Fatalf("%s: not a C-order uint8 array of three axes", path)
	}
	var shape [3]int
	for a := range shape {
		shape[a], _ = strconv.Atoi(string(dims[a+1]))
	}
	return shape, data[end+1:]
}

// labelsOf puts voxels on a grid with the given spacing (z, y, x).
func labelsOf(shape [3]int, spacing [3]float64, data []uint8) *volume.Labels {
	g := volume.Geometry{Shape: shape, Spacing: spacing, Direction: [3][3]float64{{0, 0, 1}, {0, 1, 0}, {1, 0, 0}}}
	return &volume.Labels{Geometry: g, Data: data}
}

func zyx(xyz [3]float64) [3]float64 { return [3]float64{xyz[2], xyz[1], xyz[0]} }

func readJSON(t *testing.T, path string, into any) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(data, into)
	}
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

// flareLabels is the 13 organs of FLARE in the order of its labels.
func flareLabels() []cases.Label {
	names := []string{
		"liver", "right kidney", "spleen", "pancreas", "aorta", "inferior vena cava", "right adrenal gland",
		"left adrenal gland", "gallbladder", "esophagus", "stomach", "duodenum", "left kidney",
	}
	labels := make([]cases.Label, len(names))
	for i, n := range names {
		labels[i] = cases.Label{ID: i + 1, Name: n}
	}
	return labels
}

// referenceFolder finds what was derived from the real CT, which is not in the
// repository, or skips.
func referenceFolder(t *testing.T) string {
	t.Helper()
	ct := os.Getenv("NOISYSTUDENT_CT")
	if ct == "" {
		t.Skip("needs the real CT: set NOISYSTUDENT_CT")
	}
	dir := filepath.Join(ct, "..", "reference")
	if _, err := os.Stat(filepath.Join(dir, "manifest.json")); err != nil {
		t.Skipf("needs the fixtures of the real CT: %v", err)
	}
	return dir
}
