// Package fit trains models: one job is one model, one role and one fold, and an
// epoch is the unit that is durable.
//
// The one idea: the checkpoint in the store, never the runner, decides where to go
// on. An epoch is trained, its checkpoint written under a new name, and then the
// small file `latest` is moved to it by a generation-matched write. Whatever a
// runner repeats, restarts or splits, an epoch enters the checkpoint once, and the
// final weights are the same bytes as those of an undisturbed run: every random
// number is keyed by (seed, role, fold, step), and a checkpoint holds the
// optimiser too.
//
// Training follows nnU-Net v2 (nnUNetTrainer); what the noisy student adds is in
// the batches, see package patch.
package fit

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"

	"noisystudent/io/store"
	"noisystudent/model/engine"
	"noisystudent/transforms/metrics"
)

// version of what training computes; it enters Job.Inputs.
const version = 1

// Options say how a process trains.
type Options struct {
	Device  string `json:"device"`  // auto, cpu or ref
	Kernels string `json:"kernels"` // of the CPU, empty: the best
	Threads int    `json:"threads"` // shared by the jobs that train at once, 0: all
	Jobs    int    `json:"jobs"`    // trained at once in one process, at least 1
	Memory  int64  `json:"memory"`  // bytes for cases kept in memory and patches made ahead, all jobs together
	// Whole has whoever begins a job train it to its end. Flink deals elements out to its
	// slots in turn, but what a splittable DoFn leaves by a hash of the element, so that
	// two folds may share a slot while another one is idle.
	Whole bool `json:"whole"`
}

// among shares the threads by so many jobs: at least one each.
func (o Options) among(jobs int) Options {
	if o.Threads < 1 {
		o.Threads = runtime.GOMAXPROCS(0)
	}
	o.Threads = max(o.Threads/max(min(jobs, o.Jobs), 1), 1)
	return o
}

// Run trains a job to its end in this process; it is what the Beam transform does
// without a runner. progress may be nil.
func Run(ctx context.Context, j Job, o Options, progress func(Epoch)) error {
	st, err := store.Open(ctx, j.Store)
	if err != nil {
		return fmt.Errorf("fit: %s: %w", j.Name(), err)
	}
	return run(ctx, st, j, o, progress)
}

func run(ctx context.Context, st *store.Store, j Job, o Options, progress func(Epoch)) error {
	c, err := load(ctx, st, j)
	if err != nil || int64(len(c.history)) >= j.Epochs {
		return err
	}
	s, err := newSession(ctx, st, j, o, c)
	if err != nil {
		return err
	}
	defer s.close()
	for int64(len(s.history)) < j.Epochs {
		e, err := s.epoch(ctx)
		if err != nil {
			return err
		}
		if progress != nil {
			progress(e)
		}
	}
	return nil
}

// epoch trains one epoch and makes it durable.
func (s *session) epoch(ctx context.Context) (Epoch, error) {
	metrics.On(ctx, s.engine.Name())
	start := time.Now()
	e := Epoch{Epoch: int64(len(s.history))}
	err := s.train(ctx, &e)
	if err = s.divergence(e, err); err == nil {
		s.state, err = s.trainer.Snapshot()
	}
	if err == nil {
		s.follow(s.job.Plan.Training.WeightsEMA)
		err = s.validate(ctx, &e)
	}
	if lost := (*DivergedError)(nil); errors.As(err, &lost) {
		return Epoch{}, lost
	} else if err != nil {
		return Epoch{}, fmt.Errorf("fit: %s epoch %d: %w", s.job.Name(), e.Epoch, err)
	}
	e.Seconds, e.At = time.Since(start).Seconds(), float64(time.Now().UnixMilli())/1000
	s.history = append(s.history, e)
	err = s.save(ctx, s.store, s.job)
	s.state = engine.State{} // the trainer has it
	return e, err
}

// advance trains epoch at, which follows the durable ones, in the session that the
// process kept where that stands there, else in a new one.
func (h *lease) advance(ctx context.Context, st *store.Store, j Job, o Options, at int64) (Epoch, error) {
	if s := h.session; s != nil && (int64(len(s.history)) != at || s.job.Inputs != j.Inputs || s.options != o) {
		h.end()
	}
	if h.session == nil {
		c, err := load(ctx, st, j)
		if err != nil {
			return Epoch{}, err
		}
		if done := int64(len(c.history)); done > at {
			return c.history[at], nil // another worker was quicker
		} else if done < at {
			return Epoch{}, fmt.Errorf("fit: %s: epoch %d is to follow, but only %d are in %s; was its checkpoint removed? Run the command again", j.Name(), at, done, st.Address(j.Folder()))
		}
		if h.session, err = newSession(ctx, st, j, o, c); err != nil {
			return Epoch{}, err
		}
	}
	return h.session.epoch(ctx)
}
