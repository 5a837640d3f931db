package compile

import (
	"strings"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"noisystudent/io/iotest"
	"noisystudent/io/safetensors"
	"noisystudent/model/op"
	"noisystudent/model/op/optest"
	"noisystudent/model/program"
	"noisystudent/model/unet"
)

// tiny is the network of the fixtures tiny_*; its outputs have weights 2/3 and 1/3.
var tiny = unet.Spec{
	InChannels: 1, Classes: 4,
	Features:     []int{4, 8, 12},
	Kernels:      [][3]int{{1, 3, 3}, {3, 3, 3}, {3, 3, 3}},
	Strides:      [][3]int{{1, 1, 1}, {1, 2, 2}, {2, 2, 2}},
	ConvsEncoder: []int{2, 2, 2}, ConvsDecoder: []int{2, 2}, DeepSupervision: true,
}

var (
	tinyPatch = [3]int{8, 16, 24}
	tinyLoss  = LossConfig{BatchDice: true, Ignore: -1, OutputWeights: []float32{2. / 3, 1. / 3}}
)

const tinyLossValue, tinyNorm = 1.7808499336242676, 0.9671589136123657 // manifest: tiny_grads, tiny_after3

func TestTrainingProgramEqualsNnUNet(t *testing.T) {
	p, n, err := Train(tiny, 2, tinyPatch, tinyLoss, program.SGD, 12)
	if err != nil {
		t.Fatal(err)
	}
	const seed = 1024
	m := loadTiny(t, p, n, seed)
	m.run()
	near(t, "loss", m.read(n.Loss)[:1], []float64{tinyLossValue}, 1e-5)
	near(t, "norm", m.read(n.Norm), []float64{tinyNorm, 1. / seed}, 1e-4)
	want := iotest.Tensors(t, "testdata/tiny_grads.safetensors")
	if len(n.Grads) != len(want) {
		t.Errorf("%d gradients, want %d", len(n.Grads), len(want))
	}
	for name, id := range n.Grads {
		got := m.read(id)
		for i := range got {
			got[i] /= seed
		}
		near(t, name, got, wide(want[name].Data), 1e-4)
	}
}

func TestInferenceProgramEqualsNnUNet(t *testing.T) {
	p, n, err := Infer(tiny, 2, tinyPatch)
	if err != nil {
		t.Fatal(err)
	}
	m, forward, weights := load(t, p), iotest.Tensors(t, "testdata/tiny_forward.safetensors"), iotest.Tensors(t, "testdata/tiny_weights.safetensors")
	for name, id := range n.Params {
		m.write(id, weights[name].Data...)
	}
	m.write(n.Image, forward["x"].Data...)
	m.run()
	if len(n.Logits) != 1 {
		t.Fatalf("logits %v", n.Logits)
	}
	near(t, "logits", m.read(n.Logits[0]), wide(forward["out0"].Data), 1e-5)
}

// tinyGraph declares the tiny network with the loss of the fixtures, where every
// output has labels of its own.
type tinyGraph struct {
	g      *op.Graph
	net    unet.Net
	loss   *op.Node
	grads  []*op.Node
	inputs optest.Values
	seed   *op.Node
}

func declareTiny(t *testing.T, dtype tensor.Dtype) tinyGraph {
	t.Helper()
	d := tinyGraph{g: op.NewGraph(dtype), inputs: optest.Values{}}
	var err error
	if d.net, err = unet.Forward(d.g, tiny, 2, tinyPatch, []bool{true, true}); err != nil {
		t.Fatal(err)
	}
	forward, weights := iotest.Tensors(t, "testdata/tiny_forward.safetensors"), iotest.Tensors(t, "testdata/tiny_weights.safetensors")
	d.inputs[d.net.Image] = wide(forward["x"].Data)
	for _, n := range d.net.Params {
		d.inputs[n] = wide(weights[d.g.Name(n)].Data)
	}
	var terms []*op.Node
	for i, logits := range d.net.Logits {
		y := forward["y"+string(rune('0'+i))]
		labels := d.g.Input("labels."+string(rune('0'+i)), append([]int{2}, y.Shape[2:]...)...)
		d.inputs[labels] = wide(y.Data)
		terms = append(terms, d.g.Apply("loss."+string(rune('0'+i)), op.DiceCE{BatchDice: true, Ignore: -1}, logits, labels))
	}
	d.loss = d.g.Apply("loss", op.WeightedSum{Weights: tinyLoss.OutputWeights}, terms...)
	d.seed = d.g.Input("seed", 1)
	d.inputs[d.seed] = []float64{1}
	if d.grads, err = op.Gradient(d.loss, d.seed, d.net.Params); err != nil {
		t.Fatal(err)
	}
	return d
}

