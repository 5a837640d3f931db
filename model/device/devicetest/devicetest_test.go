package devicetest

import (
	"math"
	"testing"

	"noisystudent/model/program"
	"noisystudent/model/ref"
)

// mistakes are what a device may get wrong: each turns an instruction into another
// that is also valid. The suite must tell them apart.
var mistakes = map[string]func(in program.Instr) (program.Instr, bool){
	"view without norm": func(in program.Instr) (program.Instr, bool) {
		i, ok := in.(program.Conv)
		if ok = ok && i.In[0].Norm != program.None; ok {
			i.In = append([]program.View{{Buf: i.In[0].Buf, Norm: program.None}}, i.In[1:]...)
		}
		return i, ok
	},
	"view with another slope": func(in program.Instr) (program.Instr, bool) {
		i, ok := in.(program.ConvWeightGrad)
		if ok = ok && i.In[0].Norm != program.None; ok {
			i.In = append([]program.View{{Buf: i.In[0].Buf, Norm: i.In[0].Norm, Slope: 1.01 * viewSlope}}, i.In[1:]...)
		}
		return i, ok
	},
	"conv without bias": func(in program.Instr) (program.Instr, bool) {
		i, ok := in.(program.Conv)
		ok = ok && i.Bias != program.None
		i.Bias = program.None
		return i, ok
	},
	"transposed conv without bias": func(in program.Instr) (program.Instr, bool) {
		i, ok := in.(program.ConvTransposed)
		ok = ok && i.Bias != program.None
		i.Bias = program.None
		return i, ok
	},
	"assigns instead of accumulating": func(in program.Instr) (program.Instr, bool) {
		i, ok := in.(program.ConvDataGrad)
		if ok = ok && i.Accumulate[0]; ok {
			i.Accumulate = append([]bool{false}, i.Accumulate[1:]...)
		}
		return i, ok
	},
	"transposed, assigns instead of accumulating": func(in program.Instr) (program.Instr, bool) {
		i, ok := in.(program.ConvTransposedDataGrad)
		ok = ok && i.Accumulate
		i.Accumulate = false
		return i, ok
	},
	"another eps forward": func(in program.Instr) (program.Instr, bool) {
		i, ok := in.(program.NormScale)
		i.Eps = 2e-3
		return i, ok
	},
	"another eps backward": func(in program.Instr) (program.Instr, bool) {
		i, ok := in.(program.NormGrad)
		i.Eps = 2e-3
		return i, ok
	},
	"ReLU backward": func(in program.Instr) (program.Instr, bool) {
		i, ok := in.(program.NormGrad)
		i.Slope = 0
		return i, ok
	},
	"dice per element": func(in program.Instr) (program.Instr, bool) {
		i, ok := in.(program.DiceCEGrad)
		i.BatchDice = !i.BatchDice
		return i, ok
	},
	"ignore label counts": func(in program.Instr) (program.Instr, bool) {
		i, ok := in.(program.DiceCE)
		ok = ok && i.Ignore >= 0 && i.Ignore < 16
		i.Ignore = -1
		return i, ok
	},
	"class weights forgotten": func(in program.Instr) (program.Instr, bool) {
		i, ok := in.(program.DiceCE)
		ok = ok && i.ClassWeights != program.None
		i.ClassWeights = program.None
		return i, ok
	},
	"loss weight forgotten": func(in program.Instr) (program.Instr, bool) {
		i, ok := in.(program.DiceCEGrad)
		i.Weight *= 1.001
		return i, ok
	},
	"never clips": func(in program.Instr) (program.Instr, bool) {
		i, ok := in.(program.GradNorm)
		ok = ok && i.MaxNorm > 0 && i.MaxNorm < 1
		i.MaxNorm = 0
		return i, ok
	},
	"operands of a sum": func(in program.Instr) (program.Instr, bool) {
		i, ok := in.(program.Add)
		i.B = i.A
		return i, ok
	},
	"one gradient left out": func(in program.Instr) (program.Instr, bool) {
		i, ok := in.(program.GradNorm)
		if ok {
			i.Grads = i.Grads[:len(i.Grads)-1]
		}
		return i, ok
	},
}

func TestMistakesAreFound(t *testing.T) {
	for name, mistake := range mistakes {
		tried, found := 0, 0
		for _, c := range cases() {
			b, wrong := c.build(), c.build()
			if !spoil(wrong, mistake) {
				continue
			}
			tried++
			if !equal(b.reference(t), wrong.results(t, ref.New(), b.runs)) {
				found++
			}
			if tried == 6 || testing.Short() && found == 1 {
				break
			}
		}
		// A mistake may be without consequence in a case: where a batch has one element,
		// or where a norm gradient asks the norm for signs only.
		if tried == 0 || found*3 < tried {
			t.Errorf("%s: %d of %d cases tell", name, found, tried)
		}
	}
}

// spoil makes the mistake in the first instruction that allows it.
func spoil(b *problem, mistake func(program.Instr) (program.Instr, bool)) bool {
	for k, in := range b.Instrs {
		if i, ok := mistake(in); ok {
			b.Instrs[k] = i
			return program.Check(&b.Program) == nil
		}
	}
	return false
}

func equal(want, got [][][]float32) bool {
	for run := range want {
		for i := range want[run] {
			if near(got[run][i], want[run][i], Tolerance, 0) != nil {
				return false
			}
		}
	}
	return true
}

func TestGuardsStandBetweenBuffers(t *testing.T) {
	b := vectorCases()[0].build()
	d := ref.New()
	l, err := d.Load(b.placed(d))
	if err != nil {
		t.Fatal(err)
	}
	if len(b.guards) != len(b.Buffers) || len(b.scratch) != len(b.wanted) {
		t.Fatalf("%d guards and %d scratches for %d buffers", len(b.guards), len(b.scratch), len(b.Buffers))
	}
	b.writeGuards(t, l)
	b.poison(t, l)
	for _, id := range b.wanted {
		v := make([]float32, b.Buffers[id].Len())
		if err := l.Read(id, v); err != nil {
			t.Fatal(err)
		}
		for i := range v {
			if !math.IsNaN(float64(v[i])) {
				t.Errorf("%s is not under NaN before a run", b.Buffers[id].Name)
			}
		}
	}
	b.checkGuards(t, l)
	for i, f := range b.loaded.Buffers[:len(b.Buffers)] {
		next := b.loaded.Buffers[b.guards[i]]
		if next.Offset != f.Offset+f.Bytes {
			t.Errorf("%s is not followed by its guard", f.Name)
		}
	}
}

func TestNear(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	for name, c := range map[string]struct {
		got, want []float32
		ok        bool
	}{
		"equal":               {[]float32{1, -2}, []float32{1, -2}, true},
		"relative to largest": {[]float32{1e-4, 100}, []float32{0, 100}, true},
		"too far":             {[]float32{1, 100.1}, []float32{1, 100}, false},
		"nan":                 {[]float32{nan, 1}, []float32{0, 1}, false},
		"wanted nan":          {[]float32{nan, 1}, []float32{nan, 1}, true},
		"missing nan":         {[]float32{0, 1}, []float32{nan, 1}, false},
		"wanted infinity":     {[]float32{inf, 1}, []float32{inf, 1}, true},
		"infinity":            {[]float32{inf, 1}, []float32{1, 1}, false},
		"missing infinity":    {[]float32{1, 1}, []float32{inf, 1}, false},
	} {
		if err := near(c.got, c.want, 1e-5, 0); (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}
