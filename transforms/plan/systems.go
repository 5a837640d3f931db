package plan

import (
	"fmt"
	"slices"
	"strings"

	"noisystudent/transforms/cases"
	"noisystudent/transforms/fingerprint"
)

// Systems are the presets that the paper's Table 1 compares.
func Systems() []string { return []string{NNUNet, LowFootprint, Student} }

// As returns the plan as one of Systems: what is measured, patch and intensities stay,
// the network has the system's features and is applied as the system applies it. The
// two small ones share a network, which stays as it is where the plan is not nnU-Net's.
func (p Plan) As(system string) (Plan, error) {
	features, export := "16", "labels"
	switch {
	case !slices.Contains(Systems(), system):
		return Plan{}, fmt.Errorf("plan: no system %q; there are %s", system, strings.Join(Systems(), ", "))
	case system == NNUNet:
		features, export = "32", "probabilities"
	case system == LowFootprint:
		export = "probabilities"
	}
	if p.Preset == NNUNet != (system == NNUNet) {
		var err error
		if p.Network.Features, err = doubled(features, fmt.Sprint(maxFeatures), p.Network.Stages()); err != nil {
			return Plan{}, err
		}
	}
	p.Preset, p.Inference.Export, p.Inference.Mirror = system, export, "none"
	return p, p.Check()
}

// FLARE22 is the plan of a preset for the paper's 50 labelled scans, by the medians of
// their sizes and spacings and by their intensities, which the FLARE 2022 winner's plan
// file (github.com/Ziyan-Huang/FLARE22) tells: for measuring without a data set.
func FLARE22(preset string) (Plan, error) {
	d := &cases.Dataset{Name: "FLARE22", Ignore: -1}
	for i, name := range strings.Split("liver,right kidney,spleen,pancreas,aorta,inferior vena cava,right adrenal gland,left adrenal gland,gallbladder,esophagus,stomach,duodenum,left kidney", ",") {
		d.Labels = append(d.Labels, cases.Label{ID: i + 1, Name: name})
	}
	f := fingerprint.Fingerprint{
		Shapes: [][3]int{{97, 512, 512}}, Spacings: [][3]float64{{2.5, 0.796, 0.796}}, RelativeSize: 1, Orientation: "ras",
		Intensity: map[string]fingerprint.Intensity{"0": {Mean: 97.3, Median: 124, SD: 137.82, Min: -1024, Max: 2946, P005: -970, P995: 240}},
	}
	return Make(f, d, Options{Preset: preset})
}
