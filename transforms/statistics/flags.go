package statistics

import (
	"fmt"
	"slices"

	"noisystudent/transforms/cases"
)

// Kind names what a flag is about.
type Kind string

const (
	Missing   Kind = "missing"           // absent, though the scan shows where it lies
	Small     Kind = "small"             // below the volumes of labelled scans, and whole
	Large     Kind = "large"             // above them
	Sides     Kind = "left-right"        // the left one of a pair lies to the right of the right one
	Scattered Kind = "several-pieces"    // the second piece is large
	Disagree  Kind = "teachers-disagree" // the models' mean probability of the label is low
)

// Flag is something that a person should look at. It refuses nothing.
type Flag struct {
	Case    string `json:"case"`
	Organ   string `json:"organ"`
	Kind    Kind   `json:"kind"`
	Message string `json:"message"`
}

const (
	// slack is how far outside of the labelled volumes one may lie: there are few of them.
	slack = 1.25
	// usuallyThere is the part of labelled scans that must hold an organ for its absence to be told.
	usuallyThere = 0.9
	// secondShare is the part of an organ's volume from which on a second piece is told.
	secondShare = 0.1
	// agreed is the mean probability of an organ's voxels below which its models disagree
	// or doubt. It is a choice, not a measurement: where three of five teachers are sure of
	// an organ and two of another, the mean is 0.6.
	agreed = 0.7
)

// Flags looks a scan over. Without a reference (nil) only what needs none is told.
func Flags(r Row, ref *Reference) (list []Flag) {
	tell := func(o Organ, kind Kind, format string, args ...any) {
		list = append(list, Flag{Case: r.Case, Organ: o.Name, Kind: kind, Message: fmt.Sprintf(format, args...)})
	}
	for i, o := range r.Organs {
		if ref != nil {
			r.compare(o, i, *ref, tell)
		}
		if o.SecondML > secondShare*o.VolumeML {
			tell(o, Scattered, "%d pieces, the second of %.1f of %.1f ml", o.Pieces, o.SecondML, o.VolumeML)
		}
		if o.Certainty > 0 && o.Certainty < agreed {
			tell(o, Disagree, "the mean probability of its voxels is %.2f, below %.2f: teachers disagree, or the model doubts", o.Certainty, agreed)
		}
		if right := r.opposite(o); right != nil && o.Voxels > 0 && right.Voxels > 0 && o.CentroidMM[0] > right.CentroidMM[0] {
			tell(o, Sides, "it lies %.0f mm to the right of %s", o.CentroidMM[0]-right.CentroidMM[0], right.Name)
		}
	}
	return list
}

// compare tells what labelled scans say against organ i.
func (r Row) compare(o Organ, i int, ref Reference, tell func(Organ, Kind, string, ...any)) {
	if i >= len(ref.Organs) || ref.Organs[i].Label != o.Label {
		return
	}
	u := ref.Organs[i]
	switch {
	case o.Voxels == 0 && float64(u.Present) >= usuallyThere*float64(ref.Cases) && r.shows(u):
		tell(o, Missing, "%d of %d labelled scans have it, and the scan reaches where it should lie", u.Present, ref.Cases)
	case u.Whole == 0:
	case o.whole() && o.VolumeML < u.LeastML/slack:
		tell(o, Small, "%.1f ml; labelled scans have %.1f to %.1f", o.VolumeML, u.LeastML, u.MostML)
	case o.VolumeML > u.MostML*slack:
		tell(o, Large, "%.1f ml; labelled scans have %.1f to %.1f", o.VolumeML, u.LeastML, u.MostML)
	}
}

// shows reports whether an organ's usual place lies within the scan, from foot to
// head: the median over the organs that are there whole, and half the organ's height around it.
func (r Row) shows(u Usual) bool {
	var guesses []float64
	for j, o := range r.Organs {
		if j < len(u.Above) && u.Above[j] != nil && o.whole() {
			guesses = append(guesses, o.CentroidMM[2]+*u.Above[j])
		}
	}
	if len(guesses) == 0 {
		return false
	}
	slices.Sort(guesses)
	at := guesses[len(guesses)/2]
	foot, head := r.level([3]int{}, r.Grid.Shape)
	return at-u.HeightMM/2 >= foot && at+u.HeightMM/2 <= head
}

// opposite is the right one of a pair whose left one is o, by their names.
func (r Row) opposite(o Organ) *Organ {
	labels := make([]cases.Label, len(r.Organs))
	for i, organ := range r.Organs {
		labels[i] = cases.Label{ID: i, Name: organ.Name}
	}
	for _, pair := range cases.Pairs(labels) {
		if r.Organs[pair[1]].Label == o.Label {
			return &r.Organs[pair[0]]
		}
	}
	return nil
}
