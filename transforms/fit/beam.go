package fit

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"time"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/core/sdf"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/register"

	"noisystudent/io/store"
)

func init() {
	register.DoFn4x2[context.Context, *sdf.LockRTracker, string, func(Trained), sdf.ProcessContinuation, error](&trainFn{})
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
	return beam.ParDo(s, &trainFn{Options: o}, beam.Reshuffle(s, jobs))
}

// trainFn is a splittable DoFn over the epochs of a job.
type trainFn struct {
	Options Options
	epochs  beam.Counter
}

func (f *trainFn) Setup() { f.epochs = beam.NewCounter("fit", "epochs") }

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

// busy is how long a job waits before it asks again for a slot.
const busy = 200 * time.Millisecond

// ProcessElement trains the next epoch and yields, so that a runner can
// checkpoint. Epochs that a lost bundle had made durable are emitted again from
// the history: the runner dropped what that bundle gave.
func (f *trainFn) ProcessElement(ctx context.Context, rt *sdf.LockRTracker, job string, emit func(Trained)) (sdf.ProcessContinuation, error) {
	j, err := decode(job)
	if err != nil {
		return sdf.StopProcessing(), err
	}
	st, err := store.Open(ctx, j.Store)
	if err != nil {
		return sdf.StopProcessing(), fmt.Errorf("fit: %s: %w", j.Name(), err)
	}
	history, err := durable(ctx, st, j)
	if err != nil {
		return sdf.StopProcessing(), err
	}
	next := rt.GetRestriction().(Epochs).Start
	for ; next < int64(len(history)); next++ {
		if !f.claim(ctx, rt, j, history[next], emit) {
			return sdf.StopProcessing(), nil
		}
	}
	if next >= j.Epochs {
		rt.TryClaim(next)
		return sdf.StopProcessing(), nil
	}
	name := st.Address(j.Folder())
	held := process.acquire(name, max(f.Options.Jobs, 1))
	if held == nil {
		return sdf.ResumeProcessingIn(busy), nil
	}
	keep := false
	defer func() { process.put(name, held, keep) }()
	if !rt.TryClaim(next) {
		return sdf.StopProcessing(), nil
	}
	e, err := held.advance(ctx, st, j, f.Options, next)
	if err != nil {
		return sdf.StopProcessing(), err
	}
	keep = next+1 < j.Epochs
	rt.TryClaim(commit(next))
	f.give(ctx, j, e, emit)
	return sdf.ResumeProcessingIn(0), nil
}

// claim takes an epoch that is durable already and emits it.
func (f *trainFn) claim(ctx context.Context, rt *sdf.LockRTracker, j Job, e Epoch, emit func(Trained)) bool {
	if !rt.TryClaim(e.Epoch) {
		return false
	}
	rt.TryClaim(commit(e.Epoch))
	f.give(ctx, j, e, emit)
	return true
}

func (f *trainFn) give(ctx context.Context, j Job, e Epoch, emit func(Trained)) {
	f.epochs.Inc(ctx, 1)
	emit(Trained{Role: string(j.Role), Fold: j.Fold, Epoch: e.Epoch, Loss: e.Loss, Done: e.Epoch+1 >= j.Epochs})
}
