package check

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"noisystudent/model/compile"
	"noisystudent/model/cuda"
	"noisystudent/model/cuda/driver"
	"noisystudent/model/cuda/emulator"
	"noisystudent/model/cuda/nvrtc"
	"noisystudent/model/cuda/tuning"
	"noisystudent/model/device"
	"noisystudent/model/device/devicetest"
	"noisystudent/model/engine"
	"noisystudent/model/optim"
	"noisystudent/model/program"
	"noisystudent/model/random"
)

// The environment, which gpucheck sets: GPUCHECK_CARD is the number of the card, without
// it the emulator stands in; GPUCHECK_OUT a folder for results; GPUCHECK_PYTHON an
// interpreter that has PyTorch; GPUCHECK_UNTIL the time, in seconds since 1970, after
// which no case is begun.
var card, real = os.LookupEnv("GPUCHECK_CARD")

func options(t *testing.T) cuda.Options {
	t.Helper()
	if real {
		n, err := strconv.Atoi(card)
		if err != nil {
			t.Fatalf("GPUCHECK_CARD: %v", err)
		}
		return cuda.Options{Card: n}
	}
	e := emulator.Here(t)
	return cuda.Options{Driver: e.Library(), Compiler: e}
}

func opened(t *testing.T) *cuda.Device {
	t.Helper()
	d, err := cuda.Open(options(t))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// report is where results go; without GPUCHECK_OUT they are looked at and forgotten.
func report(t *testing.T, d *cuda.Device) Report {
	t.Helper()
	folder := os.Getenv("GPUCHECK_OUT")
	if folder == "" {
		folder = t.TempDir()
	}
	c := d.Card()
	return Report{Folder: folder, Card: c.String(), Real: real}
}

// until is when no more cases are begun.
func until(t *testing.T) time.Time {
	text := os.Getenv("GPUCHECK_UNTIL")
	if text == "" {
		return time.Now().Add(time.Hour)
	}
	seconds, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		t.Fatalf("GPUCHECK_UNTIL: %v", err)
	}
	return time.Unix(seconds, 0)
}

// kept returns what opens one card again and again without making its context and loading
// its kernels each time. Closing it checks that all memory taken since it was opened is
// given back; where the card has stopped to answer, the next opening makes a new context.
func kept(t *testing.T) func() device.Device {
	t.Helper()
	d := opened(t)
	t.Cleanup(func() { d.Close() })
	return func() device.Device {
		t.Helper()
		if _, err := d.Free(); err != nil {
			t.Logf("the card is opened anew: %v; closed: %v", err, d.Close())
			d = opened(t)
		}
		return keptDevice{d, d.Counters().Memory}
	}
}

// keptDevice is one opening of a card that stays open.
type keptDevice struct {
	*cuda.Device
	taken int64 // bytes, when it was opened
}

func (d keptDevice) Close() error {
	if taken := d.Counters().Memory; taken > d.taken {
		return fmt.Errorf("%d bytes of the card are not given back", taken-d.taken)
	}
	return nil
}

// TestKept opens the emulator's card three times in one context, and in a second one after
// an error that stays; a program that is not closed is found.
func TestKept(t *testing.T) {
	control, err := emulator.Here(t).Control()
	if err != nil {
		t.Fatal(err)
	}
	if real {
		t.Skip("needs the emulator, whose calls can be counted")
	}
	p := &program.Program{}
	x := p.New("x", program.Activation, program.Input, 1, 8, 1, 1, 1)
	p.Emit(program.Add{A: x, B: x, Out: p.New("sum", program.Activation, program.Output, 1, 8, 1, 1, 1)})
	calls := control.Trace(func() {
		open := kept(t)
		for turn := range 4 {
			if turn == 3 {
				control.Fail("cuMemGetInfo", 1, 700)
			}
			d := open()
			if err := compile.Place(p, d); err != nil {
				t.Fatal(err)
			}
			l, err := d.Load(p)
			if err != nil {
				t.Fatal(err)
			}
			if err := d.Close(); err == nil || !strings.Contains(err.Error(), "are not given back") {
				t.Errorf("turn %d: closed with a program on it: %v", turn, err)
			}
			if err := errors.Join(l.Close(), d.Close()); err != nil {
				t.Errorf("turn %d: %v", turn, err)
			}
		}
	})
	for call, want := range map[string]int{"cuDevicePrimaryCtxRetain": 2, "cuModuleLoadData": 2} {
		if n := strings.Count(strings.Join(calls, " ")+" ", call+" "); n != want {
			t.Errorf("%s was called %d times, want %d", call, n, want)
		}
	}
}

