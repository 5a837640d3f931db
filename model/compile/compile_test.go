package compile

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"noisystudent/model/program"
	"noisystudent/model/random"
	"noisystudent/model/ref"
	"noisystudent/model/unet"
)

var update = flag.Bool("update", false, "write golden files")

// paper is the low-footprint network that nnU-Net's planner gives for FLARE22.
var paper = unet.Spec{
	InChannels: 1, Classes: 14,
	Features:     []int{16, 32, 64, 128, 256, 320},
	Kernels:      [][3]int{{1, 3, 3}, {3, 3, 3}, {3, 3, 3}, {3, 3, 3}, {3, 3, 3}, {3, 3, 3}},
	Strides:      [][3]int{{1, 1, 1}, {1, 2, 2}, {2, 2, 2}, {2, 2, 2}, {2, 2, 2}, {1, 2, 2}},
	ConvsEncoder: []int{2, 2, 2, 2, 2, 2}, ConvsDecoder: []int{2, 2, 2, 2, 2}, DeepSupervision: true,
}

var (
	paperPatch = [3]int{40, 224, 192}
	plainLoss  = LossConfig{BatchDice: true, Ignore: -1}
)

func TestPaperNetworkCompilesWithoutArrays(t *testing.T) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	start := time.Now()
	p, n, err := Train(paper, 4, paperPatch, plainLoss, program.SGD, 12)
	took := time.Since(start)
	runtime.ReadMemStats(&after)
	if err != nil {
		t.Fatal(err)
	}
	if got := after.TotalAlloc - before.TotalAlloc; got > 32<<20 {
		t.Errorf("%d bytes were allocated; an array was made", got)
	}
	if took > 2*time.Second {
		t.Errorf("took %v, usually some 10 ms", took)
	}
	weights := 0
	for _, id := range n.Params {
		weights += p.Buffers[id].Len()
	}
	if weights != 16_250_534 {
		t.Errorf("%d weights", weights)
	}
	if err := Place(p, ref.New()); err != nil {
		t.Fatal(err)
	}
	f := Memory(p)
	t.Logf("compiled in %v; %+v", took, f)
	if limit := int64(3_450_000_000); f.Temp > limit {
		t.Errorf("%d bytes alive at %s, more than %d", f.Temp, f.At, limit)
	}
	if all := f.Params + f.State + f.Inputs + f.Outputs + f.Temp; float64(f.Arena) > 1.03*float64(all) {
		t.Errorf("arena of %d bytes for %d alive at once", f.Arena, all)
	}
}

func TestFusionLeavesOnlyFusedForms(t *testing.T) {
	p, _, err := Train(paper, 1, paperPatch, plainLoss, program.AdamW, 12)
	if err != nil {
		t.Fatal(err)
	}
	accumulated := 0
	for _, in := range p.Instrs {
		switch i := in.(type) {
		case program.Moments, program.NormAct, program.Concat, program.Add:
			t.Errorf("left: %s", p.Text(in))
		case program.NormGrad:
			if i.DIn != i.DOut {
				t.Errorf("not in place: %s", p.Text(in))
			}
		case program.ConvDataGrad:
			for _, a := range i.Accumulate {
				if a {
					accumulated++
				}
			}
		}
	}
	if accumulated != 8 { // five skips and three inner heads
		t.Errorf("%d data gradients accumulate", accumulated)
	}
}

func TestCompilingTwiceGivesOneProgram(t *testing.T) {
	want := ""
	for i := range 30 {
		p, n, err := Train(paper, 2, paperPatch, plainLoss, program.SGD, 12)
		if err != nil {
			t.Fatal(err)
		}
		if err := Place(p, ref.New()); err != nil {
			t.Fatal(err)
		}
		got := p.String() + fmt.Sprint(*n)
		if i > 0 && got != want {
			t.Fatalf("rebuild %d differs", i)
		}
		want = got
	}
}

func TestCompilingConcurrentlyGivesOneProgram(t *testing.T) {
	var texts [4]string
	var wg sync.WaitGroup
	for i := range texts {
		wg.Go(func() {
			if p, _, err := Train(paper, 2, paperPatch, plainLoss, program.SGD, 12); err == nil {
				texts[i] = p.String()
			}
		})
	}
	wg.Wait()
	for i, text := range texts {
		if text == "" || text != texts[0] {
			t.Errorf("program %d differs", i)
		}
	}
}

