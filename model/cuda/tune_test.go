package cuda_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"noisystudent/model/compile"
	"noisystudent/model/cuda"
	"noisystudent/model/cuda/tuning"
	"noisystudent/model/program"
	"noisystudent/model/unet"
)

// few is a context that ends when it has been asked so often.
type few struct {
	context.Context
	left int
}

func (f *few) Err() error {
	if f.left--; f.left < 0 {
		return errors.New("enough")
	}
	return nil
}

// TestTune looks for tiles where times mean nothing: each convolution must get a rule,
// which is found before others, and the table must be as it was.
func TestTune(t *testing.T) {
	d := emulated(t)().(*cuda.Device)
	p := &program.Program{Precision: program.Half}
	x := p.New("x", program.Activation, program.Input, 1, 8, 2, 3, 5)
	for _, c := range []struct {
		name   string
		kernel [3]int
		out    int
	}{{"cube", [3]int{3, 3, 3}, 12}, {"flat", [3]int{1, 3, 3}, 12}, {"point", [3]int{1, 1, 1}, 20}, {"again", [3]int{1, 1, 1}, 20}} {
		p.Emit(program.Conv{
			In: []program.View{{Buf: x, Norm: program.None}}, Bias: program.None, Moments: program.None, Stride: [3]int{1, 1, 1},
			Weight: p.New(c.name, program.Kernel, program.Param, c.out, 8, c.kernel[0], c.kernel[1], c.kernel[2]),
			Out:    p.New(c.name+" out", program.Activation, program.Output, 1, c.out, 2, 3, 5),
		})
	}
	if err := compile.Place(p, d); err != nil {
		t.Fatal(err)
	}
	before := tuning.Rules()
	rules, err := d.Tune(&few{t.Context(), 2}, p)
	if err != nil {
		t.Fatal(err)
	}
	if len(rules) != 3+len(before) || !slices.Equal(tuning.Rules(), before) {
		t.Fatalf("rules %+v, want three more, and the table as it was", rules)
	}
	tuning.Use(rules)
	defer tuning.Use(before)
	for _, r := range rules[:3] {
		if got, ok := tuning.Conv(r.Kernel, r.Stride, r.Channels, [3]int{2, 3, r.Width}); !ok || got != r.Tile {
			t.Errorf("kernel %v finds %+v, want its own %+v", r.Kernel, got, r.Tile)
		}
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
}

// TestTuneProducts looks for the products of weight gradients in the same way: two that
// are alike share a rule.
func TestTuneProducts(t *testing.T) {
	d := emulated(t)().(*cuda.Device)
	p := &program.Program{Precision: program.Half}
	x := p.New("x", program.Activation, program.Input, 1, 16, 2, 3, 5)
	for _, c := range []struct {
		name   string
		kernel [3]int
		out    int
	}{{"cube", [3]int{3, 3, 3}, 12}, {"flat", [3]int{1, 3, 3}, 12}, {"again", [3]int{1, 3, 3}, 12}, {"wide", [3]int{1, 3, 3}, 40}} {
		p.Emit(program.ConvWeightGrad{
			In: []program.View{{Buf: x, Norm: program.None}}, DOut: p.New(c.name+" dout", program.Activation, program.Input, 1, c.out, 2, 3, 5), DBias: program.None,
			DWeight: p.New(c.name, program.Kernel, program.Output, c.out, 16, c.kernel[0], c.kernel[1], c.kernel[2]), Stride: [3]int{1, 1, 1},
		})
	}
	if err := compile.Place(p, d); err != nil {
		t.Fatal(err)
	}
	before := tuning.ProductRules()
	rules, err := d.TuneProducts(&few{t.Context(), 2}, p)
	if err != nil {
		t.Fatal(err)
	}
	if len(rules) != 3+len(before) || !slices.Equal(tuning.ProductRules(), before) {
		t.Fatalf("rules %+v, want three more, and the table as it was", rules)
	}
	tuning.UseProducts(rules)
	defer tuning.UseProducts(before)
	for _, r := range rules[:3] {
		if got, ok := tuning.WeightGradRule(r.Kernel, r.Stride, [2]int{r.Channels, 16}, [3]int{2, 3, 5}); !ok || got != r {
			t.Errorf("kernel %v, %d channels find %+v, want their own %+v", r.Kernel, r.Channels, got, r)
		}
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
}

// TestTuneCard writes the tables for the training step of the plan's low footprint on
// the card of this machine, within eight minutes, to put in the place of tuning/conv.json
// and tuning/product.json.
func TestTuneCard(t *testing.T) {
	folder := os.Getenv("NOISYSTUDENT_TUNE")
	if folder == "" {
		t.Skip("needs a card: set NOISYSTUDENT_TUNE to the folder that gets the tables")
	}
	d, err := cuda.Open(cuda.Options{})
	if err != nil {
		t.Fatal(err)
	}
	flat, cube, one := [3]int{1, 3, 3}, [3]int{3, 3, 3}, [3]int{1, 1, 1}
	plane, half := [3]int{1, 2, 2}, [3]int{2, 2, 2}
	spec := unet.Spec{
		InChannels: 1, Classes: 14, Features: []int{16, 32, 64, 128, 256, 320}, Kernels: [][3]int{flat, cube, cube, cube, cube, cube},
		Strides: [][3]int{one, plane, half, half, half, plane}, ConvsEncoder: slices.Repeat([]int{2}, 6), ConvsDecoder: slices.Repeat([]int{2}, 5), DeepSupervision: true,
	}
	p, _, err := compile.Train(spec, 2, [3]int{40, 224, 192}, compile.LossConfig{BatchDice: true, Ignore: -1}, program.SGD, 12)
	if err != nil {
		t.Fatal(err)
	}
	p.Precision = program.Float16
	if err := compile.Place(p, d); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithTimeout(t.Context(), 5*time.Minute)
	defer stop()
	rules, err := d.Tune(ctx, p)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop = context.WithTimeout(t.Context(), 3*time.Minute)
	defer stop()
	products, err := d.TuneProducts(ctx, p)
	if err != nil {
		t.Fatal(err)
	}
	for name, table := range map[string]any{"conv.json": rules, "product.json": products} {
		text, err := json.MarshalIndent(table, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(folder, name), append(text, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
}
