package resample

import (
	"context"
	"reflect"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/register"

	"noisystudent/io/store"
	"noisystudent/transforms/cases"
	"noisystudent/transforms/manifest"
	"noisystudent/transforms/metrics"
	"noisystudent/transforms/plan"
)

func init() {
	register.DoFn5x1[context.Context, cases.Case, string, func(Ref), func(cases.Rejected), error](&casesFn{})
	register.Emitter1[Ref]()
	register.Emitter1[cases.Rejected]()
	beam.RegisterType(reflect.TypeOf((*Ref)(nil)).Elem())
}

// Options of the transform; they travel to the workers.
type Options struct {
	Store       string // root of the store
	BudgetBytes int64  // memory for all cases in work in one process; 0: memory.Budget
}

// Ref points to a stored case.
type Ref struct {
	Case   string
	Set    string
	Prefix string // for OpenCase
	Input  string // digest of the case's files
}

// Cases preprocesses a PCollection<cases.Case> by a plan, a singleton
// PCollection<string> of plan.json, and gives PCollection<Ref> and
// PCollection<cases.Rejected>. Work that the ledger says is done is not done again
// but its Ref is given; a retried bundle writes the same bytes to the same place.
// An element takes PredictBytes of memory under the process's budget.
func Cases(s beam.Scope, o Options, col, planJSON beam.PCollection) (stored, rejected beam.PCollection) {
	s = s.Scope("resample.Cases")
	return beam.ParDo2(s, &casesFn{Options: o}, beam.Reshuffle(s, col), beam.SideInput{Input: planJSON})
}

type casesFn struct {
	Options  Options
	store    *store.Store
	outcomes manifest.Outcomes
}

func (f *casesFn) Setup(ctx context.Context) (err error) {
	f.outcomes = manifest.NewOutcomes(Stage)
	f.store, err = store.Open(ctx, f.Options.Store)
	return err
}

func (f *casesFn) ProcessElement(ctx context.Context, c cases.Case, planJSON string, emit func(Ref), reject func(cases.Rejected)) error {
	p, err := plan.Decode([]byte(planJSON))
	if err != nil {
		return err
	}
	ctx = metrics.Begin(ctx)
	row, err := Process(ctx, f.store, c, p, f.Options.BudgetBytes)
	if err != nil || !f.outcomes.Done(ctx, row, reject) {
		return err
	}
	emit(Ref{Case: c.ID, Set: string(c.Set), Prefix: Prefix(p, c.ID), Input: row.Input})
	return nil
}
