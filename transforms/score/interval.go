package score

import (
	"math"
	"slices"

	"noisystudent/model/random"
)

// Interval is a mean with the 95 % interval of its bootstrap.
type Interval struct {
	Mean float64 `json:"mean"`
	Low  float64 `json:"low"`
	High float64 `json:"high"`
}

// resamples of a bootstrap. The ends of its interval stray by a fiftieth of its width.
const resamples = 10000

// Bootstrap gives the mean of differences between two models and its 95 % percentile
// interval. A row holds the differences of one training run, a column those of one case,
// the same case in every row; rows must be equally long. Runs and cases are drawn with
// replacement, each on its own, so that the interval covers both how cases and how
// training runs vary; a single row covers cases only. The draws do not depend on
// anything but the numbers of rows and columns. No value gives zeros.
func Bootstrap(differences [][]float64) Interval {
	if len(differences) == 0 || len(differences[0]) == 0 {
		return Interval{}
	}
	runs, cases := len(differences), len(differences[0])
	s := random.New(1, random.Key("bootstrap"))
	means := make([]float64, resamples)
	columns := make([]int, cases)
	for i := range means {
		for k := range columns {
			columns[k] = s.IntN(cases)
		}
		for range runs {
			row := differences[s.IntN(runs)]
			for _, k := range columns {
				means[i] += row[k]
			}
		}
		means[i] /= float64(runs * cases)
	}
	slices.Sort(means)
	interval := Interval{Low: quantile(means, 0.025), High: quantile(means, 0.975)}
	for _, row := range differences {
		for _, d := range row {
			interval.Mean += d / float64(runs*cases)
		}
	}
	return interval
}

// quantile interpolates between sorted values.
func quantile(sorted []float64, q float64) float64 {
	at := q * float64(len(sorted)-1)
	low := int(at)
	high := min(low+1, len(sorted)-1)
	return sorted[low] + (at-float64(low))*(sorted[high]-sorted[low])
}

// Widened is the interval with a further independent standard deviation that the
// bootstrap has not seen.
func (i Interval) Widened(sd float64) Interval {
	const normal = 1.96
	return Interval{i.Mean, i.Mean - math.Hypot(i.Mean-i.Low, normal*sd), i.Mean + math.Hypot(i.High-i.Mean, normal*sd)}
}
