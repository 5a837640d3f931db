package plan

import (
	"slices"

	"noisystudent/transforms/manifest"
)

// Digest names the plan by every decision that can change a byte of any output.
// Names, presets and reasons are not among them.
func (p Plan) Digest() string {
	p.Format, p.DatasetName, p.Preset, p.Reasons, p.MedianShape = 0, "", "", nil, [3]float64{}
	p.Training.TimeBudget = ""
	p.Training.Precision, p.Inference = digested(p.Training.Precision), p.Inference.Digested()
	return manifest.Digest("plan", p)
}

// Digested returns the settings as digests hold them.
func (i Inference) Digested() Inference {
	i.Precision = digested(i.Precision)
	i.KeepLargest = slices.Compact(slices.Sorted(slices.Values(i.KeepLargest))) // empty is nil, and left out
	return i.tilesDigested()
}

// digested leaves exact out: it is what was computed before plans said how exactly,
// so that the models and predictions of those plans stay what they are.
func digested(precision string) string {
	if precision == Exact {
		return ""
	}
	return precision
}

// TrainingDigest names the plan by what a trained model depends on: all of Digest
// but how the model is applied later.
func (p Plan) TrainingDigest() string {
	p.Inference = Inference{}
	return p.Digest()
}

// PreprocessDigest names the plan by what preprocessed cases depend on, so that
// they are kept when only the training changes. versions are those of the
// transforms that make them.
func (p Plan) PreprocessDigest(versions ...int) string {
	ids := make([]int, len(p.Labels))
	for i, l := range p.Labels {
		ids[i] = l.ID
	}
	return manifest.Digest("preprocess", p.Orientation, p.Spacing, p.Intensity, ids, p.Ignore, versions)
}
