package ref_test

import (
	"errors"
	"fmt"
	"math"
	"runtime"
	"testing"

	"github.com/google/go-cmp/cmp"

	"noisystudent/model/program"
	"noisystudent/model/random"
	"noisystudent/model/ref"
)

func normal(s *random.Stream, n int) []float64 {
	v := make([]float64, n)
	for i := range v {
		v[i] = s.Normal()
	}
	return v
}

func dot(a, b []float64) (sum float64) {
	for i := range a {
		sum += a[i] * b[i]
	}
	return sum
}

// A convolution is linear in its input and in its weights, so that
// <dout, conv(x, w)> = <grad by x, x> = <grad by w, w> exactly.
func TestConvGradsAreAdjoint(t *testing.T) {
	for k, g := range []ref.Geometry{
		{1, 1, 1, [3]int{1, 1, 1}, [3]int{3, 3, 3}, [3]int{1, 1, 1}},
		{2, 3, 2, [3]int{2, 5, 7}, [3]int{1, 3, 3}, [3]int{1, 2, 2}},
		{1, 2, 4, [3]int{4, 3, 6}, [3]int{3, 3, 3}, [3]int{2, 1, 2}},
		{2, 2, 3, [3]int{5, 4, 1}, [3]int{3, 1, 3}, [3]int{2, 2, 2}},
		{1, 4, 2, [3]int{3, 4, 5}, [3]int{1, 1, 1}, [3]int{2, 1, 2}},
	} {
		s := random.New(uint64(k))
		out := g.Out()
		x, w := normal(s, g.N*g.Cin*g.In[0]*g.In[1]*g.In[2]), normal(s, g.WeightLen())
		dout := normal(s, g.N*g.Cout*out[0]*out[1]*out[2])
		y, dx, dw := make([]float64, len(dout)), make([]float64, len(x)), make([]float64, len(w))
		ref.Conv(g, x, w, nil, y)
		ref.ConvDataGrad(g, dout, w, dx)
		ref.ConvWeightGrad(g, x, dout, dw, nil)
		want := dot(dout, y)
		for name, got := range map[string]float64{"data": dot(dx, x), "weight": dot(dw, w)} {
			if math.Abs(got-want) > 1e-11*(1+math.Abs(want)) {
				t.Errorf("%+v: %s gradient gives %g, want %g", g, name, got, want)
			}
		}
	}
}

func TestConvTransposedGradsAreAdjoint(t *testing.T) {
	g := ref.Geometry{N: 2, Cin: 3, Cout: 2, In: [3]int{2, 3, 4}, Kernel: [3]int{1, 2, 2}}
	s, out := random.New(9), g.OutTransposed()
	x, w := normal(s, g.N*g.Cin*24), normal(s, g.WeightLen())
	dout := normal(s, g.N*g.Cout*out[0]*out[1]*out[2])
	y, dx, dw := make([]float64, len(dout)), make([]float64, len(x)), make([]float64, len(w))
	ref.ConvTransposed(g, x, w, nil, y)
	ref.ConvTransposedDataGrad(g, dout, w, dx)
	ref.ConvTransposedWeightGrad(g, x, dout, dw, nil)
	want := dot(dout, y)
	if a, b := dot(dx, x), dot(dw, w); math.Abs(a-want)+math.Abs(b-want) > 1e-11*(1+math.Abs(want)) {
		t.Errorf("gradients give %g and %g, want %g", a, b, want)
	}
}

// central returns the central difference of f along each element of x.
func central(x []float64, f func() float64) []float64 {
	const h = 1e-5
	d := make([]float64, len(x))
	for i, v := range x {
		x[i] = v + h
		hi := f()
		x[i] = v - h
		d[i], x[i] = (hi-f())/(2*h), v
	}
	return d
}

