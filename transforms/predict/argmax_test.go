package predict

import (
	"testing"

	"noisystudent/model/random"
)

func TestArgMaxTakesTheLowestAmongEquals(t *testing.T) {
	const classes, area = 5, 7 * 61
	s, scores, labels := random.New(1), make([]float32, classes*area), make([]uint8, area)
	for i := range scores {
		scores[i] = float32(s.At(uint64(i)) % 4) // many equals
	}
	ArgMax(scores, labels)
	for i, got := range labels {
		want := 0
		for c := range classes {
			if scores[c*area+i] > scores[want*area+i] {
				want = c
			}
		}
		if int(got) != want {
			t.Fatalf("voxel %d: class %d, want %d", i, got, want)
		}
	}
}
