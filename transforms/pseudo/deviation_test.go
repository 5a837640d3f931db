package pseudo

import (
	"math"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestDeviations: of ten patients who lie somewhere in their scans, one has a spleen of four
// times the size, one has it on the other side, and the rest differ a little. Only the
// first two are unusual, and of organs that four cases have nothing is said.
func TestDeviations(t *testing.T) {
	const spleen, kidney, rare = 2, 3, 4
	var notes []Note
	var doubts []Doubts
	for i := range 10 {
		n := Note{Case: string(rune('a' + i)), Voxels: []int64{9999, 1000 + int64(i), 300 + int64(3*i%10), 200, 0}}
		at := float64(7 * i % 10) // where the scan begins
		d := Doubts{Case: n.Case, Centers: [][3]float64{{}, {at + 10, 30, 20}, {at + 10.5 + float64(i%3)/2, 30, 60}, {at + 4, 40, 55}, {}}}
		if i < fewest-1 {
			n.Voxels[rare], d.Centers[rare] = int64(1+100*i), [3]float64{float64(i * i), 1, 1}
		}
		notes, doubts = append(notes, n), append(doubts, d)
	}
	notes[3].Voxels[spleen] *= 4
	doubts[6].Centers[spleen][2] = 5
	notes[8].Voxels[kidney] = 0 // cut off
	doubts[8].Centers[kidney] = [3]float64{}
	far := map[[2]int]bool{}
	for i, classes := range deviations(notes, doubts) {
		for class, v := range classes {
			if v > 3 {
				far[[2]int{i, class}] = true
			}
			if math.IsNaN(v) || class == rare && v != 0 {
				t.Errorf("case %d, class %d: %v", i, class, v)
			}
		}
	}
	if d := cmp.Diff(map[[2]int]bool{{3, spleen}: true, {6, spleen}: true}, far); d != "" {
		t.Error(d)
	}
	s := Select(notes, fill(doubts), Rule{MaxDeviation: 3})
	if got := s.LeftOut("d"); !slices.Equal(got, []uint8{spleen}) || s.LeftOut("a") != nil {
		t.Errorf("%v of d is left out, and %v of a", got, s.LeftOut("a"))
	}
}

// fill adds what a rule of deviations does not look at.
func fill(doubts []Doubts) []Doubts {
	for i := range doubts {
		doubts[i].Agreement, doubts[i].Entropy = []float64{1, 1, 1, 1, 1}, make([]float64, 5)
	}
	return doubts
}

func TestCenters(t *testing.T) {
	labels := []uint8{
		0, 1, 1,
		0, 0, 2,

		0, 1, 1,
		0, 0, 0,
	}
	got := centers(labels, [3]int{2, 2, 3}, []int64{7, 4, 1, 0})
	if d := cmp.Diff([][3]float64{{0.5, 2.0 / 3, 1}, {0.5, 0, 1.5}, {0, 1, 2}, {}}[1:], got[1:]); d != "" {
		t.Error(d)
	}
}

func TestChanges(t *testing.T) {
	got := changes([]uint8{0, 1, 1, 2, 0}, []uint8{0, 1, 0, 0, 9}, 4)
	if d := cmp.Diff([]float64{1 - 2./5, 1 - 2./3, 1, 0}, got, cmp.Comparer(func(a, b float64) bool { return math.Abs(a-b) < 1e-12 })); d != "" {
		t.Error(d)
	}
}
