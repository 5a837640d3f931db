package predict

import (
	"fmt"
	"math"
	"testing"

	"noisystudent/model/random"
)

// The patch and classes of the paper.
var paper = Settings{Classes: 14, Patch: [3]int{40, 224, 192}, Step: 0.5}

// What the network does not do: a tile blended, and planes of the same area
// finished, by one model and by five.
func BenchmarkBlend(b *testing.B) {
	logits := make([]float32, paper.Classes*paper.Patch[1]*paper.Patch[2])
	s := random.New(1)
	for i := range logits {
		logits[i] = float32(s.Uniform(-4, 4))
	}
	for _, models := range []int{1, 5} {
		r := newRing(paper, models, paper.Patch)
		b.Run(fmt.Sprintf("tile of %d models", models), func(b *testing.B) {
			for b.Loop() {
				for m := range models {
					for z := range paper.Patch[0] {
						r.add(m, [3]int{}, z, logits)
					}
				}
			}
		})
		scores, labels := make([]float32, paper.Classes*224*192), make([]uint8, 224*192)
		b.Run(fmt.Sprintf("20 planes of %d models", models), func(b *testing.B) {
			for b.Loop() {
				for z := range 20 {
					r.finish(z, 0, paper.Patch[2], 0, Finished{Scores: scores, Labels: labels})
				}
			}
		})
	}
	b.Run("flip of a plane", func(b *testing.B) {
		sum := make([]float32, len(logits))
		for b.Loop() {
			addFlipped(sum, logits, paper.Classes, [3]int{1, paper.Patch[1], paper.Patch[2]}, [3]bool{true, true, true})
		}
	})
}

func TestExp(t *testing.T) {
	e := func(x float32) float32 {
		one := []float32{x}
		exp(one, []float32{0})
		return one[0]
	}
	worst := 0.0
	for x := float32(0); x > -86; x = x*1.0001 - 1e-6 {
		worst = max(worst, math.Abs(float64(e(x))/math.Exp(float64(x))-1))
	}
	if worst > 2.4e-7 { // two units in the last place
		t.Errorf("relative error %g", worst)
	}
	for x, want := range map[float32]float32{0: 1, -87.5: 0, float32(math.Inf(-1)): 0} {
		if got := e(x); got != want {
			t.Errorf("exp(%v) = %v, want %v", x, got, want)
		}
	}
	if v := e(float32(math.NaN())); v == v {
		t.Errorf("exp of NaN is %v", v)
	}
}
