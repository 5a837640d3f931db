package cuda_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"noisystudent/model/compile"
	"noisystudent/model/cuda"
	"noisystudent/model/cuda/tuning"
	"noisystudent/model/program"
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
	o, control := controlled(t)
	d, err := cuda.Open(o)
	if err != nil {
		t.Fatal(err)
	}
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
	ctx, tables := &few{t.Context(), 2}, 0
	rules, err := d.Tune(ctx, p, func(rules []tuning.Rule) error {
		ctx.left = 2 // a neighbour for each
		if tables++; len(rules) != tables+len(before) {
			t.Errorf("%d rules are known after %d were found", len(rules), tables)
		}
		return nil
	})
	if err != nil || tables != 3 {
		t.Fatal(err, tables)
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
	tuning.Use(before)
	ctx.left = 0
	if calls := control.Trace(func() { rules, err = d.Tune(ctx, p, nil) }); err != nil || !slices.Equal(rules, before) || len(calls) > 0 {
		t.Errorf("after the time is up: %v, %d rules, want the table, without a call to the driver, not %v", err, len(rules), calls)
	}
	ctx.left, tables = 2, 0
	rules, err = d.Tune(ctx, p, func([]tuning.Rule) error {
		ctx.left = 2
		if tables++; tables == 1 {
			control.Fail("cuEventRecord", 1, 700)
		}
		return nil
	})
	if err == nil || !strings.Contains(err.Error(), "tune kernel [1 3 3]") || !strings.Contains(err.Error(), "cuEventRecord") || tables != 3 || len(rules) != 3+len(before) {
		t.Errorf("with a rule that cannot be measured: %v, %d rules in %d tables, want it named and all three", err, len(rules)-len(before), tables)
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
	ctx, tables := &few{t.Context(), 2}, 0
	rules, err := d.TuneProducts(ctx, p, func([]tuning.ProductRule) error {
		ctx.left = 2 // a neighbour for each
		tables++
		return nil
	})
	if err != nil || tables != 3 {
		t.Fatal(err, tables)
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
