package engine

import (
	"bytes"
	"context"
	"errors"
	"os"
	"slices"
	"testing"

	"noisystudent/model/cuda/emulator"
	"noisystudent/model/program"
	"noisystudent/model/random"
)

// steps runs the first n steps by Steps, with inputs that always lie in the same memory.
func steps(t *testing.T, trainer *Trainer, n int) (results []StepResult) {
	t.Helper()
	images, labels := batch(trainer.config, 0)
	given := 0
	feed := func() ([]float32, []uint8, error) {
		i, l := batch(trainer.config, uint64(given))
		copy(images, i)
		copy(labels, l)
		given++
		return images, labels, nil
	}
	err := trainer.Steps(t.Context(), n, feed, func(int) float64 { return 0.01 }, func(i int, r StepResult) {
		if i != len(results) {
			t.Errorf("the result of step %d comes as the %dth", i, len(results))
		}
		results = append(results, r)
	})
	if err != nil {
		t.Fatal(err)
	}
	if given != n {
		t.Errorf("%d inputs were fetched for %d steps", given, n)
	}
	return results
}

// TestSteps checks that steps whose inputs come ahead have the bytes of those whose
// inputs do not, on the CPU and on a card.
func TestSteps(t *testing.T) {
	for name, open := range map[string]func(t *testing.T) *Engine{
		"cpu": func(t *testing.T) *Engine { return open(t, Options{Device: "cpu", Threads: 2}) }, "card": onCard,
	} {
		t.Run(name, func(t *testing.T) {
			const n = 3
			e, c := open(t), small(program.SGD)
			c.Precision = program.Float16
			var results [2][]StepResult
			var contents [2][]byte
			for i, run := range []func(trainer *Trainer) []StepResult{
				func(trainer *Trainer) []StepResult { return train(t, trainer, 0, n) },
				func(trainer *Trainer) []StepResult { return steps(t, trainer, n) },
			} {
				trainer := trainerOn(t, e, c, State{})
				if err := trainer.Init(random.New(1, 2)); err != nil {
					t.Fatal(err)
				}
				results[i] = run(trainer)
				contents[i] = content(t, trainer)
			}
			if !slices.Equal(results[0], results[1]) || !bytes.Equal(contents[0], contents[1]) {
				t.Errorf("results %+v, one by one %+v", results[1], results[0])
			}
		})
	}
}

// TestStepsOverlap checks the order of calls to the driver: the inputs of the next step
// are on their way to the card before the step is waited for.
func TestStepsOverlap(t *testing.T) {
	if os.Getenv("NOISYSTUDENT_CARD") != "" {
		t.Skip("a card's driver does not tell its calls")
	}
	trainer := trainerOn(t, onCard(t), small(program.SGD), State{})
	if err := trainer.Init(random.New(1, 2)); err != nil {
		t.Fatal(err)
	}
	control, err := emulator.Here(t).Control()
	if err != nil {
		t.Fatal(err)
	}
	const n = 3
	calls := slices.DeleteFunc(control.Trace(func() { steps(t, trainer, n) }), func(call string) bool { return call == "cuCtxSetCurrent" })
	const launch, upload, wait = "cuGraphLaunch", "cuMemcpyHtoDAsync", "cuStreamSynchronize"
	var after [][]string // what follows the launch of a step, up to the first wait
	for i, call := range calls {
		if call == launch && calls[i+1] != launch { // before a step goes the packing of its weights
			rest := calls[i+1:]
			after = append(after, rest[:slices.Index(rest, wait)])
		}
	}
	both := []string{upload, upload}
	if want := [][]string{both, both, {}}; !slices.EqualFunc(after, want, slices.Equal) {
		t.Errorf("between the launch of steps and the wait for them are %q, want images and labels of the next one, %q", after, want)
	}
}

// TestStepsStop checks what ends steps: the feed, inputs that do not fit, and the context.
func TestStepsStop(t *testing.T) {
	empty := errors.New("no more patches")
	for name, open := range map[string]func(t *testing.T) *Engine{
		"cpu": func(t *testing.T) *Engine { return open(t, Options{Device: "cpu", Threads: 2}) }, "card": onCard,
	} {
		t.Run(name, func(t *testing.T) {
			c := small(program.SGD)
			trainer := trainerOn(t, open(t), c, State{})
			if err := trainer.Init(random.New(1, 2)); err != nil {
				t.Fatal(err)
			}
			images, labels := batch(c, 0)
			ctx, cancel := context.WithCancel(t.Context())
			for _, s := range []struct {
				is   error
				feed func() ([]float32, []uint8, error)
			}{
				{empty, func() ([]float32, []uint8, error) { return nil, nil, empty }},
				{ErrInput, func() ([]float32, []uint8, error) { return images[1:], labels, nil }},
				{ErrInput, func() ([]float32, []uint8, error) { return images, bytes.Repeat([]byte{200}, len(labels)), nil }},
				{context.Canceled, func() ([]float32, []uint8, error) { cancel(); return images, labels, nil }},
			} {
				ran, fed := 0, 0
				feed := func() ([]float32, []uint8, error) {
					if fed++; fed == 1 {
						return images, labels, nil
					}
					return s.feed()
				}
				err := trainer.Steps(ctx, 3, feed, func(int) float64 { return 0.01 }, func(int, StepResult) { ran++ })
				if !errors.Is(err, s.is) || ran != 1 || fed != 2 {
					t.Errorf("%v after %d steps and %d inputs, want %v after one of two", err, ran, fed, s.is)
				}
			}
			if _, err := trainer.Snapshot(); err != nil {
				t.Errorf("the step before is whole: %v", err)
			}
		})
	}
}
