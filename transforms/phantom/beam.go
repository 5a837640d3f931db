package phantom

import (
	"context"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/register"
)

func init() {
	register.DoFn3x1[context.Context, Task, func(Written), error](&makeFn{})
	register.DoFn2x1[context.Context, []byte, error](&describeFn{})
	register.Emitter1[Written]()
}

// Cohort makes a cohort, one element a case, and gives a PCollection<Written>. The
// options must pass Check.
func Cohort(s beam.Scope, o Options) beam.PCollection {
	s = s.Scope("phantom.Cohort")
	beam.ParDo0(s, &describeFn{Options: o}, beam.Impulse(s))
	tasks := beam.Reshuffle(s, beam.CreateList(s, o.Tasks()))
	return beam.ParDo(s, &makeFn{Options: o}, tasks)
}

type makeFn struct{ Options Options }

func (f *makeFn) ProcessElement(ctx context.Context, t Task, emit func(Written)) error {
	w, err := Make(ctx, f.Options, t)
	if err != nil {
		return err
	}
	emit(w)
	return nil
}

type describeFn struct{ Options Options }

func (f *describeFn) ProcessElement(ctx context.Context, _ []byte) error {
	return WriteDataset(ctx, f.Options)
}
