package phantom

import "noisystudent/model/random"

// span is a range to draw from, uniformly.
type span struct{ lo, hi float64 }

func (r span) draw(s *random.Stream) float64 { return s.Uniform(r.lo, r.hi) }

// domain is the strength of everything that may differ between two hospitals.
type domain struct {
	rotation   float64 // degrees about the body's axis at most; half of it about the others
	scale      float64 // part of the size, at most
	shift      float64 // mm in plane at most, a third of it along the axis
	elastic    float64 // mm, SD of the smooth deformation
	organSize  float64 // SD of the size of an organ, as a part of it
	organShift float64 // mm, SD of the place of an organ
	dose       span    // part of a full contrast phase
	phases     []phase
	organHU    float64 // SD between cases of an organ's HU
	globalHU   float64 // SD between cases of all HU
	textureHU  float64 // SD of slow changes within a case
	noiseHU    span    // SD of the noise
	blur       span    // voxels; under 0.2: none
	fieldCut   float64 // part of the slices that may be missing at one end, in half of the cases
	grid       float64 // change of the voxel spacing, as a part of it, at most
	ill        illnesses
	axes       []string
}

// The two domains of the pilot study that this project's demonstration follows; grid
// and axes are new.
var (
	source = domain{
		rotation: 6, scale: 0.08, shift: 6, elastic: 5, organSize: 0.12, organShift: 2.5, dose: span{0, 0.35}, phases: []phase{portal},
		organHU: 6, globalHU: 8, textureHU: 6, noiseHU: span{8, 16}, blur: span{0, 0.5}, grid: 0.05, axes: []string{"RAS", "LPS"},
	}
	shifted = domain{
		rotation: 10, scale: 0.12, shift: 8, elastic: 7, organSize: 0.18, organShift: 4, dose: span{0.1, 0.9}, phases: []phase{portal, arterial},
		organHU: 12, globalHU: 15, textureHU: 10, noiseHU: span{10, 30}, blur: span{0, 0.8}, fieldCut: 0.25, grid: 0.12,
		axes: []string{"RAS", "LPS", "LAS", "RPI", "PIR"},
	}
)

// The domains of the benchmark cohorts. Labelled patients are well and stand in the
// portal phase; the others come in any phase, with more noise, other slices and other
// anatomy, at times ill, and with a part of the view missing, so that a kidney or an
// adrenal gland must be told from its twin without seeing what lies beside it.
var (
	familiar = domain{
		rotation: 6, scale: 0.08, shift: 6, elastic: 5, organSize: 0.12, organShift: 3, dose: span{0.2, 0.6}, phases: []phase{portal},
		organHU: 6, globalHU: 8, textureHU: 6, noiseHU: span{8, 16}, blur: span{0, 0.5}, grid: 0.05, axes: []string{"RAS", "LPS"},
	}
	foreign = domain{
		rotation: 10, scale: 0.12, shift: 8, elastic: 7, organSize: 0.18, organShift: 4, dose: span{0.1, 0.9}, phases: []phase{portal, arterial, late, native},
		organHU: 12, globalHU: 15, textureHU: 10, noiseHU: span{10, 28}, blur: span{0, 0.8}, fieldCut: 0.3, grid: 0.15,
		ill: illnesses{noGallbladder: 0.1, oneKidney: 0.05, mirrored: 0.05, tumour: 0.2}, axes: []string{"RAS", "LPS", "LAS", "RPI", "PIR"},
	}
	outlandish = domain{
		rotation: 14, scale: 0.15, shift: 10, elastic: 8, organSize: 0.22, organShift: 5, dose: span{0, 1}, phases: []phase{portal, arterial, late, native},
		organHU: 15, globalHU: 20, textureHU: 14, noiseHU: span{12, 36}, blur: span{0, 1}, fieldCut: 0.4, grid: 0.2,
		ill: illnesses{noGallbladder: 0.2, oneKidney: 0.1, mirrored: 0.1, tumour: 0.35}, axes: []string{"RAS", "LPS", "LAS", "RPI", "PIR"},
	}
)

// enhancement draws the HU that contrast adds in one case.
func (d domain) enhancement(s *random.Stream) phase {
	p := d.phases[s.IntN(len(d.phases))]
	dose := d.dose.draw(s)
	for l := range p {
		p[l] *= dose
	}
	return p
}
