package predict

import (
	"math"
	"testing"

	"noisystudent/io/store"
	"noisystudent/transforms/fit/fittest"
	"noisystudent/transforms/plan"
)

// onHost hides that a network can blend.
type onHost struct{ Network }

// TestDeviceBlendsAsTheHostDoes segments an image by the same network twice. It is flatter
// than a tile and wider, so that there is padding.
func TestDeviceBlendsAsTheHostDoes(t *testing.T) {
	for name, change := range map[string]func(i *plan.Inference) (models int){
		"one model":          func(i *plan.Inference) int { return 1 },
		"ensemble":           func(i *plan.Inference) int { return 3 },
		"mirrored":           func(i *plan.Inference) int { i.Mirror = "x,z"; return 1 },
		"softmax":            func(i *plan.Inference) int { i.Blend = "softmax"; return 2 },
		"softmax, mirrored":  func(i *plan.Inference) int { i.Blend, i.Mirror = "softmax", "y"; return 1 },
		"ensemble, mirrored": func(i *plan.Inference) int { i.Mirror = "y"; return 2 },
	} {
		t.Run(name, func(t *testing.T) {
			p := fittest.Plan()
			models := change(&p.Inference)
			st, c := ready(t, models)
			c.Plan = p
			patch := c.Plan.PatchSize
			shape := [3]int{2*patch[0] + 1, patch[1] - 1, patch[2] + 3}
			c.compare(t, st, noise(voxels(shape)), shape)
		})
	}
}

func (c Config) compare(t *testing.T, st *store.Store, image []float32, shape [3]int) {
	t.Helper()
	_, err := c.withNetwork(t.Context(), st, func(n Network, models []Model, s Settings) error {
		on := onDevice(t.Context(), n, len(models), s, [3]int{1, 1000, 1000})
		if (on == nil) != (s.Softmax && s.Mirror != [3]bool{}) || onDevice(t.Context(), onHost{n}, len(models), s, [3]int{1, 1000, 1000}) != nil {
			t.Errorf("blended on the device: %v", on != nil)
		}
		if on != nil {
			if err := on.Close(); err != nil {
				return err
			}
		}
		device, err := Labels(t.Context(), image, shape, n, models, s)
		if err != nil {
			return err
		}
		host, err := Labels(t.Context(), image, shape, onHost{n}, models, s)
		if err != nil {
			return err
		}
		different := 0
		for i, label := range host.Labels {
			if label != device.Labels[i] {
				different++
			}
		}
		if different > len(image)/1000 || math.Abs(host.Confidence-device.Confidence) > 1e-4 || host.Confidence == 0 {
			t.Errorf("%d labels of %d differ, confidence %g by the device, %g by the host", different, len(image), device.Confidence, host.Confidence)
		}
		s.Scores = true
		var planes [][]float32
		keep := byPlane(shape, func(_ int, f Finished) error {
			planes = append(planes, append([]float32(nil), f.Scores...))
			return nil
		})
		if err := Segment(t.Context(), image, shape, n, models, s, keep); err != nil {
			return err
		}
		if err := Segment(t.Context(), image, shape, onHost{n}, models, s, keep); err != nil {
			return err
		}
		for z := range shape[0] {
			for i, want := range planes[shape[0]+z] {
				if got := planes[z][i]; math.Abs(float64(got-want)) > 1e-5*max(1, math.Abs(float64(want))) {
					t.Fatalf("plane %d: score %d is %g by the device, %g by the host", z, i, got, want)
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
