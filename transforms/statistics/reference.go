package statistics

import (
	"errors"
	"fmt"
	"slices"
)

// Reference is what labelled scans say is usual.
type Reference struct {
	Cases  int     `json:"cases"`
	Organs []Usual `json:"organs"`
}

// Usual is one organ of the labelled scans. Volumes are of scans that hold it whole:
// it touches no face of them. Offsets are between scans that hold both organs whole.
type Usual struct {
	Label   int     `json:"label"`
	Name    string  `json:"name"`
	Present int     `json:"present"` // cases that have it
	Whole   int     `json:"whole"`   // cases that have it whole
	LeastML float64 `json:"least_ml"`
	MostML  float64 `json:"most_ml"`
	// HeightMM is the mean extent from foot to head.
	HeightMM float64 `json:"height_mm"`
	// Above is the mean distance in mm, towards the head, of this organ's centroid
	// from that of each other organ, in the order of Reference.Organs; nil where no
	// scan has both.
	Above []*float64 `json:"above_mm"`
}

// ReferenceOf sums up labelled scans, which must list the same organs.
func ReferenceOf(rows []Row) (Reference, error) {
	if len(rows) == 0 {
		return Reference{}, errors.New("statistics: no labelled scan to compare with")
	}
	rows = sorted(rows)
	r := Reference{Cases: len(rows)}
	for i, o := range rows[0].Organs {
		for _, row := range rows {
			if len(row.Organs) != len(rows[0].Organs) || row.Organs[i].Label != o.Label || row.Organs[i].Name != o.Name {
				return Reference{}, fmt.Errorf("statistics: %s and %s list different organs", rows[0].Case, row.Case)
			}
		}
		r.Organs = append(r.Organs, usual(rows, i))
	}
	return r, nil
}

func usual(rows []Row, i int) Usual {
	first := rows[0].Organs[i]
	u := Usual{Label: first.Label, Name: first.Name, Above: make([]*float64, len(rows[0].Organs))}
	var volumes []float64
	for _, row := range rows {
		o := row.Organs[i]
		if o.Voxels > 0 {
			u.Present++
		}
		if o.whole() {
			volumes = append(volumes, o.VolumeML)
			u.HeightMM += row.height(o)
		}
	}
	if u.Whole = len(volumes); u.Whole == 0 {
		return u
	}
	u.LeastML, u.MostML, u.HeightMM = slices.Min(volumes), slices.Max(volumes), u.HeightMM/float64(u.Whole)
	for j := range u.Above {
		var sum, n float64
		for _, row := range rows {
			if a, b := row.Organs[i], row.Organs[j]; i != j && a.whole() && b.whole() {
				sum, n = sum+a.CentroidMM[2]-b.CentroidMM[2], n+1
			}
		}
		if n > 0 {
			mean := sum / n
			u.Above[j] = &mean
		}
	}
	return u
}

// whole reports whether no face of the scan can have cut the organ off.
func (o Organ) whole() bool { return o.Voxels > 0 && len(o.Touches) == 0 }

// height is the extent of an organ from foot to head, in mm.
func (r Row) height(o Organ) float64 {
	lo, hi := r.level(o.Box.Lo, o.Box.Hi)
	return hi - lo
}

// level is where the box [lo, hi) begins and ends, in mm towards the head.
func (r Row) level(lo, hi [3]int) (foot, head float64) {
	for corner := range 8 {
		var index [3]float64
		for a := range 3 {
			index[a] = float64(lo[a]) - 0.5
			if corner>>a&1 == 1 {
				index[a] = float64(hi[a]) - 0.5
			}
		}
		s := r.Grid.World(index)[2]
		if corner == 0 {
			foot, head = s, s
		}
		foot, head = min(foot, s), max(head, s)
	}
	return foot, head
}
