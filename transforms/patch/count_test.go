package patch

import "testing"

func TestCountIsThatOfWindows(t *testing.T) {
	for _, shape := range [][3]int{{8, 8, 8}, {9, 30, 17}, {40, 8, 63}} {
		for _, step := range []float64{0.3, 0.5, 1} {
			if got, want := Count(shape, [3]int{8, 6, 7}, step), len(Windows(shape, [3]int{8, 6, 7}, step)); got != want {
				t.Errorf("%v by %v: %d, want %d", shape, step, got, want)
			}
		}
	}
}