// TestConformance is the suite of package devicetest in the three stores. On the
// emulator package cuda's own tests run it, each case in a context of its own.
func TestConformance(t *testing.T) {
	if !real && os.Getenv("NOISYSTUDENT_CUDA") != "all" {
		t.Skip("needs a card: GPUCHECK_CARD=N; or NOISYSTUDENT_CUDA=all, for the emulator takes minutes")
	}
	open := kept(t)
	t.Run("fp32", func(t *testing.T) { devicetest.Run(t, open) })
	t.Run("fp16", func(t *testing.T) {
		devicetest.RunStored(t, open, program.Float16, devicetest.HalfTolerance)
	})
	t.Run("bf16", func(t *testing.T) {
		devicetest.RunStored(t, open, program.Half, devicetest.HalfTolerance)
	})
}

// TestTraining trains 200 steps on the card and on the CPU from the same weights with the
// same batches. The first losses agree step by step; later ones are those of two
// trainings that rounding has set apart, whose level agrees.
func TestTraining(t *testing.T) {
	c := Case{Train: true, Batch: 2, Spec: spec(8, 16, 24, 32), Patch: [3]int{16, 32, 32}}
	c.Spec.Classes = 4
	steps := 200
	if !real {
		c, steps = Tiny()[0], 3
	}
	want := losses(t, mustOpen(t, engine.Options{Device: "cpu"}), c, program.Exact, steps)
	for name, p := range map[string]struct {
		precision    program.Precision
		early, level float64
	}{
		"fp32": {program.Float32, 1e-4, 5e-3}, "fp16": {program.Float16, 1e-2, 1e-2}, "bf16": {program.Half, 2e-2, 2e-2},
	} {
		t.Run(name, func(t *testing.T) {
			if !real && name != "fp16" && os.Getenv("NOISYSTUDENT_CUDA") != "all" {
				t.Skip("takes a minute on the emulator: set NOISYSTUDENT_CUDA=all")
			}
			got := losses(t, engine.On(opened(t)), c, p.precision, steps)
			early, last := 0.0, min(20, steps)
			for i := range min(10, steps) {
				early = max(early, math.Abs(got[i]-want[i]))
			}
			level := math.Abs(mean(got[steps-last:]) - mean(want[steps-last:]))
			t.Logf("%d steps: loss from %.4f to %.4f; the first ten within %.2g of the CPU's, the mean of the last %d within %.2g", steps, got[0], got[steps-1], early, last, level)
			if !(early <= p.early) || !(level <= p.level) {
				t.Errorf("want within %g and %g", p.early, p.level)
			}
			if real && got[steps-1] > got[0]-0.3 {
				t.Error("it has not learned")
			}
		})
	}
}

