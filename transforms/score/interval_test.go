package score

import (
	"math"
	"testing"

	"noisystudent/model/random"
)

func near(a, b, tolerance float64) bool { return math.Abs(a-b) <= tolerance }

// Two cases have the means 0, 1/2 and 1 with chances 1/4, 1/2, 1/4; equal differences
// have no spread; no difference gives zeros.
func TestBootstrapOfFew(t *testing.T) {
	for name, c := range map[string]struct {
		differences [][]float64
		want        Interval
	}{
		"two cases":        {[][]float64{{0, 1}}, Interval{0.5, 0, 1}},
		"two runs":         {[][]float64{{0, 0, 0}, {1, 1, 1}}, Interval{0.5, 0, 1}},
		"equal":            {[][]float64{{3, 3, 3}, {3, 3, 3}}, Interval{3, 3, 3}},
		"one":              {[][]float64{{-2}}, Interval{-2, -2, -2}},
		"none":             {nil, Interval{}},
		"no case in a run": {[][]float64{{}}, Interval{}},
	} {
		if got := Bootstrap(c.differences); !near(got.Mean, c.want.Mean, 1e-12) || !near(got.Low, c.want.Low, 1e-12) || !near(got.High, c.want.High, 1e-12) {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
}

// The differences of Student's sleep data (1908), ten patients: the percentile interval
// lies about 1.58 with a standard error of sd sqrt(9/10) / sqrt(10) = 0.369.
func TestBootstrapOfSleep(t *testing.T) {
	got := Bootstrap([][]float64{{1.2, 2.4, 1.3, 1.3, 0, 1, 1.8, 0.8, 4.6, 1.4}})
	if !near(got.Mean, 1.58, 1e-9) || !near(got.Low, 0.95, 0.05) || !near(got.High, 2.38, 0.07) {
		t.Errorf("%+v", got)
	}
	if again := Bootstrap([][]float64{{1.2, 2.4, 1.3, 1.3, 0, 1, 1.8, 0.8, 4.6, 1.4}}); again != got {
		t.Errorf("%+v, then %+v", got, again)
	}
}

// Many normal numbers: 1.96 standard errors to each side, of cases in one run, and of
// runs where they differ more than cases do.
func TestBootstrapOfMany(t *testing.T) {
	s := random.New(4)
	row := make([]float64, 400)
	sum, squares := 0.0, 0.0
	for i := range row {
		row[i] = 2 + s.Normal()
		sum, squares = sum+row[i], squares+row[i]*row[i]
	}
	mean := sum / 400
	want := 1.96 * math.Sqrt(squares/400-mean*mean) / 20
	if got := Bootstrap([][]float64{row}); !near(got.High-got.Mean, want, 0.06*want) || !near(got.Mean-got.Low, want, 0.06*want) {
		t.Errorf("%+v, want %.4f to each side of %.4f", got, want, mean)
	}
	var runs [][]float64
	for range 30 {
		level := 3 * s.Normal()
		run := make([]float64, 20)
		for i := range run {
			run[i] = level + 0.1*s.Normal()
		}
		runs = append(runs, run)
	}
	sum, squares = 0, 0
	for _, run := range runs {
		m := 0.0
		for _, d := range run {
			m += d / 20
		}
		sum, squares = sum+m, squares+m*m
	}
	want = 1.96 * math.Sqrt(squares/30-sum*sum/900) / math.Sqrt(30)
	if got := Bootstrap(runs); !near(got.High-got.Low, 2*want, 0.1*want) {
		t.Errorf("of runs: %+v, want a width of %.3f", got, 2*want)
	}
}

func TestWidened(t *testing.T) {
	i := Interval{2, 1, 4}
	if got := i.Widened(0); got != i {
		t.Errorf("by nothing: %+v", got)
	}
	if got := i.Widened(1.5 / 1.96); !near(got.Low, 2-math.Hypot(1, 1.5), 1e-12) || !near(got.High, 2+2.5, 1e-12) || got.Mean != 2 {
		t.Errorf("%+v", got)
	}
}
