package phantom

import (
	"context"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/register"
)

func init() {
	register.DoFn3x1[context.Context, Task, func(Written), error](&makeFn{})
	register.DoFn2x2[context.Context, []byte, string, error](&describeFn{})
	register.Emitter1[Written]()
}

// Cohort makes a cohort, one element a case, and gives a PCollection<Written>, and where
// it is once it is described, PCollection<string>. The options must pass Check.
func Cohort(s beam.Scope, o Options) (written, described beam.PCollection) {
	s = s.Scope("phantom.Cohort")
	tasks := beam.Reshuffle(s, beam.CreateList(s, o.Tasks()))
	return beam.ParDo(s, &makeFn{Options: o}, tasks), beam.ParDo(s, &describeFn{Options: o}, beam.Impulse(s))
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

func (f *describeFn) ProcessElement(ctx context.Context, _ []byte) (string, error) {
	return f.Options.Out, WriteDataset(ctx, f.Options)
}
