package pipelines

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"noisystudent/model/compile"
	"noisystudent/model/cpu"
	"noisystudent/model/null"
	"noisystudent/model/program"
	"noisystudent/transforms/cases"
	"noisystudent/transforms/fingerprint"
	"noisystudent/transforms/fit"
	"noisystudent/transforms/plan"
)

// presetPlan plans a cohort of scans as FLARE22's.
func presetPlan(t *testing.T, preset string, set ...string) plan.Plan {
	t.Helper()
	f := fingerprint.Fingerprint{
		Shapes: slices.Repeat([][3]int{{97, 512, 512}}, 50), Spacings: slices.Repeat([][3]float64{{2.5, 0.8, 0.8}}, 50), RelativeSize: 1,
		Orientation: "ras", LabelML: []float64{1000, 100, 10}, Intensity: map[string]fingerprint.Intensity{"0": {Mean: 90, SD: 50, P005: -30, P995: 200}},
	}
	d := &cases.Dataset{Name: "made up", Ignore: -1, Labels: []cases.Label{{ID: 1, Name: "liver"}, {ID: 2, Name: "spleen"}}}
	overrides, err := plan.Overrides(set)
	if err != nil {
		t.Fatal(err)
	}
	p, err := plan.Make(f, d, plan.Options{Preset: preset, Overrides: overrides})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestPlannedMemoryIsWhatRuns walks the programs of every preset on the null device in
// the CPU's layout: what they reach is what `plan --explain` prints, and no value is
// read after its memory went to another.
func TestPlannedMemoryIsWhatRuns(t *testing.T) {
	for _, preset := range plan.Presets() {
		p := presetPlan(t, preset)
		n, err := measure(p, Options{Threads: 1})
		if err != nil {
			t.Fatal(err)
		}
		rule := map[string]program.Rule{"sgd": program.SGD, "adamw": program.AdamW}[p.Training.Optimizer]
		train, _, err := compile.Train(p.Network, p.BatchSize, p.PatchSize, compile.LossConfig{BatchDice: p.BatchDice, Ignore: p.Ignore}, rule, 12)
		if err != nil {
			t.Fatal(err)
		}
		infer, _, err := compile.Infer(p.Network, 1, p.PatchSize)
		if err != nil {
			t.Fatal(err)
		}
		if got := reach(t, train); got != n.train {
			t.Errorf("%s: a training step reaches %d bytes, %d were planned", preset, got, n.train)
		}
		if got := reach(t, infer); got != n.infer {
			t.Errorf("%s: an inference tile reaches %d bytes, %d were planned", preset, got, n.infer)
		}
		text, err := PlannedMemory(p, Options{Threads: 1})
		if want := fmt.Sprintf("%d MiB for a training step of batch %d, %d MiB for an inference tile", n.train>>20, p.BatchSize, n.infer>>20); err != nil || !strings.Contains(text, want) {
			t.Errorf("%s: %q, %v; want %q", preset, text, err, want)
		}
	}
}

// reach places a program for the CPU and walks it twice.
func reach(t *testing.T, p *program.Program) int64 {
	t.Helper()
	layout, err := cpu.Open(cpu.Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer layout.Close()
	d := null.New(layout)
	if err := compile.Place(p, d); err != nil {
		t.Fatal(err)
	}
	l, err := d.Load(p)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		for id, b := range p.Buffers {
			switch {
			case b.Role != program.Input:
			case b.Class == program.Labels:
				err = l.WriteLabels(program.ID(id), make([]uint8, b.Len()))
			default:
				err = l.Write(program.ID(id), make([]float32, b.Len()))
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if err := l.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	return l.(*null.Loaded).Report().Reach
}

// TestNoRoom takes the advice of an error: what it says fits, and one more does not.
func TestNoRoom(t *testing.T) {
	p := presetPlan(t, plan.LowFootprint)
	memory := func(batch int, patch [3]int) networks {
		p := p
		p.BatchSize, p.PatchSize = batch, patch
		n, err := measure(p, Options{Threads: 1})
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	all, two, one := memory(p.BatchSize, p.PatchSize), memory(2, p.PatchSize), memory(1, p.PatchSize)
	for name, c := range map[string]struct {
		budget int64
		infer  bool
		want   string // of the error; empty: it fits
		lacks  string
	}{
		"all of it":              {all.train, false, "", ""},
		"two of four":            {two.train/4*3 + 4, false, "--replan --set batch_size=2", "patch_size"},
		"not quite two":          {two.train/4*3 - 64, false, "--replan --set batch_size=1", "patch_size"},
		"not quite one":          {one.train/4*3 - 64, false, "--set batch_size=1", ""},
		"a smaller tile":         {one.infer/4*3 - 64, true, "--replan --set patch_size=", "batch_size"},
		"the parameters' memory": {20 << 20, true, "give --memory more", "--replan"},
	} {
		r := &run{Options: Options{MemoryBytes: c.budget, Threads: 1}, plan: p}
		options := func(r *run) error { _, err := r.fitOptions(make([]fit.Job, 1)); return err }
		if c.infer {
			options = func(r *run) error { _, err := r.predictOptions(1, 1); return err }
		}
		err := options(r)
		if (err == nil) != (c.want == "") || err != nil && (!strings.Contains(err.Error(), c.want) || c.lacks != "" && strings.Contains(err.Error(), c.lacks)) {
			t.Errorf("%s: %v, want %q without %q", name, err, c.want, c.lacks)
		}
		if err == nil || !strings.Contains(err.Error(), "--set") {
			continue
		}
		set := strings.Fields(strings.ReplaceAll(err.Error()[strings.Index(err.Error(), "--set"):], "--set", ""))
		again := &run{Options: r.Options, plan: presetPlan(t, plan.LowFootprint, set...)}
		if err := options(again); err != nil {
			t.Errorf("%s: %v does not fit: %v", name, set, err)
		}
		t.Logf("%s: %v", name, err)
	}
}

// TestSmallerPatches are multiples of the strides, each smaller than the one before.
func TestSmallerPatches(t *testing.T) {
	p := presetPlan(t, plan.LowFootprint)
	last, by := p.PatchSize, p.Network.Divisor()
	for _, patch := range smallerPatches(p) {
		shorter := 0
		for a := range patch {
			if patch[a]%by[a] != 0 || patch[a] > last[a] {
				t.Fatalf("%v after %v, strides divide by %v", patch, last, by)
			}
			shorter += last[a] - patch[a]
		}
		if shorter == 0 {
			t.Fatalf("%v twice", patch)
		}
		last = patch
	}
	if last == p.PatchSize {
		t.Error("no smaller patch")
	}
}
