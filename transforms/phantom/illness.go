package phantom

import (
	"slices"

	"noisystudent/model/random"
)

// illnesses says how often patients of a domain have what others have not.
type illnesses struct {
	noGallbladder float64 // it was taken out
	oneKidney     float64 // the other one is missing
	mirrored      float64 // situs inversus: the liver lies on the left
	tumour        float64 // a large one in liver, spleen or a kidney, labelled as the organ
}

// illness is what one patient has.
type illness struct{ noGallbladder, oneKidney, mirrored, tumour bool }

// draw takes a stream of its own, so that what is not ill stays what it was.
func (f illnesses) draw(s *random.Stream) illness {
	return illness{s.Bool(f.noGallbladder), s.Bool(f.oneKidney), s.Bool(f.mirrored), s.Bool(f.tumour)}
}

// apply changes the contents of an abdomen.
func (i illness) apply(s *random.Stream, contents []part) []part {
	without := func(label uint8) {
		contents = slices.DeleteFunc(contents, func(p part) bool { return p.label == label })
	}
	if i.noGallbladder {
		without(gallbladder)
	}
	hosts := []uint8{liver, spleen, rightKidney, leftKidney}
	if i.oneKidney {
		lost := hosts[2+s.IntN(2)]
		without(lost)
		hosts = slices.DeleteFunc(hosts, func(l uint8) bool { return l == lost })
	}
	if i.tumour {
		contents = slices.Insert(contents, 0, tumour(s, contents, hosts[s.IntN(len(hosts))]))
	}
	return contents
}

// tumour grows in the largest ellipsoid of an organ and may bulge out of it.
func tumour(s *random.Stream, contents []part, label uint8) part {
	var host ellipsoid
	volume := func(e ellipsoid) float64 { return e.radii[0] * e.radii[1] * e.radii[2] }
	for _, p := range contents {
		if e, ok := p.shape.(ellipsoid); ok && p.label == label && volume(e) > volume(host) {
			host = e
		}
	}
	at := host.centre
	for a := range 3 {
		at = at.add(host.turn[a].times(s.Uniform(-0.5, 0.5) * host.radii[a]))
	}
	r := s.Uniform(0.4, 0.7) * (host.radii[0] + host.radii[1] + host.radii[2]) / 3
	e := newEllipsoid(at, point{r * s.Uniform(0.8, 1.2), r * s.Uniform(0.8, 1.2), r}, point{s.Uniform(-90, 90), 0, s.Uniform(-90, 90)})
	return newPart(e, label, lesion)
}

// otherSide exchanges the labels of paired organs: right is the patient's right, also
// where the organs are mirrored.
func otherSide(label uint8) uint8 {
	switch label {
	case rightKidney:
		return leftKidney
	case leftKidney:
		return rightKidney
	case rightAdrenal:
		return leftAdrenal
	case leftAdrenal:
		return rightAdrenal
	}
	return label
}
