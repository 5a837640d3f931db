package manifest

import (
	"context"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"

	"noisystudent/transforms/cases"
)

// Outcomes counts how the rows of a DoFn end, in the metrics cases and rejected.
type Outcomes struct{ done, rejected beam.Counter }

// NewOutcomes returns the counters of a transform.
func NewOutcomes(transform string) Outcomes {
	return Outcomes{beam.NewCounter(transform, "cases"), beam.NewCounter(transform, "rejected")}
}

// Done counts a row and reports whether its work is done; else it emits the
// rejected case.
func (o Outcomes) Done(ctx context.Context, r Row, reject func(cases.Rejected)) bool {
	if r.Outcome == Rejected {
		o.rejected.Inc(ctx, 1)
		reject(r.Rejection())
		return false
	}
	o.done.Inc(ctx, 1)
	return true
}
