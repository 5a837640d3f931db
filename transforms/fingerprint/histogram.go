package fingerprint

import (
	"math"
	"slices"
)

// maxDistinct bounds a Histogram: 12 MB at most, whatever the images hold.
const maxDistinct = 1 << 20

// Histogram counts equal values. It is exact for every CT in whole HU and for
// any values of which there are few; past maxDistinct different ones it clears
// low mantissa bits, as few as bring the number down. How many that takes depends
// on the set of values alone, so that no order of merging changes the result.
//
// The fields are exported because Beam's row coder carries them.
type Histogram struct {
	Values  []float32 `json:"values"`  // ascending, distinct
	Counts  []int64   `json:"counts"`  // one a value
	Dropped int       `json:"dropped"` // cleared mantissa bits, 0 to 23
}

// Total returns the number of samples.
func (h Histogram) Total() int64 {
	var n int64
	for _, c := range h.Counts {
		n += c
	}
	return n
}

// Merge returns the histogram of both sets of samples; h and g stay as they are.
func (h Histogram) Merge(g Histogram) Histogram {
	return h.merge(g, maxDistinct)
}

func (h Histogram) merge(g Histogram, limit int) Histogram {
	dropped := max(h.Dropped, g.Dropped)
	h, g = h.coarsen(dropped), g.coarsen(dropped)
	out := Histogram{
		Values:  make([]float32, 0, len(h.Values)+len(g.Values)),
		Counts:  make([]int64, 0, len(h.Values)+len(g.Values)),
		Dropped: dropped,
	}
	for i, j := 0, 0; i < len(h.Values) || j < len(g.Values); {
		if j == len(g.Values) || i < len(h.Values) && h.Values[i] <= g.Values[j] {
			out.add(h.Values[i], h.Counts[i])
			i++
		} else {
			out.add(g.Values[j], g.Counts[j])
			j++
		}
	}
	return out.limit(limit)
}

// add appends a value that is not below the last one.
func (h *Histogram) add(v float32, count int64) {
	if n := len(h.Values); n > 0 && h.Values[n-1] == v {
		h.Counts[n-1] += count
		return
	}
	h.Values, h.Counts = append(h.Values, v), append(h.Counts, count)
}

func (h Histogram) limit(limit int) Histogram {
	for len(h.Values) > limit && h.Dropped < 23 {
		h = h.coarsen(h.Dropped + 1)
	}
	return h
}

// coarsen clears the low mantissa bits of every value, which keeps their order.
func (h Histogram) coarsen(dropped int) Histogram {
	if dropped == h.Dropped {
		return h
	}
	out := Histogram{Dropped: dropped}
	for i, v := range h.Values {
		out.add(math.Float32frombits(math.Float32bits(v)>>dropped<<dropped)+0, h.Counts[i]) // + 0: no negative zero
	}
	return out
}

// count makes the histogram of values that are sorted, each with its number of
// samples; values without a sample are left out.
func count(sorted []float32, samples []uint32) Histogram {
	var h Histogram
	for i, v := range sorted {
		if samples[i] > 0 {
			h.add(v, int64(samples[i]))
		}
	}
	return h.limit(maxDistinct)
}

// Moments returns the mean and the population standard deviation.
func (h Histogram) Moments() (mean, sd float64) {
	n := float64(h.Total())
	for i, v := range h.Values {
		mean += float64(v) * float64(h.Counts[i])
	}
	mean /= n
	var sum float64
	for i, v := range h.Values {
		d := float64(v) - mean
		sum += d * d * float64(h.Counts[i])
	}
	return mean, math.Sqrt(sum / n)
}

// Percentile returns the q-th percentile, 0 to 100, of the samples as
// numpy.percentile does with its default method, linear.
func (h Histogram) Percentile(q float64) float64 {
	cumulative := make([]int64, len(h.Counts))
	var n int64
	for i, c := range h.Counts {
		n += c
		cumulative[i] = n
	}
	return percentile(q, n, func(rank int64) float64 {
		i, found := slices.BinarySearch(cumulative, rank)
		if found { // cumulative[i] == rank: the sample of that rank, from 0, is the next value's
			i++
		}
		return float64(h.Values[i])
	})
}

// Percentile returns the q-th percentile of values as numpy.percentile does.
func Percentile(values []float64, q float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return percentile(q, int64(len(sorted)), func(rank int64) float64 { return sorted[rank] })
}

// percentile interpolates linearly between the two neighbouring ranks, from
// whichever of them is nearer, as NumPy's _lerp does.
func percentile(q float64, n int64, at func(rank int64) float64) float64 {
	position := float64(n-1) * (q / 100)
	below := min(max(int64(position), 0), n-1)
	a, b := at(below), at(min(below+1, n-1))
	if t := position - float64(below); t < 0.5 {
		return a + (b-a)*t
	} else {
		return b - (b-a)*(1-t)
	}
}
