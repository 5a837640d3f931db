package loss_test

import (
	"encoding/json"
	"math"
	"os"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"
	"gorgonia.org/tensor"

	"noisystudent/io/iotest"
	"noisystudent/model/loss"
	"noisystudent/model/op"
	"noisystudent/model/op/optest"
)

func TestOutputWeightsEqualNnUNet(t *testing.T) {
	data, err := os.ReadFile("testdata/deep_supervision_weights.json")
	if err != nil {
		t.Fatal(err)
	}
	var table map[string][]float64
	if err := json.Unmarshal(data, &table); err != nil {
		t.Fatal(err)
	}
	if len(table) != 7 {
		t.Fatalf("%d rows", len(table))
	}
	for key, want := range table {
		n, err := strconv.Atoi(key)
		if err != nil {
			t.Fatal(err)
		}
		got := loss.OutputWeights(n)
		if len(got) != n {
			t.Fatalf("%d outputs: %d weights", n, len(got))
		}
		for i := range got {
			if got[i] != float32(want[i]) {
				t.Errorf("%d outputs: weight %d is %g, want %g", n, i, got[i], want[i])
			}
		}
	}
}

// lossCases are the rows "values" of the fixture's manifest.
var lossCases = []struct {
	name           string
	config         loss.Config
	loss, dice, ce float64
}{
	{"c5_batchdice", loss.Config{BatchDice: true, Ignore: -1}, 2.656184434890747, -0.18777447938919067, 2.843958854675293},
	{"c5_sampledice", loss.Config{Ignore: -1}, 2.6711196899414062, -0.20045819878578186, 2.8715779781341553},
	{"c14_batchdice", loss.Config{BatchDice: true, Ignore: -1}, 4.064166069030762, -0.0718371570110321, 4.136003017425537},
	{"c5_ignore", loss.Config{BatchDice: true, Ignore: 5}, 2.563554525375366, -0.2014555186033249, 2.765010118484497},
	{"c14_absent", loss.Config{BatchDice: true, Ignore: -1}, 4.163266181945801, -0.027601858600974083, 4.190867900848389},
}

func TestLossEqualsNnUNet(t *testing.T) {
	const tolerance = 1e-5
	f := iotest.Tensors(t, "testdata/dc_ce_loss.safetensors")
	for _, c := range lossCases {
		t.Run(c.name, func(t *testing.T) {
			logits, target := f[c.name+".logits"], f[c.name+".target"]
			g := op.NewGraph(tensor.Float32)
			x := g.Input("logits", logits.Shape...)
			y := g.Input("labels", append([]int{target.Shape[0]}, target.Shape[2:]...)...)
			d, err := loss.Declare(g, []*op.Node{x}, y, c.config)
			if err != nil {
				t.Fatal(err)
			}
			seed := g.Input("seed", 1)
			grads, err := op.Gradient(d.Value, seed, []*op.Node{x})
			if err != nil {
				t.Fatal(err)
			}
			values, err := optest.Evaluate(g, optest.Values{x: wide(logits.Data), y: wide(target.Data), seed: {1}})
			if err != nil {
				t.Fatal(err)
			}
			near(t, "value", values[d.Value], []float64{c.loss, c.dice, c.ce}, tolerance)
			near(t, "gradient", values[grads[0]], wide(f[c.name+".grad"].Data), 1e-6)
		})
	}
}

// pyramid evaluates the labels that Declare makes for the outputs of the given grids.
func pyramid(t *testing.T, shape []int, labels []float64, grids [][3]int) [][]float64 {
	t.Helper()
	g := op.NewGraph(tensor.Float32)
	y := g.Input("labels", shape...)
	inputs := optest.Values{y: labels}
	var logits []*op.Node
	for i, s := range grids {
		n := g.Input("logits."+strconv.Itoa(i), shape[0], 256, s[0], s[1], s[2])
		logits = append(logits, n)
	}
	weights := make([]float32, len(grids))
	for i := range weights {
		weights[i] = 1
	}
	if _, err := loss.Declare(g, logits, y, loss.Config{Ignore: -1, OutputWeights: weights}); err != nil {
		t.Fatal(err)
	}
	values, err := optest.Evaluate(g, inputs)
	if err != nil {
		t.Fatal(err)
	}
	out := [][]float64{labels}
	for _, n := range g.Nodes() {
		if _, ok := n.Op().(op.LabelsNearest); ok {
			out = append(out, values[n])
		}
	}
	return out
}

func TestLabelPyramid(t *testing.T) {
	line := []float64{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}
	got := pyramid(t, []int{1, 1, 1, 12}, line, [][3]int{{1, 1, 12}, {1, 1, 6}, {1, 1, 3}, {1, 1, 5}})
	// nearest-exact: floor((o + 0.5) * in/out)
	want := [][]float64{line, {1, 3, 5, 7, 9, 11}, {2, 6, 10}, {1, 3, 6, 8, 10}}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestLabelPyramidEqualsNnUNet(t *testing.T) {
	root := os.Getenv("NOISYSTUDENT_CT")
	if root == "" {
		t.Skip("needs the real CT: set NOISYSTUDENT_CT")
	}
	path := root + "/../reference/ds_targets.safetensors"
	if _, err := os.Stat(path); err != nil {
		t.Skipf("needs the real CT's fixtures: %v", err)
	}
	f := iotest.Tensors(t, path)
	var grids [][3]int
	var want [][]float64
	for i := range 4 {
		a := f["scale"+strconv.Itoa(i)]
		grids = append(grids, [3]int(a.Shape[1:]))
		want = append(want, wide(a.Data))
	}
	got := pyramid(t, f["scale0"].Shape, want[0], grids)
	for i := range want {
		near(t, "scale "+strconv.Itoa(i), got[i], want[i], 0)
	}
}

func TestZeroWeightIsNotComputed(t *testing.T) {
	g := op.NewGraph(tensor.Float32)
	high := g.Input("high", 1, 2, 2, 2, 2)
	labels := g.Input("labels", 1, 2, 2, 2)
	if _, err := loss.Declare(g, []*op.Node{high, nil}, labels, loss.Config{Ignore: -1}); err != nil {
		t.Error(err)
	}
	for _, n := range g.Nodes() {
		if _, ok := n.Op().(op.LabelsNearest); ok {
			t.Error("labels of the idle output are computed")
		}
	}
}

func TestDeclareRefuses(t *testing.T) {
	inf := float32(math.Inf(1))
	for name, c := range map[string]loss.Config{
		"too few":      {OutputWeights: []float32{1}},
		"all zero":     {OutputWeights: []float32{0, 0}},
		"negative":     {OutputWeights: []float32{1, -1}},
		"infinite":     {OutputWeights: []float32{1, inf}},
		"no logits":    {OutputWeights: []float32{1, 1}},
		"class counts": {OutputWeights: []float32{1, 0}, ClassWeights: []float32{1, 1, 1}},
	} {
		g := op.NewGraph(tensor.Float32)
		high, labels := g.Input("high", 1, 2, 2, 2, 2), g.Input("labels", 1, 2, 2, 2)
		if _, err := loss.Declare(g, []*op.Node{high, nil}, labels, c); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func wide(data []float32) []float64 {
	out := make([]float64, len(data))
	for i, v := range data {
		out[i] = float64(v)
	}
	return out
}

func near(t *testing.T, what string, got, want []float64, tolerance float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d elements, want %d", what, len(got), len(want))
	}
	for i := range got {
		if !(math.Abs(got[i]-want[i]) <= tolerance) {
			t.Fatalf("%s: element %d is %g, want %g", what, i, got[i], want[i])
		}
	}
}