func mustOpen(t *testing.T, o engine.Options) *engine.Engine {
	t.Helper()
	e, err := engine.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// losses trains and closes the engine.
func losses(t *testing.T, e *engine.Engine, c Case, p program.Precision, steps int) (list []float64) {
	t.Helper()
	trainer, err := e.NewTrainer(c.trainConfig(p))
	if err == nil {
		err = trainer.Init(random.New(1, 2))
	}
	if err != nil {
		t.Fatal(err)
	}
	for step := range steps {
		images, labels := data(c.Patch, c.Batch, c.Spec.Classes, uint64(step%25))
		r, err := trainer.Step(t.Context(), images, labels, optim.Poly(step, steps, 0.01, 0.9))
		if err != nil {
			t.Fatal(err)
		}
		if r.Skipped && p != program.Float16 {
			t.Errorf("step %d is skipped", step)
		}
		list = append(list, r.Loss)
	}
	if err := errors.Join(trainer.Close(), e.Close()); err != nil {
		t.Error(err)
	}
	return list
}

func mean(v []float64) (m float64) {
	for _, x := range v {
		m += x / float64(len(v))
	}
	return m
}

// TestKernels profiles the programs of the first cases.
func TestKernels(t *testing.T) {
	d := opened(t)
	defer d.Close()
	list, runs := Cases()[:2], 10
	if !real {
		list, runs = Tiny(), 1
	}
	var all []Kernel
	for _, c := range list {
		kernels, err := Kernels(d, c, runs)
		if err != nil {
			t.Errorf("%s: %v", c.Name, err)
			continue
		}
		for _, k := range kernels {
			if k.Instr != "pack weights" && len(k.Kernels) == 0 || k.Median < 0 || k.Min > k.Median {
				t.Errorf("%+v", k)
			}
		}
		all = append(all, kernels...)
	}
	if err := report(t, d).Kernels(all); err != nil {
		t.Error(err)
	}
}

// TestTimings times the cases beside the peer.
func TestTimings(t *testing.T) {
	python := os.Getenv("GPUCHECK_PYTHON")
	d := opened(t)
	r, e, list, end := report(t, d), engine.On(d), Cases(), until(t)
	defer e.Close()
	timer := &Timer{Engine: e, Python: python, Folder: t.TempDir(), Log: os.Stderr, Rounds: 6, Runs: 5, Patience: 100 * time.Second, PeerArgs: []string{"--card", card}}
	if !real {
		timer.Rounds, timer.Runs, timer.PeerArgs, list = 2, 1, []string{"--fake"}, Tiny()
	}
	if python == "" {
		timer.Python = "python3"
	}
	defer timer.Close()
	var rows []Row
	for _, c := range list {
		if time.Now().After(end) {
			t.Logf("%s: no time is left", c.Name)
			continue
		}
		if real { // so that a peer that compiles for long ends with its case, not with the section
			timer.Patience = min(100*time.Second, time.Until(end)+15*time.Second)
		}
		row := timer.Time(t.Context(), c)
		rows = append(rows, row)
		if row.Ours.Error != "" {
			t.Errorf("%s: %s", c.Name, row.Ours.Error)
		}
		t.Logf("%s: %+v", c.Name, row)
		if err := r.Timings(rows); err != nil { // after each, so that a later end loses nothing
			t.Fatal(err)
		}
	}
	if !real {
		checkFake(t, r, rows)
	}
}

// TestTune looks for faster tiles of the first case's convolutions and weight gradients, for
// as long as there is time, and writes the tables that have them, which replace conv.json and
// product.json of model/cuda/tuning, after each that is found. On the emulator package cuda's
// own tests do so.
func TestTune(t *testing.T) {
	if !real {
		t.Skip("needs a card: GPUCHECK_CARD=N")
	}
	d := opened(t)
	defer d.Close()
	p, _, err := Cases()[0].program(d, program.Float16)
	if err != nil {
		t.Fatal(err)
	}
	r, left := report(t, d), time.Until(until(t).Add(30*time.Second))
	ctx, stop := context.WithTimeout(t.Context(), left*2/3)
	defer stop()
	rules, err := d.Tune(ctx, p, r.ConvTable)
	if err != nil {
		t.Error(err) // but what was found is written
	}
	ctx, stop = context.WithTimeout(t.Context(), left/3)
	defer stop()
	products, err := d.TuneProducts(ctx, p, r.ProductTable)
	if err != nil {
		t.Error(err)
	}
	t.Logf("%d of %d rules for convolutions are new, %d of %d for weight gradients; the time was up: %v",
		changed(t, rules, tuning.Rules()), len(rules), changed(t, products, tuning.ProductRules()), len(products), ctx.Err() != nil)
}

// changed counts and tells the rules that a table lacks.
func changed[R comparable](t *testing.T, rules, table []R) (n int) {
	for _, r := range rules {
		if !slices.Contains(table, r) {
			n++
			t.Logf("faster: %+v", r)
		}
	}
	return n
}

// checkFake knows what the fake peer answers.
func checkFake(t *testing.T, r Report, rows []Row) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(r.Folder, "rows.md"))
	if err != nil || len(rows) != len(Tiny()) || strings.Count(string(text), "EMULATOR: NOT A MEASUREMENT") != len(rows) {
		t.Errorf("%d rows, %v:\n%s", len(rows), err, text)
	}
	if _, err := exec.LookPath("python3"); err != nil {
		return
	}
	for _, row := range rows {
		eager, compiled := row.Peers["eager"], row.Peers["compile"]
		if row.Ours.Runs != 2 || eager.Runs != 2 || eager.Min < 1e-3 || eager.Bytes != 1<<20 || eager.Median < eager.Min {
			t.Errorf("%+v", row)
		}
		if compiled.Runs != 0 || !strings.Contains(compiled.Error, "does not compile") {
			t.Errorf("an engine that fails gives %+v", compiled)
		}
	}
}

