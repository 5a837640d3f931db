package predict

import (
	"encoding/json"
	"testing"

	"noisystudent/io/volume"
	"noisystudent/transforms/fit/fittest"
	"noisystudent/transforms/patch"
)

// Passes foretells how often a network runs.
func TestPasses(t *testing.T) {
	_, c := ready(t, 3)
	image, _ := fittest.Scan(0, 1)
	tiles := float64(len(patch.Windows(image.Shape, c.Plan.PatchSize, c.Plan.Inference.StepSize)))
	if got := c.Passes(image.Geometry); got != 3*tiles || tiles < 2 {
		t.Errorf("%v passes of 3 models over %v tiles", got, tiles)
	}
	c.Plan.Inference.Mirror = "x,z"
	if got := c.Passes(image.Geometry); got != 3*4*tiles {
		t.Errorf("%v passes of 3 models over %v tiles and 4 flips", got, tiles)
	}
	nonsense := volume.Geometry{Shape: [3]int{1 << 30, 1 << 30, 1}, Spacing: [3]float64{1e300, 1, 0}}
	if got := c.Passes(nonsense); got <= 0 {
		t.Errorf("%v passes of a header that is nonsense", got)
	}
}

// A case is recorded with what it took and what it should.
func TestTookIsRecorded(t *testing.T) {
	st, c := ready(t, 2)
	scan := fittest.File(t, t.TempDir(), "a", 1, 1)
	if _, err := Scan(t.Context(), st, c, scan); err != nil {
		t.Fatal(err)
	}
	data, err := st.Read(t.Context(), TookPrefix(c.Stage())+"a.json")
	if err != nil || len(data) == 0 {
		t.Fatal(err)
	}
	var took Took
	if err := json.Unmarshal(data, &took); err != nil || took.Case != "a" || !(took.Seconds > 0) || !(took.Passes > 0) {
		t.Errorf("%s: %+v, %v", data, took, err)
	}
}
