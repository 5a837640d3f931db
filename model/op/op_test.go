package op_test

import (
	"math"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"noisystudent/io/iotest"
	"noisystudent/model/op"
	"noisystudent/model/op/optest"
	"noisystudent/model/random"
)

func wide(data []float32) []float64 {
	out := make([]float64, len(data))
	for i, v := range data {
		out[i] = float64(v)
	}
	return out
}

// near compares with an absolute and a relative part, as numpy.allclose does.
func near(t *testing.T, what string, got, want []float64, tolerance float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d elements, want %d", what, len(got), len(want))
	}
	worst, at := 0.0, 0
	for i := range got {
		if d := math.Abs(got[i]-want[i]) / (1 + math.Abs(want[i])); !(d <= worst) {
			worst, at = d, i
		}
	}
	if !(worst <= tolerance) {
		t.Errorf("%s: element %d is %g, want %g", what, at, got[at], want[at])
	}
}

// opCase is one op of the fixture: how it is applied to x, w, b.
type opCase struct {
	name  string
	apply func(g *op.Graph, x, w, b *op.Node) *op.Node
}

func conv(stride [3]int) func(*op.Graph, *op.Node, *op.Node, *op.Node) *op.Node {
	return func(g *op.Graph, x, w, b *op.Node) *op.Node { return g.Apply("y", op.Conv{Stride: stride}, x, w, b) }
}

func transposed(g *op.Graph, x, w, b *op.Node) *op.Node {
	return g.Apply("y", op.ConvTransposed{}, x, w, b)
}

func norm(g *op.Graph, x, w, b *op.Node) *op.Node {
	return g.Apply("y", op.NormAct{Eps: 1e-5, Slope: 0.01}, x, g.Apply("m", op.Moments{}, x), w, b)
}

var opCases = []opCase{
	{"conv_k133s1", conv([3]int{1, 1, 1})},
	{"conv_k333s1", conv([3]int{1, 1, 1})},
	{"conv_k333s122", conv([3]int{1, 2, 2})},
	{"conv_k333s222", conv([3]int{2, 2, 2})},
	{"convT_s122", transposed},
	{"convT_s222", transposed},
	{"inorm_lrelu", norm},
}

func TestOpsEqualPyTorch(t *testing.T) {
	f := iotest.Tensors(t, "testdata/ops.safetensors")
	for _, dtype := range []tensor.Dtype{tensor.Float32, tensor.Float64} {
		for _, c := range opCases {
			t.Run(c.name+"/"+dtype.Name(), func(t *testing.T) {
				g, inputs := op.NewGraph(dtype), optest.Values{}
				in := func(part string) *op.Node {
					a, ok := f[c.name+"."+part]
					if !ok {
						t.Fatalf("fixture lacks %s.%s", c.name, part)
					}
					n := g.Input(part, a.Shape...)
					inputs[n] = wide(a.Data)
					return n
				}
				x, w, b := in("x"), in("w"), in("b")
				y, dy := c.apply(g, x, w, b), in("gy")
				if g.Err() != nil {
					t.Fatal(g.Err())
				}
				grads, err := op.Gradient(y, dy, []*op.Node{x, w, b})
				if err != nil {
					t.Fatal(err)
				}
				values, err := optest.Evaluate(g, inputs)
				if err != nil {
					t.Fatal(err)
				}
				for part, n := range map[string]*op.Node{"y": y, "gx": grads[0], "gw": grads[1], "gb": grads[2]} {
					near(t, part, values[n], wide(f[c.name+"."+part].Data), 2e-5)
				}
			})
		}
	}
}