// A peer that says nothing is given up, and one that is not there is an error of its row.
func TestSilentPeer(t *testing.T) {
	for python, want := range map[string]string{peerScript(t, "exec sleep 60"): "has not answered", "/nothing/python3": "start the peer", "/bin/true": "peer"} {
		timer := &Timer{Python: python, Folder: t.TempDir(), Log: os.Stderr, Patience: 200 * time.Millisecond}
		s := timer.prepare(Tiny()[0], "eager")
		if !strings.Contains(s.spread.Error, want) {
			t.Errorf("%s: %q, want %q", python, s.spread.Error, want)
		}
		timer.Close()
	}
}

// An engine of the peer that answers too late leaves the others theirs, and is asked anew
// for the next case.
func TestSlowCompiler(t *testing.T) {
	python := peerScript(t, `echo "$$ $*" >>"$0.started"
while read -r line; do case $line in
*compile*) exec sleep 60;;
*runs*) echo '{"times": [0.5]}';;
*) echo '{"bytes": 7}';;
esac; done`)
	e := mustOpen(t, engine.Options{Device: "null"})
	defer e.Close()
	timer := &Timer{Engine: e, Python: python, Folder: t.TempDir(), Log: os.Stderr, Rounds: 2, Runs: 1, Patience: 5 * time.Second, PeerArgs: []string{"--card", "3"}}
	defer timer.Close()
	for range 2 {
		row := timer.Time(t.Context(), Tiny()[1])
		for _, name := range []string{"eager", "channels_last"} {
			if s := row.Peers[name]; s.Error != "" || s.Runs != 2 || s.Median != 0.5 || s.Bytes != 7 {
				t.Errorf("%s: %+v, want what it answers", name, s)
			}
		}
		if s := row.Peers["compile"]; !strings.Contains(s.Error, "has not answered") || s.Runs != 0 {
			t.Errorf("compile: %+v, want that it has not answered", s)
		}
	}
	started, err := os.ReadFile(python + ".started")
	if err != nil || strings.Count(string(started), "peer.py --card 3\n") != 4 {
		t.Errorf("%v, started were\n%swant one process an engine, and another one to compile, all for card 3", err, started)
	}
}