func TestNormGradAgainstDifferences(t *testing.T) {
	s, r := ref.Shape{N: 2, C: 3, V: 7}, random.New(4)
	x, gamma, beta, dout := normal(r, s.Len()), normal(r, s.C), normal(r, s.C), normal(r, s.Len())
	moments, scale, y := make([]float64, 12), make([]float64, 12), make([]float64, s.Len())
	f := func() float64 {
		ref.Moments(s, x, moments)
		ref.NormScale(s, moments, gamma, beta, 1e-5, scale)
		ref.NormAct(s, x, scale, 0.01, y)
		return dot(dout, y)
	}
	wantX, wantGamma, wantBeta := central(x, f), central(gamma, f), central(beta, f)
	f()
	dx, dgamma, dbeta := append([]float64(nil), dout...), make([]float64, s.C), make([]float64, s.C)
	v := ref.Norm[float64]{Raw: x, Moments: moments, Scale: scale, Gamma: gamma, Slope: 0.01, Eps: 1e-5}
	ref.NormGrad(s, v, dx, dx, dgamma, dbeta)
	close64(t, "dx", dx, wantX)
	close64(t, "dgamma", dgamma, wantGamma)
	close64(t, "dbeta", dbeta, wantBeta)
}

func TestLossGradAgainstDifferences(t *testing.T) {
	for _, c := range []struct {
		batchDice bool
		ignore    int
		weights   []float64
	}{{true, -1, nil}, {false, -1, nil}, {true, 2, []float64{1, 0.5, 0, 3}}, {false, 4, []float64{1, 2, 0.25, 3}}} {
		s, r := ref.Shape{N: 2, C: 4, V: 6}, random.New(5)
		logits, labels := normal(r, s.Len()), make([]uint8, s.N*s.V)
		for i := range labels {
			labels[i] = uint8(r.IntN(max(s.C, c.ignore+1)))
		}
		l := ref.Loss[float64]{BatchDice: c.batchDice, Ignore: c.ignore, ClassWeights: c.weights}
		sums, out := make([]float64, ref.SumsLen(s)), make([]float64, 3)
		f := func() float64 { ref.DiceCE(s, logits, labels, l, sums, out); return 0.3 * out[0] }
		want := central(logits, f)
		f()
		got := make([]float64, s.Len())
		ref.DiceCEGrad(s, logits, labels, l, sums, 0.3, got)
		close64(t, fmt.Sprintf("%+v", c), got, want)
	}
}

func close64(t *testing.T, name string, got, want []float64) {
	t.Helper()
	for i := range want {
		if math.Abs(got[i]-want[i]) > 1e-8*(1+math.Abs(want[i])) {
			t.Errorf("%s: element %d is %g, want %g", name, i, got[i], want[i])
		}
	}
}

// Where every voxel is ignored there is nothing to learn: no NaN, no gradient.
func TestLossOfNothing(t *testing.T) {
	s := ref.Shape{N: 1, C: 3, V: 4}
	l := ref.Loss[float32]{BatchDice: true, Ignore: 7}
	sums, out, grad := make([]float32, ref.SumsLen(s)), make([]float32, 3), make([]float32, s.Len())
	logits := []float32{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}
	ref.DiceCE(s, logits, []uint8{7, 7, 7, 7}, l, sums, out)
	ref.DiceCEGrad(s, logits, []uint8{7, 7, 7, 7}, l, sums, 1, grad)
	if diff := cmp.Diff([]float32{-1, -1, 0}, out); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(make([]float32, s.Len()), grad); diff != "" {
		t.Error(diff)
	}
}

// The smoothing shows where a class is absent and hardly predicted: with
// p = 1e-5/(1 + 1e-5), Dice is 1e-5/(p + 1e-5).
func TestLossSmoothing(t *testing.T) {
	s := ref.Shape{N: 1, C: 2, V: 1}
	sums, out := make([]float64, ref.SumsLen(s)), make([]float64, 3)
	ref.DiceCE(s, []float64{0, math.Log(1e-5)}, []uint8{0}, ref.Loss[float64]{BatchDice: true, Ignore: -1}, sums, out)
	if want := -1 / (1 + 1/(1+1e-5)); math.Abs(out[1]-want) > 1e-9 {
		t.Errorf("Dice term %g, want %g", out[1], want)
	}
}