// sample is a network of a few voxels that uses every differentiable op, a value
// twice (so that gradients are summed), class weights and an ignored label.
func sample(t *testing.T) (g *op.Graph, inputs optest.Values, loss *op.Node, wrt []*op.Node) {
	t.Helper()
	g, inputs = op.NewGraph(tensor.Float64), optest.Values{}
	s := random.New(1)
	in := func(name string, shape ...int) *op.Node {
		n := g.Input(name, shape...)
		data := make([]float64, tensor.Shape(shape).TotalSize())
		for i := range data {
			data[i] = s.Normal()
		}
		inputs[n] = data
		wrt = append(wrt, n)
		return n
	}
	x := in("x", 2, 2, 2, 4, 4)
	raw := g.Apply("raw", op.Conv{Stride: [3]int{1, 2, 2}}, x, in("w0", 3, 2, 1, 3, 3), in("b0", 3))
	act := g.Apply("act", op.NormAct{Eps: 1e-5, Slope: 0.01}, raw, g.Apply("m", op.Moments{}, raw), in("gamma", 3), in("beta", 3))
	up := g.Apply("up", op.ConvTransposed{}, act, in("wt", 3, 2, 1, 2, 2), in("bt", 2))
	joined := g.Apply("joined", op.Concat{N: 2}, up, x)
	high := g.Apply("high", op.Conv{Stride: [3]int{1, 1, 1}}, joined, in("w1", 3, 4, 1, 1, 1), in("b1", 3))
	low := g.Apply("low", op.Conv{Stride: [3]int{1, 1, 1}}, act, in("w2", 3, 3, 1, 1, 1), in("b2", 3))
	labels, weights := g.Input("labels", 2, 2, 4, 4), g.Input("weights", 3)
	inputs[weights] = []float64{0.5, 1, 2}
	for range 64 {
		inputs[labels] = append(inputs[labels], float64(s.IntN(4))) // 3 is ignored
	}
	small := g.Apply("small", op.LabelsNearest{Out: [3]int{2, 2, 2}}, labels)
	a := g.Apply("a", op.DiceCE{BatchDice: true, Ignore: 3, Weighted: true}, high, labels, weights)
	b := g.Apply("b", op.DiceCE{Ignore: 3}, low, small)
	loss = g.Apply("loss", op.WeightedSum{Weights: []float32{0.75, 0.25}}, a, b)
	if g.Err() != nil {
		t.Fatal(g.Err())
	}
	return g, inputs, loss, wrt
}

func TestGradientsEqualFiniteDifferences(t *testing.T) {
	g, inputs, loss, wrt := sample(t)
	seed := g.Input("seed", 1)
	inputs[seed] = []float64{8}
	grads, err := op.Gradient(loss, seed, wrt)
	if err != nil {
		t.Fatal(err)
	}
	values, err := optest.Evaluate(g, inputs)
	if err != nil {
		t.Fatal(err)
	}
	again, loss2, step := forwardOnly(t)
	for i, n := range wrt {
		got, want := values[grads[i]], make([]float64, len(inputs[n]))
		for k := range want {
			want[k] = 8 * (again(i, k, step, loss2) - again(i, k, -step, loss2)) / (2 * step)
		}
		near(t, g.Name(n), got, want, 2e-8)
	}
}

// forwardOnly returns the loss of the sample as a function of one moved element.
func forwardOnly(t *testing.T) (at func(i, k int, by float64, loss *op.Node) float64, loss *op.Node, step float64) {
	g, inputs, loss, wrt := sample(t)
	return func(i, k int, by float64, loss *op.Node) float64 {
		was := inputs[wrt[i]][k]
		inputs[wrt[i]][k] = was + by
		values, err := optest.Evaluate(g, inputs)
		inputs[wrt[i]][k] = was
		if err != nil {
			t.Fatal(err)
		}
		return values[loss][0]
	}, loss, 1e-6
}

func TestTapeMachineEqualsEvaluate(t *testing.T) {
	g, inputs, loss, wrt := sample(t)
	seed := g.Input("seed", 1)
	inputs[seed] = []float64{8}
	grads, err := op.Gradient(loss, seed, wrt)
	if err != nil {
		t.Fatal(err)
	}
	want, err := optest.Evaluate(g, inputs)
	if err != nil {
		t.Fatal(err)
	}
	for n, data := range inputs {
		v, err := optest.Tensor(n, data)
		if err != nil {
			t.Fatal(err)
		}
		if err := gorgonia.Let(n, v); err != nil {
			t.Fatal(err)
		}
	}
	m := gorgonia.NewTapeMachine(g.Expr())
	defer m.Close()
	if err := m.RunAll(); err != nil {
		t.Fatal(err)
	}
	for i, n := range append([]*op.Node{loss}, grads...) {
		near(t, g.Name(append([]*op.Node{loss}, wrt...)[i]), n.Value().Data().([]float64), want[n], 0)
	}
}
