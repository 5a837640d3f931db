package pipelines

import (
	"context"
	"time"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"

	"noisystudent/runners"
	"noisystudent/transforms/incoming"
)

// watch looks again and again, in one pipeline with a bounded life.
func (l *labeller) watch(ctx context.Context) error {
	end := time.Now().Add(l.request.WatchFor)
	return runners.Run(ctx, watchGraph(l.order(1), l.request.Interval, end), l.Runner)
}

// watchGraph labels what arrives until the end.
func watchGraph(order string, interval time.Duration, end time.Time) *beam.Pipeline {
	p, s := beam.NewPipelineWithRoot()
	done, rejected := incoming.Label(s, order, incoming.Watch(s, order, interval, end))
	read(s, done, rejected)
	return p
}
