package resample

import "noisystudent/transforms/plan"

// smallestSD keeps a constant data set from dividing by zero, as nnU-Net does.
const smallestSD = 1e-8

// Normalise clips HU to the plan's percentiles and turns them into z-scores, in
// place and in float32, the bytes of nnU-Net's CTNormalization.
func Normalise(hu []float32, t plan.Intensity) { normaliser(t)(hu) }

func normaliser(t plan.Intensity) func(row []float32) {
	lo, hi, mean, sd := float32(t.P005), float32(t.P995), float32(t.Mean), float32(max(t.SD, smallestSD))
	return func(row []float32) {
		for i, v := range row {
			row[i] = (min(max(v, lo), hi) - mean) / sd
		}
	}
}
