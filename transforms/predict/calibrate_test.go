package predict

import (
	"bytes"
	"math"
	"testing"

	"noisystudent/model/random"
	"noisystudent/transforms/fit/fittest"
	"noisystudent/transforms/manifest"
)

// TestCalibrationFindsTheTemperature: where truth is drawn from the softmax of logits over
// a temperature, that temperature fits best and leaves next to no error.
func TestCalibrationFindsTheTemperature(t *testing.T) {
	const area, classes = 60_000, 3
	s := random.New(3)
	logits, labels, truth := make([]float32, classes*area), make([]uint8, area), make([]uint8, area)
	for _, k := range []int{4, 12, 20} { // 0.5, 1 and 2
		temperature := Temperatures()[k]
		for i := range area {
			var p [classes]float64
			sum, top := 0.0, 0
			for c := range classes {
				v := 3 * s.Normal() * temperature
				logits[c*area+i] = float32(v)
				p[c] = math.Exp(v / temperature)
				if sum += p[c]; p[c] > p[top] {
					top = c
				}
			}
			labels[i] = uint8(top)
			u := s.Float64() * sum
			for truth[i] = 0; int(truth[i]) < classes-1 && u >= p[truth[i]]; truth[i]++ {
				u -= p[truth[i]]
			}
		}
		// All voxels count: shift the classes so that none is background.
		shifted := append(make([]float32, area), logits...)
		for i := range area {
			shifted[i] = float32(math.Inf(-1))
			labels[i]++
			truth[i]++
		}
		c := NewCalibration()
		c.add(shifted, labels, truth, -1)
		if best := c.Best(); best < k-1 || best > k+1 || c.Voxels() != area || c.ECE(k) > 0.01 {
			t.Errorf("temperature %v: best %v, %d voxels, ECE %.4f", temperature, Temperatures()[best], c.Voxels(), c.ECE(k))
		}
		if temperature != 1 && c.ECE(12) < 0.05 {
			t.Errorf("temperature %v: ECE %.4f as it is", temperature, c.ECE(12))
		}
		half := NewCalibration()
		half.add(shifted, labels, truth, 2) // class 2 of the reference does not count
		if n := half.Voxels(); n == 0 || n >= area {
			t.Errorf("%d voxels count", n)
		}
		twice := c.Plus(c)
		if twice.Voxels() != 2*area || math.Abs(twice.ECE(k)-c.ECE(k)) > 1e-12 || twice.Best() != c.Best() {
			t.Error("a sum is not one")
		}
	}
}

// TestCalibrate: of a stored case, once.
func TestCalibrate(t *testing.T) {
	st := fittest.Open(t)
	c := Config{Store: st.Root(), Plan: fittest.Plan(), Options: Options{Device: "ref", Threads: 1}, Models: []ModelRef{{Weights: "w", Digest: "calibrate's model"}}}
	fittest.Weights(t, st, c.Plan, "w", 1)
	c.Plan.Inference.Temperature = 2
	c = c.Calibrating()
	prefix, digest := fittest.Prepare(t, st, c.Plan, "a", 0, true)
	for range 2 {
		row, err := Calibrate(t.Context(), st, c, Prepared{"a", prefix, digest})
		if err != nil || row.Outcome != manifest.Done {
			t.Fatalf("row %+v, error %v", row, err)
		}
	}
	text, err := st.Read(t.Context(), c.CalibrationKey("a"))
	if err != nil || !bytes.Contains(text, []byte(`"nll":[`)) {
		t.Errorf("%s, %v", text, err)
	}
	prefix, digest = fittest.Prepare(t, st, c.Plan, "b", 1, false) // without labels
	if row, err := Calibrate(t.Context(), st, c, Prepared{"b", prefix, digest}); err != nil || row.Outcome != manifest.Rejected {
		t.Errorf("row %+v, error %v", row, err)
	}
}

// TestTemperature: labels of one model stay, probabilities move towards even ones.
func TestTemperature(t *testing.T) {
	shape := [3]int{5, 7, 9}
	image := noise(voxels(shape))
	s := Settings{Classes: 3, Patch: [3]int{4, 6, 8}, Step: 0.5}
	plain, err := Labels(t.Context(), image, shape, &pointwise{}, []Model{gain(2)}, s)
	if err != nil {
		t.Fatal(err)
	}
	s.Temperature = 2
	warm, err := Labels(t.Context(), image, shape, &pointwise{}, []Model{gain(2)}, s)
	if err != nil || !bytes.Equal(plain.Labels, warm.Labels) || !(warm.Confidence < plain.Confidence) {
		t.Errorf("confidence %v, then %v (%v)", plain.Confidence, warm.Confidence, err)
	}
	s.Temperature = 0
	half, err := Labels(t.Context(), image, shape, &pointwise{}, []Model{gain(1)}, s)
	if err != nil || math.Abs(half.Confidence-warm.Confidence) > 1e-6 {
		t.Errorf("half of the logits give %v, a temperature of 2 %v (%v)", half.Confidence, warm.Confidence, err)
	}
}