// peerScript is an interpreter that runs these commands of sh instead of peer.py.
func peerScript(t *testing.T, commands string) string {
	t.Helper()
	if _, err := exec.LookPath("sleep"); err != nil {
		t.Skip("needs sleep")
	}
	file := filepath.Join(t.TempDir(), "python")
	if err := os.WriteFile(file, []byte("#!/bin/sh\n"+commands+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	return file
}

// The peer computes on the card that it is told, with the stand-in for a torch that notes it.
func TestPeerTakesTheCard(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("needs python3")
	}
	const torch = `class cuda:
    is_available = staticmethod(lambda: True)
    set_device = staticmethod(lambda card: print("card", card))
device = str
`
	folder := t.TempDir()
	if err := errors.Join(os.WriteFile(filepath.Join(folder, "torch.py"), []byte(torch), 0o644), os.WriteFile(filepath.Join(folder, "peer.py"), peerSource, 0o644)); err != nil {
		t.Fatal(err)
	}
	for args, want := range map[string]string{"--card 3": "card 3\ncuda:3\n", "": "card 0\ncuda:0\n"} {
		c := exec.Command(python, append([]string{"-c", "import peer; print(peer.place())"}, strings.Fields(args)...)...)
		c.Dir = folder
		if out, err := c.CombinedOutput(); err != nil || string(out) != want {
			t.Errorf("%q: %v, %s, want %q", args, err, out, want)
		}
	}
}

// TestCompile compiles every kernel that the suite and the cases launch for the
// architectures that GPUCHECK_ARCHS names, or the card's, several at once, and keeps to the budgets of
// registers without spills: what it leaves in the cache on disk the other sections need not compile.
func TestCompile(t *testing.T) {
	archs := strings.Fields(os.Getenv("GPUCHECK_ARCHS"))
	if len(archs) == 0 && !real {
		t.Skip("a section of gpucheck: GPUCHECK_ARCHS='sm_80 sm_90'")
	}
	var card driver.Card
	if len(archs) == 0 {
		d := opened(t)
		card = d.Card()
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
	}
	compiler, err := nvrtc.Open(nvrtc.Options{Major: card.Driver.Major})
	if err != nil {
		t.Fatal(err)
	}
	if len(archs) == 0 {
		arch, err := compiler.Arch(card.Major, card.Minor)
		if err != nil {
			t.Fatal(err)
		}
		archs = []string{arch}
	}
	units := units(t)
	for _, arch := range archs {
		start := time.Now()
		var group sync.WaitGroup
		var mu sync.Mutex
		slots := make(chan struct{}, runtime.NumCPU())
		for _, u := range units {
			source, err := u.Source()
			if err != nil {
				t.Fatal(err)
			}
			slots <- struct{}{}
			group.Go(func() {
				defer func() { <-slots }()
				image, err := compiler.Image(arch, u.File, source)
				mu.Lock()
				defer mu.Unlock()
				if err != nil {
					t.Errorf("%+v: %v", u, err)
				}
				for _, k := range image.Kernels {
					if most := u.Registers(); k.SpillStores+k.SpillLoads+k.Stack > 0 || k.Registers < 1 || k.Registers > most {
						t.Errorf("%s %s for %s: %s, want no spills and 1 to %d registers", u.File, u.Defines, arch, k, most)
					}
				}
			})
		}
		group.Wait()
		t.Logf("%s: %d units in %.1f s with CUDA %d.%d", arch, len(units), time.Since(start).Seconds(), compiler.Major, compiler.Minor)
	}
}

// TestWarmPeer has the peer compile the first cases, so that its cache on disk has them
// when they are timed. gpucheck runs it beside the sections that time nothing.
func TestWarmPeer(t *testing.T) {
	python := os.Getenv("GPUCHECK_PYTHON")
	if !real || python == "" {
		t.Skip("needs a card and a python3 with PyTorch")
	}
	p, err := StartPeer(python, t.TempDir(), os.Stderr, "--warm", "--card", card)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Kill()
	for _, c := range Cases()[:6] {
		a, err := p.ask(100*time.Second, c.request("compile"))
		t.Logf("%s: %+v, %v", c.Name, a, err)
		if err != nil && a.Error == "" {
			return // it has ended
		}
	}
}
