package plan

import (
	"fmt"
	"math"
	"slices"

	"noisystudent/transforms/fingerprint"
)

// anisotropic is how many times coarser than the others an axis must be to be
// treated on its own (nnU-Net's ANISO_THRESHOLD).
const anisotropic = 3

var axisNames = [3]string{"z", "y", "x"}

// targetSpacing is the median spacing of each axis. An axis that is far coarser
// than the others and has far fewer voxels takes its 10th percentile instead,
// because interpolating the finer scans to the median would hurt there.
func targetSpacing(f fingerprint.Fingerprint) (spacing [3]float64, reason string) {
	var size [3]float64
	for a := range 3 {
		spacing[a] = fingerprint.Percentile(column(f.Spacings, a), 50)
		size[a] = fingerprint.Percentile(column(f.Shapes, a), 50)
	}
	reason = fmt.Sprintf("median of %d labelled scans", len(f.Spacings))
	worst := 0
	for a := range 3 {
		if spacing[a] > spacing[worst] {
			worst = a
		}
	}
	b, c := (worst+1)%3, (worst+2)%3
	others := max(spacing[b], spacing[c])
	if spacing[worst] <= anisotropic*others || size[worst]*anisotropic >= min(size[b], size[c]) {
		return spacing, reason
	}
	spacing[worst] = fingerprint.Percentile(column(f.Spacings, worst), 10)
	if spacing[worst] < others {
		spacing[worst] = others + 1e-5
	}
	return spacing, reason + fmt.Sprintf("; %s is more than %d times coarser than the other axes and has fewer than 1/%d of their voxels, so it takes its 10th percentile",
		axisNames[worst], anisotropic, anisotropic)
}

// medianShape is the median shape of the cropped scans at the target spacing; it
// may have halves.
func medianShape(f fingerprint.Fingerprint, spacing [3]float64) (median [3]float64) {
	for a := range 3 {
		sizes := make([]float64, len(f.Shapes))
		for i, shape := range f.Shapes {
			sizes[i] = math.RoundToEven(f.Spacings[i][a] / spacing[a] * float64(shape[a]))
		}
		median[a] = middle(sizes)
	}
	return median
}

// middle is the median as numpy.median gives it.
func middle(values []float64) float64 {
	s := slices.Sorted(slices.Values(values))
	return (s[(len(s)-1)/2] + s[len(s)/2]) / 2
}

func column[T int | float64](rows [][3]T, axis int) []float64 {
	out := make([]float64, len(rows))
	for i, row := range rows {
		out[i] = float64(row[axis])
	}
	return out
}

func product(v [3]float64) float64 { return v[0] * v[1] * v[2] }

func floats(v [3]int) [3]float64 {
	return [3]float64{float64(v[0]), float64(v[1]), float64(v[2])}
}