func TestTinyProgramsAreAsReviewed(t *testing.T) {
	train, _, err := Train(tiny, 2, tinyPatch, tinyLoss, program.SGD, 12)
	if err != nil {
		t.Fatal(err)
	}
	infer, _, err := Infer(tiny, 2, tinyPatch)
	if err != nil {
		t.Fatal(err)
	}
	for name, p := range map[string]*program.Program{"train": train, "infer": infer} {
		path := "testdata/tiny_" + name + ".txt"
		if *update {
			if err := os.WriteFile(path, []byte(p.String()), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(p.String(), "\n")); d != "" {
			t.Errorf("%s: run with -update if this is wanted:\n%s", path, d)
		}
	}
}

func TestIdleHeadKeepsItsParameters(t *testing.T) {
	u, err := train(paper, 1, [3]int{8, 32, 32}, plainLoss, program.SGD, 12)
	if err != nil {
		t.Fatal(err)
	}
	if err := u.run(passes); err != nil {
		t.Fatal(err)
	}
	n := u.net
	if !slices.Equal([]bool{n.Logits[0] == program.None, n.Logits[4] == program.None}, []bool{false, true}) {
		t.Errorf("logits %v", n.Logits)
	}
	if len(n.Params) != len(unet.Params(paper)) {
		t.Errorf("%d parameters, want %d", len(n.Params), len(unet.Params(paper)))
	}
	for _, part := range []string{".weight", ".bias"} {
		name := "decoder.seg_layers.0" + part
		id, ok := n.Params[name]
		if !ok || u.Buffers[id].Role != program.Param || u.Buffers[id].Name != name {
			t.Errorf("%s is not a parameter", name)
		}
		if _, ok := n.Grads[name]; ok {
			t.Errorf("%s has a gradient", name)
		}
		if _, ok := n.State[name+".momentum"]; ok {
			t.Errorf("%s has momentum", name)
		}
	}
}

func TestRefusals(t *testing.T) {
	bad := tiny
	bad.Classes = 1
	for name, compile := range map[string]func() error{
		"spec, train": func() error { _, _, err := Train(bad, 1, tinyPatch, tinyLoss, program.SGD, 0); return err },
		"empty, train": func() error {
			_, _, err := Train(unet.Spec{}, 1, tinyPatch, tinyLoss, program.SGD, 0)
			return err
		},
		"empty, infer": func() error { _, _, err := Infer(unet.Spec{}, 1, tinyPatch); return err },
		"batch":        func() error { _, _, err := Infer(tiny, 0, tinyPatch); return err },
		"patch":        func() error { _, _, err := Infer(tiny, 1, [3]int{8, 18, 24}); return err },
		"patch 0":      func() error { _, _, err := Infer(tiny, 1, [3]int{}); return err },
		"huge patch":   func() error { _, _, err := Infer(tiny, 1, [3]int{1 << 20, 1 << 20, 1 << 20}); return err },
		"class weights": func() error {
			_, _, err := Train(tiny, 1, tinyPatch, LossConfig{ClassWeights: []float32{1}}, program.SGD, 0)
			return err
		},
		"output weights": func() error {
			_, _, err := Train(tiny, 1, tinyPatch, LossConfig{OutputWeights: []float32{1}}, program.SGD, 0)
			return err
		},
		"clip": func() error { _, _, err := Train(tiny, 1, tinyPatch, tinyLoss, program.SGD, -1); return err },
		"rule": func() error { _, _, err := Train(tiny, 1, tinyPatch, tinyLoss, program.Rule(9), 0); return err },
	} {
		if err := compile(); err == nil {
			t.Errorf("%s: accepted", name)
		} else if !strings.HasPrefix(err.Error(), "compile: ") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// randomSpec draws a network of the kind that people may write into a plan.
func randomSpec(s *random.Stream) unet.Spec {
	n := 2 + s.IntN(4)
	spec := unet.Spec{InChannels: 1, Classes: 2 + s.IntN(5), DeepSupervision: s.Bool(0.7)}
	for i := range n {
		var k, stride [3]int
		for a := range 3 {
			k[a], stride[a] = 1+2*s.IntN(2), 1+s.IntN(2)
		}
		if i == 0 {
			stride = [3]int{1, 1, 1}
		}
		spec.Features = append(spec.Features, 1+s.IntN(9))
		spec.Kernels, spec.Strides = append(spec.Kernels, k), append(spec.Strides, stride)
		spec.ConvsEncoder = append(spec.ConvsEncoder, 1+s.IntN(3))
		if i > 0 {
			spec.ConvsDecoder = append(spec.ConvsDecoder, 1+s.IntN(3))
		}
	}
	return spec
}

func TestRandomNetworksCompile(t *testing.T) {
	for i := range uint64(40) {
		s := random.New(9, i)
		spec := randomSpec(s)
		patch := spec.Divisor()
		for a := range patch {
			patch[a] *= 1 + s.IntN(2)
		}
		p, _, err := Train(spec, 1+s.IntN(2), patch, plainLoss, program.AdamW, 1)
		if err == nil {
			err = Place(p, ref.New())
		}
		if err != nil {
			t.Errorf("train %+v on %v: %v", spec, patch, err)
		}
		if p, _, err = Infer(spec, 1, patch); err == nil {
			err = Place(p, ref.New64())
		}
		if err != nil {
			t.Errorf("infer %+v on %v: %v", spec, patch, err)
		}
	}
}
