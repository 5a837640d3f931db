package optim

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"

	"noisystudent/model/program"
)

// near compares with 1e-12, which leaves room for the order of operations only.
func near(t *testing.T, name string, got, want []float64) {
	t.Helper()
	for i := range want {
		if !(math.Abs(got[i]-want[i]) <= 1e-12*(1+math.Abs(want[i]))) {
			t.Errorf("%s: element %d is %.17g, want %.17g", name, i, got[i], want[i])
		}
	}
}

func TestRulesEqualPyTorch(t *testing.T) {
	data, err := os.ReadFile("testdata/steps.json")
	if err != nil {
		t.Fatal(err)
	}
	type run struct {
		Start []float64
		Steps []struct {
			Grad, Param []float64
			State       [][]float64
		}
	}
	var f struct{ SGD, AdamW run }
	if err := json.Unmarshal(data, &f); err != nil {
		t.Fatal(err)
	}
	const factor = 0.125 // gradients arrive scaled; the rule must undo it
	p, v := f.SGD.Start, make([]float64, 6)
	for i, s := range f.SGD.Steps {
		SGD(p, scaled(s.Grad, 1/factor), v, []float64{0.05, 0.9, 0.01}, factor)
		near(t, fmt.Sprintf("sgd step %d param", i), p, s.Param)
		near(t, fmt.Sprintf("sgd step %d velocity", i), v, s.State[0])
	}
	p, v = f.AdamW.Start, make([]float64, 6)
	second := make([]float64, 6)
	for i, s := range f.AdamW.Steps {
		n := float64(i + 1)
		h := []float64{0.02, 0.8, 0.95, 1e-6, 0.1, 1 - math.Pow(0.8, n), 1 - math.Pow(0.95, n)}
		AdamW(p, scaled(s.Grad, 1/factor), v, second, h, factor)
		near(t, fmt.Sprintf("adamw step %d param", i), p, s.Param)
		near(t, fmt.Sprintf("adamw step %d first moment", i), v, s.State[0])
		near(t, fmt.Sprintf("adamw step %d second moment", i), second, s.State[1])
	}
}

func scaled(v []float64, f float64) []float64 {
	out := make([]float64, len(v))
	for i := range v {
		out[i] = v[i] * f
	}
	return out
}

func TestVector(t *testing.T) {
	h := Hyper{LR: 0.02, Momentum: 0.9, WeightDecay: 0.1, Beta1: 0.8, Beta2: 0.95, Eps: 1e-6}
	for _, c := range []struct {
		rule program.Rule
		step int64
		want []float32
	}{
		{program.SGD, 7, []float32{0.02, 0.9, 0.1}},
		{program.AdamW, 1, []float32{0.02, 0.8, 0.95, 1e-6, 0.1, 0.2, 0.05}},
		{program.AdamW, 3, []float32{0.02, 0.8, 0.95, 1e-6, 0.1, 0.488, 0.142625}},
	} {
		got := h.Vector(c.rule, c.step)
		if len(got) != c.rule.HyperLen() {
			t.Errorf("%s: %d elements, need %d", c.rule, len(got), c.rule.HyperLen())
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s step %d: %s", c.rule, c.step, diff)
		}
	}
}

func TestPolyEqualsNnUNet(t *testing.T) {
	data, err := os.ReadFile("testdata/poly_lr_1000.npy")
	if err != nil {
		t.Fatal(err)
	}
	values := data[len(data)-8*1000:]
	for e := range 1000 {
		want := math.Float64frombits(binary.LittleEndian.Uint64(values[8*e:]))
		if got := Poly(e, 1000, 0.01, 0.9); math.Abs(got-want) > 1e-15 {
			t.Errorf("epoch %d: %.17g, want %.17g", e, got, want)
		}
	}
}

func TestWarmUp(t *testing.T) {
	for _, c := range []struct {
		step, steps int64
		want        float64
	}{{0, 4, 0.25}, {1, 4, 0.5}, {3, 4, 1}, {9, 4, 1}, {0, 1, 1}, {0, 0, 1}} {
		if got := WarmUp(c.step, c.steps, 1); got != c.want {
			t.Errorf("step %d of %d: %g, want %g", c.step, c.steps, got, c.want)
		}
	}
}

func TestCheck(t *testing.T) {
	for name, c := range map[string]struct {
		rule program.Rule
		h    Hyper
		ok   bool
	}{
		"sgd":               {program.SGD, Default(program.SGD), true},
		"adamw":             {program.AdamW, Default(program.AdamW), true},
		"no rate":           {program.SGD, Hyper{LR: math.NaN()}, false},
		"negative rate":     {program.SGD, Hyper{LR: -1}, false},
		"momentum 1":        {program.SGD, Hyper{LR: 1, Momentum: 1}, false},
		"infinite decay":    {program.SGD, Hyper{LR: 1, WeightDecay: math.Inf(1)}, false},
		"adamw without eps": {program.AdamW, Hyper{LR: 1, Beta1: 0.9, Beta2: 0.99}, false},
		"beta2 1":           {program.AdamW, Hyper{LR: 1, Beta1: 0.9, Beta2: 1, Eps: 1e-8}, false},
	} {
		if err := c.h.Check(c.rule); (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}
