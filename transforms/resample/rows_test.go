package resample

import (
	"slices"
	"testing"

	"noisystudent/io/volume"
	"noisystudent/model/random"
)

// TestRowsDoNotShow gives exporters a case plane by plane and as rows of tiles finish it, some
// planes together by their rows, and expects the same labels.
func TestRowsDoNotShow(t *testing.T) {
	const classes = 3
	s := random.New(9)
	for _, m := range []Mapping{
		{From: [3]int{9, 11, 6}, To: [3]int{14, 17, 9}, Coarse: -1},
		{From: [3]int{9, 11, 6}, To: [3]int{21, 8, 5}, Coarse: 0},
		{From: [3]int{8, 10, 7}, To: [3]int{5, 23, 7}, Coarse: -1},
		{From: [3]int{8, 10, 7}, To: [3]int{8, 10, 7}, Coarse: -1},
	} {
		area := m.From[1] * m.From[2]
		scores, labels := make([][]float32, m.From[0]), make([][]uint8, m.From[0])
		for z := range scores {
			for range classes * area {
				scores[z] = append(scores[z], float32(s.Normal()))
			}
			for i := range area {
				labels[z] = append(labels[z], argmaxOf(func(c int) float32 { return scores[z][c*area+i] }, classes))
			}
		}
		run := func(planes, rows []int) (linear, near []uint8) {
			full := [3]int{m.To[0] + 3, m.To[1] + 2, m.To[2] + 1}
			crop := volume.Box{Lo: [3]int{2, 1, 1}, Hi: [3]int{m.To[0] + 2, m.To[1] + 1, m.To[2] + 1}}
			e, n := NewExporter(m, classes), newLabelExporter(m.From, crop, full)
			for i := range planes[1:] {
				for j := range rows[1:] {
					for z := planes[i]; z < planes[i+1]; z++ {
						var part []float32
						for c := range classes {
							part = append(part, scores[z][c*area+rows[j]*m.From[2]:c*area+rows[j+1]*m.From[2]]...)
						}
						classOf := labels[z][rows[j]*m.From[2] : rows[j+1]*m.From[2]]
						if err := e.Rows(t.Context(), z, rows[j], part, classOf); err != nil {
							t.Fatal(err)
						}
						n.Rows(z, rows[j], classOf)
					}
				}
			}
			return e.Labels(), n.Labels()
		}
		one := []int{0, m.From[1]}
		linear, near := run([]int{0, m.From[0]}, one)
		for _, planes := range [][]int{{0, m.From[0]}, {0, 3, 4, m.From[0]}, {0, 2, 5, m.From[0]}} {
			for _, rows := range [][]int{one, {0, 4, m.From[1]}, {0, 1, 2, 7, m.From[1]}, {0, 5, m.From[1] - 1, m.From[1]}} {
				l, n := run(planes, rows)
				if !slices.Equal(l, linear) || !slices.Equal(n, near) {
					t.Errorf("%v: planes %v by rows %v: other labels", m, planes, rows)
				}
			}
		}
	}
}
