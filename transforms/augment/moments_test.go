package augment

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"testing"

	"noisystudent/model/random"
)

// drawn are the moments of a parameter where its transform is applied.
type drawn struct {
	Applied        float64 // how often
	N              int     // of values
	Mean, SD, Skew float64
	Least          float64
	Greatest       float64
	Bins           []float64 // parts within ten equal intervals between the table's bounds
}

func momentsOf(draws [][]float64, lo, hi float64) drawn {
	m := drawn{Bins: make([]float64, 10), Least: math.Inf(1), Greatest: math.Inf(-1)}
	var all []float64
	for _, d := range draws {
		if len(d) > 0 {
			m.Applied += 1 / float64(len(draws))
		}
		all = append(all, d...)
	}
	n := float64(len(all))
	m.N = len(all)
	for _, v := range all {
		m.Mean += v / n
		m.Least, m.Greatest = min(m.Least, v), max(m.Greatest, v)
		m.Bins[min(max(int((v-lo)/(hi-lo)*10), 0), 9)] += 1 / n
	}
	for _, v := range all {
		m.SD += (v - m.Mean) * (v - m.Mean) / n
	}
	m.SD = math.Sqrt(m.SD)
	for _, v := range all {
		m.Skew += math.Pow((v-m.Mean)/m.SD, 3) / n
	}
	return m
}

// turned is the angle of a rotation about whichever axis, in degrees.
func turned(p Params) float64 {
	m := Params{Angles: p.Angles}.matrix()
	trace := m[0][0] + m[1][1] + m[2][2]
	return math.Acos(min(max((trace-1)/2, -1), 1)) * 180 / math.Pi
}

// TestDrawsAreBatchgenerators compares what is drawn with what batchgeneratorsv2 draws when
// nnU-Net's trainer sets it up with the same table: how often, and the parameter's moments
// and histogram. Both are samples, so they may differ by five standard errors.
func TestDrawsAreBatchgenerators(t *testing.T) {
	text, err := os.ReadFile("testdata/moments.json")
	if err != nil {
		t.Fatal(err)
	}
	var reference struct {
		N      int
		Tables map[string]map[string]drawn
	}
	if err := json.Unmarshal(text, &reference); err != nil || len(reference.Tables) != 3 {
		t.Fatalf("%d tables, %v", len(reference.Tables), err)
	}
	const n = 60_000
	for name, want := range reference.Tables {
		table, err := Lookup(name)
		if err != nil {
			t.Fatal(err)
		}
		draws := map[string][][]float64{}
		root := random.New(11, random.Key(name))
		flips := [3]float64{}
		for i := range n {
			p := Draw(root.Child(uint64(i)), table)
			one := func(key string, v ...float64) {
				if v[0] < 1e-4 {
					v = nil
				}
				draws[key] = append(draws[key], v)
			}
			one("scale", p.Scale)
			one("turn", turned(p))
			one("noise", p.NoiseSD)
			one("blur", p.BlurSigma[:]...)
			one("brightness", p.Brightness)
			one("contrast", p.Contrast)
			one("low resolution", p.LowRes)
			for k, g := range table.Gamma {
				var exponent float64
				for _, x := range p.Gamma {
					if x.Invert == g.Invert {
						exponent = x.Exponent
					}
				}
				one(fmt.Sprintf("gamma %d", k), exponent)
			}
			for a, flip := range p.Flip {
				if flip {
					flips[a] += 1.0 / n
				}
			}
		}
		bounds := map[string]Range{
			"scale": table.Scaling.Range, "turn": {0, 60}, "noise": table.Noise.Range, "blur": table.Blur.Range, "brightness": table.Brightness.Range,
			"contrast": table.Contrast.Range, "low resolution": table.LowRes.Range,
		}
		for k, g := range table.Gamma {
			bounds[fmt.Sprintf("gamma %d", k)] = g.Range
		}
		if len(want) != len(bounds)+1 {
			t.Errorf("%s: %d rows of reference, want %d", name, len(want), len(bounds)+1)
		}
		for key, r := range bounds {
			got := momentsOf(draws[key], r.Lo, r.Hi)
			got.compare(t, name+" "+key, want[key], n, reference.N)
		}
		for a, part := range flips {
			near(t, fmt.Sprintf("%s: flips of axis %d", name, a), part, want["flips"].Bins[a], 0.5, n, reference.N)
		}
	}
}

func (m drawn) compare(t *testing.T, what string, want drawn, draws, reference int) {
	t.Helper()
	near(t, what+": how often", m.Applied, want.Applied, math.Sqrt(want.Applied*(1-want.Applied)), draws, reference)
	near(t, what+": mean", m.Mean, want.Mean, want.SD, m.N, want.N)
	near(t, what+": standard deviation", m.SD, want.SD, want.SD, m.N, want.N)
	near(t, what+": skewness", m.Skew, want.Skew, 2.5, m.N, want.N)
	for i, part := range want.Bins {
		near(t, fmt.Sprintf("%s: bin %d", what, i), m.Bins[i], part, math.Sqrt(max(part, 0.001)*(1-part)), m.N, want.N)
	}
}

// near compares two means of n and m values that scatter by sd.
func near(t *testing.T, what string, got, want, sd float64, n, m int) {
	t.Helper()
	if limit := 5 * sd * math.Sqrt(1/float64(n)+1/float64(m)); !(math.Abs(got-want) <= limit) {
		t.Errorf("%s: %.4f, batchgeneratorsv2 %.4f, more than %.4f apart", what, got, want, limit)
	}
}
