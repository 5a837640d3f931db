package manifest

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/register"

	"noisystudent/transforms/cases"
	"noisystudent/transforms/metrics"
)

func init() {
	register.Combiner2[[]string, string](&gatherFn{})
}

// Gather collects a PCollection<string>, JSON of values, in a singleton
// PCollection<[]string>, in no order. No value gives no element.
func Gather(s beam.Scope, values beam.PCollection) beam.PCollection {
	return beam.Combine(s, &gatherFn{}, values)
}

type gatherFn struct{}

func (*gatherFn) CreateAccumulator() []string              { return nil }
func (*gatherFn) AddInput(a []string, v string) []string   { return append(a, v) }
func (*gatherFn) MergeAccumulators(a, b []string) []string { return append(a, b...) }

// Decode returns the values of what Gather collected.
func Decode[T any](texts []string) ([]T, error) {
	values := make([]T, len(texts))
	for i, text := range texts {
		if err := json.Unmarshal([]byte(text), &values[i]); err != nil {
			return nil, fmt.Errorf("decode a row: %w", err)
		}
	}
	return values, nil
}

// Outcomes books how the rows of a DoFn end, see package metrics.
type Outcomes struct {
	stage                               string
	cases, standing, rejected, forwards beam.Counter
	milliseconds, bytes                 beam.Distribution
	reasons                             map[cases.Kind]beam.Counter
	devices                             metrics.Devices
}

// NewOutcomes returns the counters of a transform.
func NewOutcomes(transform string) Outcomes {
	return Outcomes{
		stage: transform,
		cases: beam.NewCounter(transform, metrics.Cases), standing: beam.NewCounter(transform, metrics.Standing),
		rejected: beam.NewCounter(transform, metrics.Rejected), forwards: beam.NewCounter(transform, metrics.Forwards),
		milliseconds: beam.NewDistribution(transform, metrics.Milliseconds), bytes: beam.NewDistribution(transform, metrics.Bytes),
		reasons: map[cases.Kind]beam.Counter{}, devices: metrics.NewDevices(transform),
	}
}

// Done books a row and reports whether its work is done; else it emits the rejected
// case. The work is counted where ctx comes from metrics.Begin.
func (o Outcomes) Done(ctx context.Context, r Row, reject func(cases.Rejected)) bool {
	e := metrics.Book(ctx, o.stage, r.Case, string(r.Reason))
	o.forwards.Inc(ctx, e.Forwards)
	if e.Did {
		o.milliseconds.Update(ctx, e.Took.Milliseconds())
		o.bytes.Update(ctx, e.Bytes)
		o.devices.Report(ctx)
	}
	if r.Outcome == Rejected {
		o.rejected.Inc(ctx, 1)
		o.reason(r.Reason).Inc(ctx, 1)
		reject(r.Rejection())
		return false
	}
	o.cases.Inc(ctx, 1)
	if !e.Did {
		o.standing.Inc(ctx, 1)
	}
	return true
}

func (o Outcomes) reason(k cases.Kind) beam.Counter {
	c, ok := o.reasons[k]
	if !ok {
		c = beam.NewCounter(o.stage, metrics.Rejected+"."+string(k))
		o.reasons[k] = c
	}
	return c
}
