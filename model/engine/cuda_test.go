package engine

import (
	"bytes"
	"math"
	"os"
	"testing"

	"noisystudent/model/cuda"
	"noisystudent/model/cuda/emulator"
	"noisystudent/model/program"
)

// onCard is an engine on the card that NOISYSTUDENT_CARD names, such as cuda:0, or on
// one that the emulator stands in for.
func onCard(t *testing.T) *Engine {
	t.Helper()
	if name := os.Getenv("NOISYSTUDENT_CARD"); name != "" {
		return open(t, Options{Device: name})
	}
	emulator := emulator.Here(t)
	d, err := cuda.Open(cuda.Options{Driver: emulator.Library(), Compiler: emulator})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return On(d)
}

// trainerOn makes a trainer that stands at a state, or at its start.
func trainerOn(t *testing.T, e *Engine, c TrainConfig, s State) *Trainer {
	t.Helper()
	trainer, err := e.NewTrainer(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { trainer.Close() })
	if s.Weights != nil {
		if err := trainer.Restore(s); err != nil {
			t.Fatal(err)
		}
	}
	return trainer
}

// A training goes from the CPU to a card and back between its epochs: the state goes
// through unchanged, and the losses are those of a training that stays, within what
// the precision rounds.
func TestMovesToACardAndBack(t *testing.T) {
	for name, c := range map[string]struct {
		precision program.Precision
		within    float64
	}{
		"fp32": {program.Float32, 1e-4}, "bf16": {program.Half, 2e-2}, "fp16": {program.Float16, 5e-3},
	} {
		t.Run(name, func(t *testing.T) {
			config := small(program.SGD)
			config.Precision = c.precision
			here, card := Options{Device: "cpu", Threads: 2}, onCard(t)
			stays := newTrainer(t, here, small(program.SGD))
			want := train(t, stays, 0, 6)

			moves := newTrainer(t, here, config)
			got := train(t, moves, 0, 2)
			for _, part := range []struct {
				trainer  *Trainer
				from, to uint64
			}{
				{trainerOn(t, card, config, State{}), 2, 4}, {trainerOn(t, open(t, here), config, State{}), 4, 6},
			} {
				state, err := moves.Snapshot()
				if err != nil {
					t.Fatal(err)
				}
				before := content(t, moves)
				moves = part.trainer
				if err := moves.Restore(state); err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(content(t, moves), before) {
					t.Error("a state reads back with other bytes on the other device")
				}
				got = append(got, train(t, moves, part.from, part.to)...)
			}
			for i := range want {
				if d := math.Abs(got[i].Loss - want[i].Loss); !(d <= c.within) || got[i].Skipped {
					t.Errorf("step %d: %+v, want %+v", i, got[i], want[i])
				}
			}
		})
	}
}

// TestMixedFollowsTheDevice trains in the precision that presets plan: the CPU's bytes are
// those of float32, a card computes in half precision with a loss scale, and from there
// on the scale goes along.
func TestMixedFollowsTheDevice(t *testing.T) {
	mixed, fp32 := small(program.SGD), small(program.SGD)
	mixed.Precision = program.Mixed
	here, card := Options{Device: "cpu", Threads: 2}, onCard(t)
	plain, moves := newTrainer(t, here, fp32), newTrainer(t, here, mixed)
	train(t, plain, 0, 2)
	train(t, moves, 0, 2)
	if !bytes.Equal(content(t, moves), content(t, plain)) {
		t.Error("on the CPU mixed precision has other bytes than float32")
	}
	before := LossScale{}
	for k, next := range []*Trainer{trainerOn(t, card, mixed, State{}), trainerOn(t, open(t, here), mixed, State{}), trainerOn(t, card, mixed, State{})} {
		state, err := moves.Snapshot()
		if err != nil {
			t.Fatal(err)
		}
		if moves = next; state.Scale != before {
			t.Errorf("part %d begins with %+v, want %+v", k, state.Scale, before)
		}
		if err := moves.Restore(state); err != nil {
			t.Fatal(err)
		}
		want, at := program.Float16, uint64(2+2*k)
		if k == 1 {
			want = program.Float32
		}
		if got := moves.Precision(); got != want {
			t.Errorf("part %d computes in precision %d, want %d", k, got, want)
		}
		for _, r := range train(t, moves, at, at+2) {
			if r.Scale != firstScale || r.Skipped {
				t.Errorf("part %d: %+v, want a loss scale of %d", k, r, firstScale)
			}
		}
		before = LossScale{Value: firstScale, Good: int64(2 * (k + 1))}
	}
	e := open(t, here)
	last, err := moves.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	p, err := card.NewPredictor(PredictConfig{mixed.Spec, mixed.Patch, mixed.Batch, program.Mixed}, last.Weights)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	if p.program.Precision != program.Float16 || e.Decided(program.Mixed) != program.Float32 || e.Decided(program.Half) != program.Half {
		t.Errorf("labels in %d, the CPU decides on %d and %d", p.program.Precision, e.Decided(program.Mixed), e.Decided(program.Half))
	}
}