func TestLabelsNearest(t *testing.T) {
	row := []uint8{0, 1, 2, 3, 4, 5, 6, 7}
	for _, c := range []struct {
		in   int
		want []uint8
	}{
		{8, []uint8{0, 1, 2, 3, 4, 5, 6, 7}},
		{8, []uint8{1, 3, 5, 7}},
		{8, []uint8{2, 6}},
		{8, []uint8{4}},
		{5, []uint8{0, 2, 4}}, // (o + 0.5) * 5/3 = 0.83, 2.5, 4.17
		{3, []uint8{0, 0, 1, 2, 2}},
	} {
		got := make([]uint8, len(c.want))
		ref.LabelsNearest(1, [3]int{1, 1, c.in}, [3]int{1, 1, len(c.want)}, row[:c.in], got)
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%d to %d: %s", c.in, len(c.want), diff)
		}
	}
}

func TestGradNorm(t *testing.T) {
	grads := [][]float32{{6, 0}, {8}}
	for _, c := range []struct{ bound, norm, factor float64 }{
		{0, 5, 0.5}, {12, 5, 0.5}, {2.5, 5, 0.5 * 2.5 / (5 + 1e-6)},
	} {
		norm, factor := ref.GradNorm(grads, 2, c.bound)
		if float64(norm) != c.norm || float64(factor) != float64(float32(c.factor)) {
			t.Errorf("bound %g: norm %g factor %g, want %g %g", c.bound, norm, factor, c.norm, c.factor)
		}
	}
}

// A norm that is not finite leaves parameters and state as they are.
func TestUpdateSkips(t *testing.T) {
	p := &program.Program{}
	grad, hyper := p.New("grad", program.Vector, program.Input, 1), p.New("hyper", program.Vector, program.Input, 3)
	norm := p.New("norm", program.Vector, program.Input, 2)
	param, state := p.New("param", program.Vector, program.Param, 1), p.New("state", program.Vector, program.State, 1)
	p.Emit(program.Update{Rule: program.SGD, Param: param, Grad: grad, State: []program.ID{state}, Hyper: hyper, Norm: norm})
	l, err := ref.New().Load(p)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ norm, want float32 }{
		{float32(math.NaN()), 0}, {float32(math.Inf(1)), 0}, {1, -0.5 * 1.5 * 4},
	} {
		err := errors.Join(l.Write(grad, []float32{4}), l.Write(hyper, []float32{0.5, 0.5, 0}), l.Write(norm, []float32{c.norm, 1}), l.Run(t.Context()))
		got := []float32{7}
		if err := errors.Join(err, l.Read(param, got)); err != nil || got[0] != c.want {
			t.Errorf("norm %g: parameter %g, want %g, %v", c.norm, got[0], c.want, err)
		}
	}
}

func TestProcessorsDoNotMatter(t *testing.T) {
	g := ref.Geometry{N: 2, Cin: 5, Cout: 7, In: [3]int{3, 6, 9}, Kernel: [3]int{3, 3, 3}, Stride: [3]int{1, 2, 2}}
	r := random.New(6)
	x, w := normal(r, g.N*g.Cin*3*6*9), normal(r, g.WeightLen())
	var first []float64
	for _, n := range []int{1, 2, 5} {
		old := runtime.GOMAXPROCS(n)
		y := make([]float64, g.N*g.Cout*3*3*5)
		ref.Conv(g, x, w, nil, y)
		runtime.GOMAXPROCS(old)
		if first == nil {
			first = y
		}
		if diff := cmp.Diff(first, y); diff != "" {
			t.Errorf("%d processors: %s", n, diff)
		}
	}
}
