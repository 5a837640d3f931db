package pipelines

import (
	"slices"
	"strings"
	"testing"

	"noisystudent/model/compile"
	"noisystudent/model/cuda"
	"noisystudent/model/program"
	"noisystudent/transforms/fit"
	"noisystudent/transforms/plan"
)

// TestPlansForCardsElsewhere plans for workers with cards, whatever this machine has, and for
// workers that may have none.
func TestPlansForCardsElsewhere(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir()) // no Flink cluster of this user's
	t.Setenv("HOME", t.TempDir())
	p := presetPlan(t, plan.LowFootprint)
	train, _, err := compile.Train(p.Network, p.BatchSize, p.PatchSize, compile.LossConfig{BatchDice: p.BatchDice, Ignore: p.Ignore}, program.SGD, 12)
	if err != nil {
		t.Fatal(err)
	}
	train.Precision = program.Float16 // what presets plan for a card
	card := &cuda.Device{}
	if err := compile.Place(train, card); err != nil {
		t.Fatal(err)
	}
	want, err := card.Memory(train)
	if err != nil {
		t.Fatal(err)
	}
	for _, runner := range []string{"flink", "dataflow"} {
		o := Options{Device: "cuda:1", MemoryBytes: 1 << 20}
		o.Runner.Runner = runner
		n, err := measure(p, o)
		if err != nil || !n.onCard || n.card != 0 || n.train != want || !slices.Equal(n.reduced, []string{plan.FP16, plan.BF16}) {
			t.Errorf("%s: %+v, %v, want a step of %d bytes on a card", runner, n, err, want)
		}
		// The networks are not in the machine's memory, and nobody knows the card's.
		r := &run{Options: o, plan: p}
		f, err := r.fitOptions(make([]fit.Job, 5))
		if err != nil || f.Device != "cuda:1" || f.Jobs != 1 || f.Memory != 1<<20 {
			t.Errorf("%s: trains by %+v, %v", runner, f, err)
		}
		if l, err := r.predictOptions(5, 5); err != nil || l.Networks != 1 || l.Memory != 1<<20 {
			t.Errorf("%s: labels by %+v, %v", runner, l, err)
		}
		o.Device = "auto"
		if n, err := measure(p, o); err != nil || n.onCard || !strings.HasPrefix(n.device, "cpu") || n.passed != "" {
			t.Errorf("%s, auto: %+v, %v, want the CPU's layout", runner, n, err)
		}
	}
}

// TestCardHoldsSums counts what blending takes with the networks of a card.
func TestCardHoldsSums(t *testing.T) {
	const mib = 1 << 20
	for _, c := range []struct {
		name    string
		free    int64
		at      int // networks
		refused bool
		says    string
	}{
		{"two of all", 2000 * mib, 2, false, ""},
		{"one of all", 1999 * mib, 1, false, ""},
		{"just one", 1000 * mib, 1, false, ""},
		{"no sums", 999 * mib, 2, false, "an inference tile takes 400 MiB and blending a case of the median size 600 MiB more, 999 MiB are free; the host blends such cases"},
		{"no network", 399 * mib, 0, true, "takes 400 MiB and 399 MiB may be used"},
	} {
		log := &notes{}
		r := &run{Options: Options{Threads: 2, MemoryBytes: mib}, plan: presetPlan(t, plan.LowFootprint), progress: log, noted: map[string]bool{}}
		r.networks = networks{
			device: "cuda:0 a card", train: 1, infer: 400 * mib, onCard: true, card: c.free,
			blend: func(models int) int64 { return 200 * mib * int64(models) },
		}
		o, err := r.predictOptions(7, 3)
		said := strings.Join(log.take(), "\n")
		if err != nil {
			said = err.Error()
		}
		if (err != nil) != c.refused || err == nil && o.Networks != c.at || (said == "") != (c.says == "") || !strings.Contains(said, c.says) {
			t.Errorf("%s: %d at once, %v, said %q", c.name, o.Networks, err, said)
		}
	}
}

// TestBlendOfMedianCase reckons by hand: float32 sums of 8 channels for three classes, what they
// are divided by, the weights of a tile, and a plane of labels and probabilities.
func TestBlendOfMedianCase(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	t.Setenv("HOME", t.TempDir())
	o := Options{Device: "cuda"}
	o.Runner.Runner = "flink"
	p := presetPlan(t, plan.Student)
	n, err := measure(p, o)
	if err != nil {
		t.Fatal(err)
	}
	h, w := int64(max(int(p.MedianShape[1]+0.999), p.PatchSize[1])), int64(max(int(p.MedianShape[2]+0.999), p.PatchSize[2]))
	ring, tile := int64(p.PatchSize[0])*h*w, int64(p.PatchSize[0]*p.PatchSize[1]*p.PatchSize[2])
	want := 5*ring*32 + 4*ring + 4*tile + 5*h*w
	if got := n.blend(5); got < want || got > want+5*256 {
		t.Errorf("%d bytes for five models and planes of %d x %d, want %d", got, h, w, want)
	}
}
