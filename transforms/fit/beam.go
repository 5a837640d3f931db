package fit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"time"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/core/sdf"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/register"

	"noisystudent/io/store"
	"noisystudent/transforms/metrics"
)

func init() {
	register.DoFn4x2[context.Context, *sdf.LockRTracker, string, func(Trained), sdf.ProcessContinuation, error](&trainFn{})
	register.DoFn3x1[context.Context, string, func(Trained), error](&wholeFn{})
	register.Emitter1[Trained]()
	beam.RegisterType(reflect.TypeOf((*Epochs)(nil)).Elem())
	beam.RegisterType(reflect.TypeOf((*Trained)(nil)).Elem())
}

// Trained is the element that each finished epoch gives.
type Trained struct {
	Role  string
	Fold  int
	Epoch int64
	Loss  float64
	Done  bool // the job's last
}

// Jobs trains a PCollection<string> of jobs, JSON of Job, and gives one Trained an epoch.
func Jobs(s beam.Scope, o Options, jobs beam.PCollection) beam.PCollection {
	s = s.Scope("fit.Jobs")
	if o.Whole {
		return beam.ParDo(s, &wholeFn{Options: o}, beam.Reshuffle(s, jobs))
	}
	return beam.ParDo(s, &trainFn{Options: o}, beam.Reshuffle(s, jobs))
}

// trainFn is a splittable DoFn over the epochs of a job.
type trainFn struct {
	Options Options
	epochs  beam.Counter
	took    beam.Distribution
	devices metrics.Devices
	trained bool // an epoch in this bundle
}

func (f *trainFn) Setup() {
	f.epochs, f.took = beam.NewCounter("fit", metrics.Epochs), beam.NewDistribution("fit", metrics.Milliseconds)
	f.devices = metrics.NewDevices("fit")
}

func (f *trainFn) StartBundle(func(Trained)) { f.trained = false }

func (f *trainFn) CreateInitialRestriction(job string) (Epochs, error) {
	j, err := decode(job)
	return Epochs{Start: 0, End: j.Epochs}, err
}

func (f *trainFn) SplitRestriction(_ string, r Epochs) []Epochs { return []Epochs{r} }

func (f *trainFn) RestrictionSize(_ string, r Epochs) float64 { return float64(r.End - r.Start) }

func (f *trainFn) CreateTracker(r Epochs) *sdf.LockRTracker {
	return sdf.NewLockRTracker(newTracker(r))
}

func decode(job string) (Job, error) {
	var j Job
	if err := json.Unmarshal([]byte(job), &j); err != nil {
		return j, fmt.Errorf("fit: decode job: %w", err)
	}
	return j, nil
}

// ProcessElement trains the next epoch and yields, so that a runner can
// checkpoint. A job without a slot yields at once and comes back. So does a second
// job of one bundle, which would keep the first one waiting.
func (f *trainFn) ProcessElement(ctx context.Context, rt *sdf.LockRTracker, job string, emit func(Trained)) (sdf.ProcessContinuation, error) {
	j, err := decode(job)
	if err != nil {
		return sdf.StopProcessing(), err
	}
	st, err := store.Open(ctx, j.Store)
	if err != nil {
		return sdf.StopProcessing(), fmt.Errorf("fit: %s: %w", j.Name(), err)
	}
	if f.trained {
		return sdf.ResumeProcessingIn(apart), nil
	}
	name := st.Address(j.Folder())
	held, wait := process.acquire(name, max(f.Options.Jobs, 1))
	if held == nil {
		return sdf.ResumeProcessingIn(wait), nil
	}
	keep := false
	defer func() { process.put(name, held, keep) }() // also after a panic
	more, err := f.next(ctx, rt, st, j, held, emit)
	if err != nil || !more {
		return sdf.StopProcessing(), err
	}
	keep = true
	return sdf.ResumeProcessingIn(0), nil
}

// next trains one epoch, and says whether there are more. Epochs that a lost bundle
// had made durable are emitted again from the history: the runner dropped what that
// bundle gave.
func (f *trainFn) next(ctx context.Context, rt *sdf.LockRTracker, st *store.Store, j Job, held *lease, emit func(Trained)) (bool, error) {
	history, err := durable(ctx, st, j)
	if err != nil {
		return false, err
	}
	next := rt.GetRestriction().(Epochs).Start
	for ; next < min(int64(len(history)), j.Epochs); next++ {
		if !rt.TryClaim(next) {
			return false, nil
		}
		f.give(ctx, rt, j, history[next], emit)
	}
	if !rt.TryClaim(next) {
		return false, nil
	}
	f.trained = true
	ctx = metrics.Begin(ctx)
	e, err := held.advance(ctx, st, j, f.Options.among(process.jobs()), next)
	var lost *DivergedError
	if errors.As(err, &lost) { // a matter of this job: the others go on
		rt.TryClaim(abandon{})
		return false, lost.note(ctx, st, j)
	}
	if err != nil {
		return false, err
	}
	f.took.Update(ctx, int64(e.Seconds*1000))
	f.devices.Report(ctx)
	metrics.BookEpoch(ctx, "fit", j.Name(), e.Epoch, e.Seconds)
	f.give(ctx, rt, j, e, emit)
	return next+1 < j.Epochs, nil
}

// give commits an epoch that is durable and emits it.
func (f *trainFn) give(ctx context.Context, rt *sdf.LockRTracker, j Job, e Epoch, emit func(Trained)) {
	rt.TryClaim(commit(e.Epoch))
	f.epochs.Inc(ctx, 1)
	emit(Trained{Role: string(j.Role), Fold: j.Fold, Epoch: e.Epoch, Loss: e.Loss, Done: e.Epoch+1 >= j.Epochs})
}

// wholeFn trains a job to its end in one go, see Options.Whole: it does to trainFn what
// a runner does that asks for nothing else meanwhile.
type wholeFn struct {
	Options Options
	each    trainFn
}

func (f *wholeFn) Setup() {
	f.each.Options = f.Options
	f.each.Setup()
}

func (f *wholeFn) ProcessElement(ctx context.Context, job string, emit func(Trained)) error {
	rest, err := f.each.CreateInitialRestriction(job)
	for err == nil && rest.Start < rest.End {
		var next sdf.ProcessContinuation
		f.each.StartBundle(emit)
		next, err = f.each.ProcessElement(ctx, f.each.CreateTracker(rest), job, func(t Trained) {
			rest.Start = t.Epoch + 1
			emit(t)
		})
		if err != nil || !next.ShouldResume() {
			return err // it is done, or diverged
		}
		err = pause(ctx, next.ResumeDelay())
	}
	return err
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
