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
	register.DoFn4x1[context.Context, cases.Case, func(Ref), func(cases.Rejected), error](&casesFn{})
	register.Emitter1[Ref]()
	register.Emitter1[cases.Rejected]()
	beam.RegisterType(reflect.TypeOf((*Ref)(nil)).Elem())
}

// Options of the transform; they travel to the workers.
type Options struct {
	Store       string // root of the store
	Plan        string // plan.json
	BudgetBytes int64  // memory for all cases in work in one process; 0: memory.Budget
}

// Ref points to a stored case.
type Ref struct {
	Case   string
	Set    string
	Prefix string // for OpenCase
	Input  string // digest of the case's files
}

// Cases preprocesses a PCollection<cases.Case> and gives PCollection<Ref> and
// PCollection<cases.Rejected>. Work that the ledger says is done is not done again
// but its Ref is given; a retried bundle writes the same bytes to the same place.
// An element takes PredictBytes of memory under the process's budget.
//
// The plan is no side input: Prism 2.77 asks without a pause whether a stage with one
// may go on while its bundle works (bundleReady), which cost more than the work.
func Cases(s beam.Scope, o Options, col beam.PCollection) (stored, rejected beam.PCollection) {
	s = s.Scope("resample.Cases")
	return beam.ParDo2(s, &casesFn{Options: o}, beam.Reshuffle(s, col))
}

type casesFn struct {
	Options  Options
	plan     plan.Plan
	store    *store.Store
	outcomes manifest.Outcomes
}

func (f *casesFn) Setup(ctx context.Context) (err error) {
	f.outcomes = manifest.NewOutcomes(Stage)
	if f.plan, err = plan.Decode([]byte(f.Options.Plan)); err == nil {
		f.store, err = store.Open(ctx, f.Options.Store)
	}
	return err
}

func (f *casesFn) ProcessElement(ctx context.Context, c cases.Case, emit func(Ref), reject func(cases.Rejected)) error {
	ctx = metrics.Begin(ctx)
	row, err := Process(ctx, f.store, c, f.plan, f.Options.BudgetBytes)
	if err != nil || !f.outcomes.Done(ctx, row, reject) {
		return err
	}
	emit(Ref{Case: c.ID, Set: string(c.Set), Prefix: Prefix(f.plan, c.ID), Input: row.Input})
	return nil
}
