package augment

import (
	"fmt"
	"slices"

	"noisystudent/transforms/cases"
)

// Range is a closed interval of a parameter.
type Range struct{ Lo, Hi float64 }

// Effect is one transform of a table: applied with probability P, its parameter
// drawn from Range.
type Effect struct {
	P float64
	Range
}

// GammaEffect is an Effect that may work on the negative image.
type GammaEffect struct {
	Effect
	Invert bool
}

// Mirror says which axes (z, y, x) may be flipped, each with probability one half.
// Pairs are labels that change places when x is flipped; empty: they do not.
type Mirror struct {
	Axes  [3]bool
	Pairs [][2]uint8
}

// Table is the strength of every transform. The zero value changes nothing.
//
// Blur and LowRes carry a second probability, per channel, as in nnU-Net; with the
// one channel of CT the two multiply. Brightness, Contrast and Gamma draw below 1
// and above 1 with equal chance (BGContrast), so that the median factor is 1.
type Table struct {
	Name          string
	Rotation      Effect // degrees, each axis on its own
	Scaling       Effect // one factor for all axes
	Noise         Effect // standard deviation
	Blur          Effect // sigma in voxels, each axis on its own
	BlurChannel   float64
	Brightness    Effect
	Contrast      Effect
	LowRes        Effect // zoom, one for all axes
	LowResChannel float64
	Gamma         []GammaEffect
	Mirror        Mirror
}

var allAxes = Mirror{Axes: [3]bool{true, true, true}}

// The paper's table of teachers, from which the others differ in a few rows. Open in
// the paper and decided: rotation and scaling with p 0.2 each, as in nnU-Net; the
// noise's "variance 0-0.1" is a standard deviation, as in nnU-Net's code (the square
// root would be far too strong); one gamma, not inverted.
var teacher = Table{
	Name:        "teacher",
	Rotation:    Effect{0.2, Range{-30, 30}},
	Scaling:     Effect{0.2, Range{0.7, 1.4}},
	Noise:       Effect{0.1, Range{0, 0.1}},
	Blur:        Effect{0.2, Range{0.5, 1}},
	BlurChannel: 0.5,
	Brightness:  Effect{0.15, Range{0.75, 1.25}},
	Contrast:    Effect{0.15, Range{0.75, 1.25}},
	LowRes:      Effect{0.25, Range{0.5, 1}}, LowResChannel: 0.5,
	Gamma:  []GammaEffect{{Effect{0.1, Range{0.7, 1.5}}, false}},
	Mirror: allAxes,
}

// student is the paper's table of students.
func student() Table {
	t := teacher
	t.Name = "student"
	t.Noise.P = 0.15
	t.Blur.Hi = 1.5
	t.Brightness.Range = Range{0.7, 1.3}
	t.Contrast.Range = Range{0.65, 1.5}
	t.Gamma = []GammaEffect{{Effect{0.15, Range{0.7, 1.5}}, false}}
	return t
}

// nnunet is the table of nnU-Net v2's trainer: two gammas, the first inverted.
func nnunet() Table {
	t := teacher
	t.Name = "nnunet"
	t.Gamma = []GammaEffect{{Effect{0.1, Range{0.7, 1.5}}, true}, {Effect{0.3, Range{0.7, 1.5}}, false}}
	return t
}

var tables = []Table{teacher, student(), nnunet(), {Name: "none"}}

// Lookup returns the table of a name: teacher, student, nnunet or none.
func Lookup(name string) (Table, error) {
	for _, t := range tables {
		if t.Name == name {
			t.Gamma = slices.Clone(t.Gamma)
			return t, nil
		}
	}
	return Table{}, fmt.Errorf("augment: no table %q; choose teacher, student, nnunet or none", name)
}

// WithMirror returns the table with another mirroring: "plain" flips every axis,
// "laterality" also exchanges the labels of paired organs when x is flipped,
// "left-right" does that and flips x alone, "none" flips nothing. A table without
// mirroring keeps none. Knowing left from right needs the orientation "ras", where x
// runs from the patient's left to the right, and both labels of each pair.
func (t Table) WithMirror(mode, orientation string, labels []cases.Label) (Table, error) {
	switch {
	case mode == "none":
		t.Mirror = Mirror{}
	case mode == "plain":
		t.Mirror.Pairs = nil
	case mode != "laterality" && mode != "left-right":
		return Table{}, fmt.Errorf("augment: no mirroring %q; choose plain, laterality, left-right or none", mode)
	case orientation != "ras":
		return Table{}, fmt.Errorf("augment: %s mirroring needs plan orientation ras, not %q", mode, orientation)
	default:
		if mode == "left-right" {
			t.Mirror.Axes[0], t.Mirror.Axes[1] = false, false
		}
		t.Mirror.Pairs = nil
		if t.Mirror.Axes[2] {
			t.Mirror.Pairs = pairs(labels)
		}
	}
	return t, nil
}

func pairs(labels []cases.Label) (out [][2]uint8) {
	for _, p := range cases.Pairs(labels) {
		out = append(out, [2]uint8{uint8(p[0]), uint8(p[1])})
	}
	return out
}
