package unet_test

import (
	"math"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"gorgonia.org/tensor"

	"noisystudent/io/iotest"
	"noisystudent/model/op"
	"noisystudent/model/unet"
)

// tiny is the network of the fixture.
func tiny() unet.Spec {
	return unet.Spec{
		InChannels: 1, Classes: 4,
		Features:     []int{4, 8, 12},
		Kernels:      [][3]int{{1, 3, 3}, {3, 3, 3}, {3, 3, 3}},
		Strides:      [][3]int{{1, 1, 1}, {1, 2, 2}, {2, 2, 2}},
		ConvsEncoder: []int{2, 2, 2}, ConvsDecoder: []int{2, 2}, DeepSupervision: true,
	}
}

func TestParamsEqualNnUNetStateDict(t *testing.T) {
	want, got := map[string][]int{}, map[string][]int{}
	tensors := iotest.Tensors(t, "../compile/testdata/tiny_weights.safetensors")
	for name, a := range tensors {
		want[name] = a.Shape
	}
	for _, p := range unet.Params(tiny()) {
		got[p.Name] = p.Shape
		if n := len(tensors[p.Name].Data); p.Len() != n {
			t.Errorf("%s: %d elements, want %d", p.Name, p.Len(), n)
		}
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestParamsDoNotDependOnDeepSupervision(t *testing.T) {
	s := tiny()
	with := unet.Params(s)
	s.DeepSupervision = false
	if d := cmp.Diff(with, unet.Params(s)); d != "" {
		t.Error(d)
	}
}

func TestInitialisation(t *testing.T) {
	// torch.nn.init._calculate_fan_in_and_fan_out of these shapes; gain with a = 0.01
	fans := map[string]int{
		"encoder.stages.0.0.convs.0.conv.weight": 9,
		"decoder.stages.0.convs.0.conv.weight":   16 * 27,
		"decoder.transpconvs.0.weight":           64,
		"decoder.seg_layers.1.weight":            4,
	}
	for _, p := range unet.Params(tiny()) {
		if fan, ok := fans[p.Name]; ok {
			delete(fans, p.Name)
			if p.Fan != fan {
				t.Errorf("%s: fan %d, want %d", p.Name, p.Fan, fan)
			}
		}
		want := float32(0)
		if len(p.Shape) == 1 && p.Name[len(p.Name)-11:] == "norm.weight" {
			want = 1
		}
		if (p.Fan > 0) != (len(p.Shape) == 5) || p.Value != want {
			t.Errorf("%s: fan %d, value %g", p.Name, p.Fan, p.Value)
		}
		if p.Name == "decoder.transpconvs.0.weight" && math.Abs(p.SD()-0.17676785712472942) > 1e-15 {
			t.Errorf("standard deviation %v", p.SD())
		}
	}
	if len(fans) > 0 {
		t.Errorf("missing: %v", fans)
	}
}

func TestForwardDeclaresWantedHeads(t *testing.T) {
	for _, c := range []struct {
		heads  []bool
		params int
		shapes [][]int // of the logits, nil where there are none
	}{
		{[]bool{true, true}, 48, [][]int{{2, 4, 8, 16, 24}, {2, 4, 8, 8, 12}}},
		{[]bool{true, false}, 46, [][]int{{2, 4, 8, 16, 24}, nil}},
		{[]bool{false, true}, 36, [][]int{nil, {2, 4, 8, 8, 12}}},
	} {
		g := op.NewGraph(tensor.Float32)
		net, err := unet.Forward(g, tiny(), 2, [3]int{8, 16, 24}, c.heads)
		if err != nil {
			t.Fatal(err)
		}
		if len(net.Params) != c.params {
			t.Errorf("%v: %d parameters, want %d", c.heads, len(net.Params), c.params)
		}
		var shapes [][]int
		for _, n := range net.Logits {
			if n == nil {
				shapes = append(shapes, nil)
				continue
			}
			shapes = append(shapes, n.Shape())
		}
		if d := cmp.Diff(c.shapes, shapes); d != "" {
			t.Errorf("%v: %s", c.heads, d)
		}
		var names []string
		for _, p := range unet.Params(tiny()) {
			names = append(names, p.Name)
		}
		for _, n := range net.Params {
			if !slices.Contains(names, g.Name(n)) {
				t.Errorf("parameter %s is not in Params", g.Name(n))
			}
		}
	}
}

func TestForwardRefuses(t *testing.T) {
	patch, heads := [3]int{8, 16, 24}, []bool{true, true}
	bad := tiny()
	bad.Features = bad.Features[:2]
	for name, declare := range map[string]func(g *op.Graph) error{
		"spec":     func(g *op.Graph) error { _, err := unet.Forward(g, bad, 1, patch, heads); return err },
		"batch":    func(g *op.Graph) error { _, err := unet.Forward(g, tiny(), 0, patch, heads); return err },
		"no heads": func(g *op.Graph) error { _, err := unet.Forward(g, tiny(), 1, patch, []bool{false, false}); return err },
		"heads":    func(g *op.Graph) error { _, err := unet.Forward(g, tiny(), 1, patch, []bool{true}); return err },
		"patch":    func(g *op.Graph) error { _, err := unet.Forward(g, tiny(), 1, [3]int{8, 16, 23}, heads); return err },
		"name": func(g *op.Graph) error {
			g.Input("image", 1)
			_, err := unet.Forward(g, tiny(), 1, patch, heads)
			return err
		},
	} {
		if err := declare(op.NewGraph(tensor.Float32)); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestSpecCheck(t *testing.T) {
	if err := tiny().Check(); err != nil {
		t.Fatal(err)
	}
	for name, edit := range map[string]func(*unet.Spec){
		"empty":         func(s *unet.Spec) { *s = unet.Spec{} },
		"one stage":     func(s *unet.Spec) { s.Features = s.Features[:1] },
		"channels":      func(s *unet.Spec) { s.InChannels = 2 },
		"one class":     func(s *unet.Spec) { s.Classes = 1 },
		"classes":       func(s *unet.Spec) { s.Classes = 256 },
		"kernels":       func(s *unet.Spec) { s.Kernels = s.Kernels[1:] },
		"strides":       func(s *unet.Spec) { s.Strides = nil },
		"decoder convs": func(s *unet.Spec) { s.ConvsDecoder = []int{2, 2, 2} },
		"no convs":      func(s *unet.Spec) { s.ConvsEncoder[1] = 0 },
		"no features":   func(s *unet.Spec) { s.Features[2] = 0 },
		"even kernel":   func(s *unet.Spec) { s.Kernels[1][0] = 2 },
		"stride 3":      func(s *unet.Spec) { s.Strides[1][2] = 3 },
		"first stride":  func(s *unet.Spec) { s.Strides[0][1] = 2 },
	} {
		s := tiny()
		edit(&s)
		if err := s.Check(); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if got := tiny().Divisor(); got != [3]int{2, 4, 4} {
		t.Errorf("divisor %v", got)
	}
	single := tiny()
	single.DeepSupervision = false
	if tiny().Outputs() != 2 || single.Outputs() != 1 {
		t.Errorf("outputs %d and %d", tiny().Outputs(), single.Outputs())
	}
}
