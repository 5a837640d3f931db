package fingerprint

import (
	"math"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"noisystudent/model/random"
)

func histogram(values ...float32) Histogram {
	slices.Sort(values)
	return count(values, slices.Repeat([]uint32{1}, len(values)))
}

// Expected values are numpy.percentile's, mean's and std's (NumPy 2.4).
func TestStatisticsEqualNumPy(t *testing.T) {
	h := histogram(-3, 7, 0, -1000, 7, 8, -3, 120, 7, 3071)
	for q, want := range map[float64]float64{0: -1000, 0.5: -955.135, 10: -102.7, 33.3: -0.009000000000000341, 50: 7, 77.7: 7.993, 99.5: 2938.2049999999995, 100: 3071} {
		if got := h.Percentile(q); math.Abs(got-want) > 1e-9 {
			t.Errorf("percentile %g is %v, want %v", q, got, want)
		}
	}
	mean, sd := h.Moments()
	if math.Abs(mean-221.4) > 1e-9 || math.Abs(sd-997.77203809287) > 1e-9 {
		t.Errorf("mean %v, sd %v; want 221.4, 997.77203809287", mean, sd)
	}
	for q, want := range map[float64]float64{10: 0.758, 50: 1.65, 90: 2.85} {
		if got := Percentile([]float64{2.5, 0.8, 0.74, 3}, q); math.Abs(got-want) > 1e-15 {
			t.Errorf("percentile %g is %v, want %v", q, got, want)
		}
	}
	one := histogram(5)
	if one.Percentile(0.5) != 5 || one.Percentile(99.5) != 5 {
		t.Error("percentiles of one value")
	}
}

// randomHistogram has n samples of whole HU, or of raw floats.
func randomHistogram(s *random.Stream, n int, whole bool) Histogram {
	values := make([]float32, n)
	for i := range values {
		values[i] = float32(60 * s.Normal())
		if whole {
			values[i] = float32(math.Round(float64(values[i]))) + 0
		}
	}
	return histogram(values...)
}

// Whatever the order and grouping, and however often bits must be cleared on the
// way, merging gives the same histogram.
func TestMergeIsAssociativeAndCommutative(t *testing.T) {
	for _, limit := range []int{1 << 20, 100, 17, 1} {
		for seed := range uint64(20) {
			s := random.New(seed, uint64(limit))
			var parts []Histogram
			for i := range 6 {
				parts = append(parts, randomHistogram(s, 1+s.IntN(60), i%3 == 0).limit(limit))
			}
			parts = append(parts, Histogram{})
			want := Histogram{}
			for _, p := range parts {
				want = want.merge(p, limit)
			}
			for range 10 {
				rest := make([]Histogram, len(parts))
				for i, j := range s.Perm(len(parts)) {
					rest[i] = parts[j]
				}
				for len(rest) > 1 { // join two neighbours anywhere, in either order
					i := s.IntN(len(rest) - 1)
					a, b := rest[i], rest[i+1]
					if s.Bool(0.5) {
						a, b = b, a
					}
					rest = slices.Replace(rest, i, i+2, a.merge(b, limit))
				}
				if d := cmp.Diff(want, rest[0]); d != "" {
					t.Fatalf("limit %d, seed %d (-want +got)\n%s", limit, seed, d)
				}
			}
		}
	}
}

func TestMergeKeepsItsArguments(t *testing.T) {
	a, b := histogram(1, 2, 3), histogram(2, 4)
	a.merge(b, 2)
	if d := cmp.Diff([]Histogram{histogram(1, 2, 3), histogram(2, 4)}, []Histogram{a, b}); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
}

// CT in whole HU stays exact although raw floats beside it must lose bits.
func TestClearedBitsSpareWholeHU(t *testing.T) {
	var floats []float32
	for i := range 5000 {
		floats = append(floats, 100+float32(i)/4096)
	}
	h := histogram(floats...).merge(histogram(-1024, 40, 3071), 1000)
	if len(h.Values) > 1000 || h.Dropped == 0 || h.Total() != 5003 {
		t.Fatalf("%d values, %d bits dropped, %d samples", len(h.Values), h.Dropped, h.Total())
	}
	for _, v := range []float32{-1024, 40, 3071} {
		if !slices.Contains(h.Values, v) {
			t.Errorf("%v HU is gone: %v", v, h.Values[:5])
		}
	}
}
