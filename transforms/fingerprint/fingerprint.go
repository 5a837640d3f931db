// Package fingerprint measures a labelled dataset: the shapes and spacings of its
// scans and the HU distribution of its foreground. A plan is made from it.
//
// The one idea: every case gives the same number of foreground samples, drawn
// with replacement and counted in an exact histogram, so that all cases weigh
// equally and neither the order of cases nor of merging can matter.
//
// It follows nnU-Net v2's DatasetFingerprintExtractor (10e7 samples a dataset,
// statistics of unclipped samples) and uses its field names. It differs in three
// things: voxels of the ignore label are not foreground, draws are counter-based
// (NumPy's generator cannot be reproduced in any order of cases) and sums are
// taken in float64. Axes are (z, y, x), spacings are in mm, intensities in HU.
package fingerprint

import (
	"errors"
	"slices"
	"strings"
)

// TotalSamples of a dataset's foreground; nnU-Net writes it 10e7.
const TotalSamples = 100_000_000

// Fingerprint is the facts of a dataset, fingerprint.json. Rows of the lists
// belong to the cases in ascending order of id.
type Fingerprint struct {
	Intensity    map[string]Intensity `json:"foreground_intensity_properties_per_channel"`
	RelativeSize float64              `json:"median_relative_size_after_cropping"`
	Shapes       [][3]int             `json:"shapes_after_crop"`
	Spacings     [][3]float64         `json:"spacings"`

	// Not in nnU-Net's file.
	Cases       []string  `json:"cases,omitempty"`
	Orientation string    `json:"orientation,omitempty"`     // of shapes and spacings; empty: as stored
	LabelML     []float64 `json:"label_volume_ml,omitempty"` // by class, background first, within the crop
	Samples     int64     `json:"samples,omitempty"`
}

// Intensity is the distribution of the foreground samples.
type Intensity struct {
	Max    float64 `json:"max"`
	Mean   float64 `json:"mean"`
	Median float64 `json:"median"`
	Min    float64 `json:"min"`
	P005   float64 `json:"percentile_00_5"`
	P995   float64 `json:"percentile_99_5"`
	SD     float64 `json:"std"` // of the population
}

// CT returns the intensities of the only channel.
func (f Fingerprint) CT() Intensity { return f.Intensity["0"] }

// Case is the facts of one case, without voxels.
type Case struct {
	ID           string     `json:"id"`
	Shape        [3]int     `json:"shape_after_crop"`
	Spacing      [3]float64 `json:"spacing"`
	RelativeSize float64    `json:"relative_size_after_cropping"`
	LabelVoxels  []int64    `json:"label_voxels"` // by class, background first, within the crop
}

// Facts is what Measure finds in one case and what Merge finds in several.
type Facts struct {
	Cases     []Case    `json:"cases"`
	Histogram Histogram `json:"histogram"` // of the foreground samples
}

// Merge returns the facts of both; neither is changed.
func (f Facts) Merge(g Facts) Facts {
	return Facts{Cases: slices.Concat(f.Cases, g.Cases), Histogram: f.Histogram.Merge(g.Histogram)}
}

// Summarise turns the facts of all cases into the fingerprint; the order in which
// they were merged does not matter.
func Summarise(f Facts, orientation string) (Fingerprint, error) {
	if len(f.Cases) == 0 {
		return Fingerprint{}, errors.New("fingerprint: no labelled case could be read")
	}
	if len(f.Histogram.Values) == 0 {
		return Fingerprint{}, errors.New("fingerprint: no case has a labelled foreground voxel")
	}
	cases := slices.Clone(f.Cases)
	slices.SortFunc(cases, func(a, b Case) int { return strings.Compare(a.ID, b.ID) })
	out := Fingerprint{
		Intensity:   map[string]Intensity{"0": intensity(f.Histogram)},
		Orientation: orientation,
		Samples:     f.Histogram.Total(),
	}
	var sizes []float64
	for _, c := range cases {
		out.Cases = append(out.Cases, c.ID)
		out.Shapes = append(out.Shapes, c.Shape)
		out.Spacings = append(out.Spacings, c.Spacing)
		sizes = append(sizes, c.RelativeSize)
		out.LabelML = addVolumes(out.LabelML, c)
	}
	out.RelativeSize = Percentile(sizes, 50)
	return out, nil
}

func intensity(h Histogram) Intensity {
	mean, sd := h.Moments()
	return Intensity{
		Max:    float64(h.Values[len(h.Values)-1]),
		Mean:   mean,
		Median: h.Percentile(50),
		Min:    float64(h.Values[0]),
		P005:   h.Percentile(0.5),
		P995:   h.Percentile(99.5),
		SD:     sd,
	}
}

func addVolumes(sum []float64, c Case) []float64 {
	for len(sum) < len(c.LabelVoxels) {
		sum = append(sum, 0)
	}
	voxelML := c.Spacing[0] * c.Spacing[1] * c.Spacing[2] / 1000
	for class, n := range c.LabelVoxels {
		sum[class] += float64(n) * voxelML
	}
	return sum
}
