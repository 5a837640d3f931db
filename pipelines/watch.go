package pipelines

import (
	"context"
	"os"
	"strings"
	"time"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"

	"noisystudent/runners"
	"noisystudent/transforms/incoming"
)

// watch looks again and again. A pipeline that fails because a file went away between
// Beam's listing and its asking for the size (fileio.MatchAll) begins anew: the ledger
// knows what is done.
func (l *labeller) watch(ctx context.Context) error {
	glob := glob(l.request.Input)
	for end := time.Now().Add(l.request.WatchFor); ; {
		began := time.Now()
		err := runners.Run(ctx, watchGraph(l.order(1), glob, l.request.Interval, end), l.Runner)
		if err == nil || ctx.Err() != nil || !vanished(err) || time.Until(end) < l.request.Interval {
			return err
		}
		l.progress.Note("reprocess: a file went away while the folder was listed; looking again")
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(l.request.Interval - time.Since(began)):
		}
	}
}

// vanished reports whether a pipeline failed for a file that is gone.
func vanished(err error) bool {
	text := err.Error()
	return strings.Contains(text, "no such file or directory") || strings.Contains(text, "object doesn't exist")
}

// glob is an input as Beam matches it: whole addresses only.
func glob(input string) string {
	if strings.ContainsAny(input, "*?[") {
		return input
	}
	if info, err := os.Stat(input); err == nil && !info.IsDir() {
		return input
	} else if err == nil || strings.HasPrefix(input, "gs://") || strings.HasSuffix(input, "/") {
		return strings.TrimRight(input, "/") + "/*"
	}
	return input + "*"
}

// watchGraph labels what arrives until the end.
func watchGraph(order, glob string, interval time.Duration, end time.Time) *beam.Pipeline {
	p, s := beam.NewPipelineWithRoot()
	done, rejected := incoming.Label(s, order, incoming.Watch(s, order, glob, interval, end))
	read(s, done, rejected)
	return p
}