func TestTinyNetworkEqualsNnUNet(t *testing.T) {
	d := declareTiny(t, tensor.Float32)
	values, err := optest.Evaluate(d.g, d.inputs)
	if err != nil {
		t.Fatal(err)
	}
	forward, grads := iotest.Tensors(t, "testdata/tiny_forward.safetensors"), iotest.Tensors(t, "testdata/tiny_grads.safetensors")
	checkActivations(t, d.g, values, forward)
	for i, n := range d.net.Logits {
		near(t, d.g.Name(n), values[n], wide(forward["out"+string(rune('0'+i))].Data), 1e-5)
	}
	near(t, "loss", values[d.loss][:1], []float64{tinyLossValue}, 1e-5)
	if len(grads) != len(d.grads) {
		t.Errorf("%d gradients, want %d", len(d.grads), len(grads))
	}
	for i, n := range d.net.Params {
		near(t, d.g.Name(n), values[d.grads[i]], wide(grads[d.g.Name(n)].Data), 1e-4)
	}
}

// checkActivations compares what the fixture holds of the forward run; a stage's
// output is that of its last block. The fixture's norm is taken before the
// activation, which our node contains.
func checkActivations(t *testing.T, g *op.Graph, values optest.Values, forward map[string]safetensors.Tensor) {
	t.Helper()
	byName := map[string]*op.Node{}
	for _, n := range g.Nodes() {
		byName[g.Name(n)] = n
	}
	checked := 0
	for key, a := range forward {
		name, ok := strings.CutPrefix(key, "act.")
		if !ok {
			continue
		}
		want := wide(a.Data)
		block, isNorm := strings.CutSuffix(name, ".norm")
		switch {
		case isNorm:
			name = block
			for i, v := range want {
				want[i] = max(v, 0.01*v)
			}
		case strings.HasPrefix(name, "encoder.stages.") && strings.Count(name, ".") == 2:
			name += ".0.convs.1"
		case strings.HasPrefix(name, "decoder.stages."):
			name += ".convs.1"
		}
		near(t, name, values[byName[name]], want, 1e-5)
		checked++
	}
	if checked != 9 {
		t.Errorf("%d activations compared, want 9", checked)
	}
}

func TestTapeMachineEqualsProgram(t *testing.T) {
	d := declareTiny(t, tensor.Float32)
	for n, data := range d.inputs {
		v, err := optest.Tensor(n, data)
		if err != nil {
			t.Fatal(err)
		}
		if err := gorgonia.Let(n, v); err != nil {
			t.Fatal(err)
		}
	}
	tape := gorgonia.NewTapeMachine(d.g.Expr())
	defer tape.Close()
	if err := tape.RunAll(); err != nil {
		t.Fatal(err)
	}
	p, n, err := Train(tiny, 2, tinyPatch, tinyLoss, program.SGD, 0)
	if err != nil {
		t.Fatal(err)
	}
	m := loadTiny(t, p, n, 1)
	m.run()
	near(t, "loss", m.read(n.Loss), wide(d.loss.Value().Data().([]float32)), 1e-6)
	for i, param := range d.net.Params {
		name := d.g.Name(param)
		near(t, name, m.read(n.Grads[name]), wide(d.grads[i].Value().Data().([]float32)), 2e-6)
	}
}

func TestTinyGradientsEqualFiniteDifferences(t *testing.T) {
	d := declareTiny(t, tensor.Float64)
	values, err := optest.Evaluate(d.g, d.inputs)
	if err != nil {
		t.Fatal(err)
	}
	f := declareTiny(t, tensor.Float64)
	delete(f.inputs, f.seed) // so that only the forward part is computed
	const step = 1e-6
	at := func(param, k int, by float64) float64 {
		n := f.net.Params[param]
		was := f.inputs[n][k]
		f.inputs[n][k] = was + by
		defer func() { f.inputs[n][k] = was }()
		v, err := optest.Evaluate(f.g, f.inputs)
		if err != nil {
			t.Fatal(err)
		}
		return v[f.loss][0]
	}
	for i := 0; i < len(d.net.Params); i += 3 {
		n := d.net.Params[i]
		k := (7 * i) % len(d.inputs[n])
		want := (at(i, k, step) - at(i, k, -step)) / (2 * step)
		near(t, d.g.Name(n), values[d.grads[i]][k:k+1], []float64{want}, 1e-6)
	}
}
