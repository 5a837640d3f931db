package engine

import (
	"errors"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"noisystudent/model/cuda"
	"noisystudent/model/cuda/emulator"
)

// broken compiles kernels of a file with an error in them, and counts what it compiles.
type broken struct {
	*emulator.Emulator
	file, from, to string
	compiled       *atomic.Int64
}

func (b broken) Compile(name, source string) ([]byte, error) {
	b.compiled.Add(1)
	if name == b.file {
		if !strings.Contains(source, b.from) {
			return nil, errors.New("no " + b.from + " in " + name)
		}
		source = strings.ReplaceAll(source, b.from, b.to)
	}
	return b.Emulator.Compile(name, source)
}

// emulatedCards has the cards of this test be the emulator's, with kernels as broken
// makes them and a folder of their own, and this process know of no trial.
func emulatedCards(t *testing.T, b broken) (compiled *atomic.Int64) {
	t.Helper()
	e := emulator.Here(t)
	b.Emulator, b.compiled = e, new(atomic.Int64)
	before, beforePatience := cardOptions, patience
	patience = time.Hour // the emulator is slow
	t.Cleanup(func() {
		cardOptions, patience = before, beforePatience
		clear(trials.results)
	})
	cardOptions = cuda.Options{Driver: e.Library(), NVML: e.NVML(), Compiler: b, Cache: t.TempDir()}
	return b.compiled
}

// TestAutoTriesTheCard has auto take a card that computes as the CPU does, and try it once
// as long as its file stays.
func TestAutoTriesTheCard(t *testing.T) {
	compiled := emulatedCards(t, broken{})
	take := func(name string, tried bool) {
		t.Helper()
		compiled.Store(0)
		e, err := Open(Options{Device: name})
		if err != nil {
			t.Fatal(err)
		}
		if e.Name() != "cuda:0 emulator of CUDA" || e.Passed() != nil || (compiled.Load() > 0) != tried {
			t.Errorf("%s opens %s, %v, with %d kernels compiled, want a trial %v", name, e.Name(), e.Passed(), compiled.Load(), tried)
		}
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	}
	take("cuda", false)
	take("auto", true)
	take("auto", false)
	files, err := os.ReadDir(cardOptions.Cache)
	if err != nil || len(files) != 1 {
		t.Fatalf("%v, %v, want one file of a card that has passed", files, err)
	}
	clear(trials.results) // as another process
	take("auto", false)
	clear(trials.results)
	if err := os.RemoveAll(cardOptions.Cache); err != nil {
		t.Fatal(err)
	}
	take("auto", true)
}

// TestTrial makes the trial on a card, twice, and tells how long it takes.
func TestTrial(t *testing.T) {
	if os.Getenv("NOISYSTUDENT_CARD") == "" {
		t.Skip("needs a card: NOISYSTUDENT_CARD=cuda:N; TestAutoTriesTheCard has the emulator's")
	}
	e := onCard(t)
	for _, kernels := range []string{"to be compiled or found on disk", "loaded"} {
		start := time.Now()
		if err := try(e.device); err != nil {
			t.Fatal(err)
		}
		t.Logf("%.3f s with kernels %s", time.Since(start).Seconds(), kernels)
	}
}

// TestAutoPassesOver has each kind of kernel compute something else.
func TestAutoPassesOver(t *testing.T) {
	for _, b := range []broken{
		{file: "norm", from: "slope * dy[k]", to: "0.5f * dy[k]"},
		{file: "update", from: "p -= lr * (g + momentum * velocity)", to: "p -= lr * g"},
		{file: "blend", from: "1 / total[i]", to: "0.9f / total[i]"},
		{file: "conv_mma", from: "voxels, taps[kh][j])", to: "voxels, taps[kh][0])"},
	} {
		t.Run(b.file, func(t *testing.T) {
			emulatedCards(t, b)
			for range 2 { // the second knows
				e, err := Open(Options{Device: "auto", Threads: 1})
				if err != nil {
					t.Fatal(err)
				}
				defer e.Close()
				if reason := e.Passed(); !strings.HasPrefix(e.Name(), "cpu") || reason == nil || !strings.Contains(reason.Error(), "emulator of CUDA") || !strings.Contains(reason.Error(), "--device cuda:0") {
					t.Errorf("auto takes %s: %v", e.Name(), reason)
				} else {
					t.Log(reason)
				}
			}
			if files, err := os.ReadDir(cardOptions.Cache); err != nil || len(files) > 0 {
				t.Errorf("%v, %v, want no file", files, err)
			}
			if e, err := Open(Options{Device: "cuda:0"}); err != nil {
				t.Errorf("who asks for the card does not get it: %v", err)
			} else if err := e.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestAutoLeavesAHungCard has auto take the CPU where the card's kernels do not end, and
// nobody touch the card after that, for whoever does waits with them.
func TestAutoLeavesAHungCard(t *testing.T) {
	emulatedCards(t, broken{})
	control, err := emulator.Here(t).Control()
	if err != nil {
		t.Fatal(err)
	}
	patience = 300 * time.Millisecond
	control.Hang(true)
	defer func() {
		control.Hang(false)
		s := cards.open[0]
		delete(cards.open, 0)
		if err := errors.Join(<-s.hung, s.Device.Close()); err != nil {
			t.Error(err)
		}
		if alive := control.Alive(); len(alive) > 0 {
			t.Errorf("not given back: %v", alive)
		}
	}()
	for range 2 { // the second knows
		e, err := Open(Options{Device: "auto", Threads: 1})
		if err != nil {
			t.Fatal(err)
		}
		if reason := e.Passed(); !strings.HasPrefix(e.Name(), "cpu") || !errors.Is(reason, errHung) || !strings.Contains(reason.Error(), "emulator of CUDA") {
			t.Errorf("auto takes %s: %v", e.Name(), reason)
		}
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, err := Open(Options{Device: "cuda:0"}); !errors.Is(err, errHung) {
		t.Errorf("who asks for the card gets %v", err)
	}
	if _, ok := Cards()[0]; !ok || cards.open[0].Counters().Runs != 0 {
		t.Error("the first run has ended, or its card is not told of")
	}
}

// TestCards checks what is known of a card while it is open and after that.
func TestCards(t *testing.T) {
	emulatedCards(t, broken{})
	e, err := Open(Options{Device: "cuda"})
	if err != nil {
		t.Fatal(err)
	}
	if use := Cards()[0]; use.Busy != 37 || use.Name != e.Name() {
		t.Errorf("open: %+v, want a card that is busy for 37 %%", use)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	if use := Cards()[0]; use.Busy != -1 || use.Name != e.Name() {
		t.Errorf("closed: %+v, want a card of which nobody knows whether it is busy", use)
	}
}
