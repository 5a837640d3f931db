package resample

import (
	"testing"

	"noisystudent/io/volume"
	"noisystudent/transforms/cases"
)

// checkCrop compares the box that production crops to with nnU-Net's.
func checkCrop(t *testing.T, in array) volume.Box {
	t.Helper()
	got, ok := cases.NonZero(&volume.Volume{Geometry: volume.Geometry{Shape: in.last3()}, Data: in.floats()})
	if want := (volume.Box{Lo: [3]int{2, 3, 5}, Hi: [3]int{12, 21, 25}}); !ok || got != want {
		t.Errorf("got box %v, want %v", got, want)
	}
	return got
}

// inBox tells of every voxel of a grid whether it is in a box.
func inBox(shape [3]int, b volume.Box) []bool {
	inside := make([]bool, shape[0]*shape[1]*shape[2])
	for i := range inside {
		at := [3]int{i / (shape[1] * shape[2]), i / shape[2] % shape[1], i % shape[2]}
		inside[i] = true
		for a := range 3 {
			inside[i] = inside[i] && at[a] >= b.Lo[a] && at[a] < b.Hi[a]
		}
	}
	return inside
}

func TestNonzeroMaskFillsHolesOnly(t *testing.T) {
	// A ring of ones in each of three slices, closed above and below in the middle
	// one: its inside is a hole there, a tunnel in the others.
	ring := []float32{0, 0, 0, 0, 0, 0, 1, 1, 1, 0, 0, 1, 0, 1, 0, 0, 1, 1, 1, 0, 0, 0, 0, 0, 0}
	lid := []float32{0, 0, 0, 0, 0, 0, 1, 1, 1, 0, 0, 1, 1, 1, 0, 0, 1, 1, 1, 0, 0, 0, 0, 0, 0}
	for name, c := range map[string]struct {
		planes [][]float32
		filled bool
	}{
		"closed":   {[][]float32{lid, ring, lid}, true},
		"open":     {[][]float32{ring, ring, lid}, false},
		"one deep": {[][]float32{ring}, false},
	} {
		var data []float32
		for _, p := range c.planes {
			data = append(data, p...)
		}
		mask := NonzeroMask(data, [3]int{len(c.planes), 5, 5})
		hole := len(c.planes)/2*25 + 12
		if mask[hole] != c.filled || mask[0] || !mask[hole-1] {
			t.Errorf("%s: hole %v, corner %v, ring %v", name, mask[hole], mask[0], mask[hole-1])
		}
	}
}
