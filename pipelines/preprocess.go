package pipelines

import (
	"context"
	"fmt"
	"slices"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"

	"noisystudent/transforms/cases"
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
	return fmt.Sprintf("%d cases are preprocessed%s", p.Cases, made(p.Cases, p.New))
}

// made says how much of what is there a run has made.
func made(there, fresh int) string {
	switch {
	case there == 0:
		return ""
	case fresh == 0:
		return "; nothing to do"
	}
	return fmt.Sprintf(", %d of them now", fresh)
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
	fresh, err := r.prepare(ctx, r.of(cases.Labelled, cases.Unlabelled))
	return Preprocessed{Cases: len(r.prepared), New: fresh, Rejected: r.refused}, err
}

// needPrepared prepares the cases of some sets.
func (r *run) needPrepared(ctx context.Context, sets ...cases.Set) error {
	_, err := r.prepare(ctx, r.of(sets...))
	return err
}

// prepare runs preprocessing over a list; it returns how many cases were new. Cases
// that this run has asked for before are not asked for again.
func (r *run) prepare(ctx context.Context, list []cases.Case) (fresh int, err error) {
	todo := slices.DeleteFunc(slices.Clone(list), func(c cases.Case) bool { return r.met[c.ID] })
	if len(todo) == 0 {
		return 0, nil
	}
	if err := r.makeRoom(ctx, todo); err != nil {
		return 0, err
	}
	planJSON, err := plan.Encode(r.plan)
	if err != nil {
		return 0, err
	}
	options := resample.Options{Store: r.store.Root(), Plan: string(planJSON), BudgetBytes: r.memory()}
	o, err := r.over(ctx, caseWork{
		name: "preprocess", ledger: resample.Stage, plan: resample.Digest(r.plan), list: todo,
		graph: func(context.Context, map[string]bool) *beam.Pipeline { return preprocessGraph(options, todo) },
	})
	if err != nil {
		return 0, err
	}
	for _, c := range todo {
		r.met[c.ID] = true
	}
	for _, c := range o.good {
		r.prepared[c.ID] = preparedCase{folder: resample.Prefix(r.plan, c.ID), digest: o.rows[c.ID].Key()}
	}
	r.headerNotes(ctx, o)
	r.inNoFold(o.good)
	return len(o.fresh), nil
}

func preprocessGraph(o resample.Options, list []cases.Case) *beam.Pipeline {
	p, s := beam.NewPipelineWithRoot()
	stored, rejected := resample.Cases(s, o, beam.CreateList(s, list))
	read(s, stored, rejected)
	return p
}
