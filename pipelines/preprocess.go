package pipelines

import (
	"context"
	"fmt"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"

	"noisystudent/transforms/cases"
	"noisystudent/transforms/manifest"
	"noisystudent/transforms/plan"
	"noisystudent/transforms/resample"
)

// Preprocessed is what preprocessing reports.
type Preprocessed struct {
	Cases    int        `json:"cases"` // in the store now
	New      int        `json:"new"`   // that this run stored
	Rejected []Rejected `json:"rejected"`
}

// String says what was done.
func (p Preprocessed) String() string {
	if p.New == 0 {
		return fmt.Sprintf("%d cases are preprocessed; nothing to do", p.Cases)
	}
	return fmt.Sprintf("%d cases are preprocessed, %d of them now", p.Cases, p.New)
}

// Preprocess prepares all labelled and unlabelled cases, after planning where that is missing.
func Preprocess(ctx context.Context, o Options) (Preprocessed, error) {
	r, err := openDataset(ctx, o)
	if err != nil {
		return Preprocessed{}, err
	}
	if err := r.needPlan(ctx); err != nil {
		return Preprocessed{}, err
	}
	list := r.of(cases.Labelled, cases.Unlabelled)
	fresh, err := r.prepare(ctx, list)
	return Preprocessed{Cases: len(r.prepared), New: fresh, Rejected: r.refused}, err
}

// needPrepared prepares the cases of some sets.
func (r *run) needPrepared(ctx context.Context, sets ...cases.Set) error {
	_, err := r.prepare(ctx, r.of(sets...))
	return err
}

// prepare runs preprocessing over a list; it returns how many cases were new. Cases
// that this run has seen prepared are not asked for again.
func (r *run) prepare(ctx context.Context, list []cases.Case) (fresh int, err error) {
	var todo []cases.Case
	for _, c := range list {
		if !r.met[c.ID] {
			todo = append(todo, c)
		}
	}
	if len(todo) == 0 {
		return 0, nil
	}
	before, err := manifest.Rows(ctx, r.store, resample.Stage)
	if err != nil {
		return 0, err
	}
	planJSON, err := plan.Encode(r.plan)
	if err != nil {
		return 0, err
	}
	o := resample.Options{Store: r.store.Root(), BudgetBytes: r.memory()}
	err = r.stage(ctx, "preprocess", int64(len(todo)), "case", r.rowsOf(resample.Stage, todo), func(ctx context.Context) error {
		return r.submit(ctx, preprocessGraph(o, string(planJSON), todo))
	})
	if err != nil {
		return 0, err
	}
	good, err := r.settle(ctx, resample.Stage, todo)
	if err != nil {
		return 0, err
	}
	after, err := manifest.Rows(ctx, r.store, resample.Stage)
	if err != nil {
		return 0, err
	}
	for _, c := range good {
		row := after[c.ID]
		if before[c.ID].Key() != row.Key() {
			fresh++
		}
		r.prepared[c.ID] = preparedCase{folder: resample.Prefix(r.plan, c.ID), digest: row.Key()}
	}
	for _, c := range todo {
		r.met[c.ID] = true
	}
	return fresh, nil
}

func preprocessGraph(o resample.Options, planJSON string, list []cases.Case) *beam.Pipeline {
	p, s := beam.NewPipelineWithRoot()
	resample.Cases(s, o, beam.CreateList(s, list), beam.Create(s, planJSON))
	return p
}
