package pipelines

import (
	"context"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/io/fileio"
	_ "github.com/apache/beam/sdks/v2/go/pkg/beam/io/filesystem/gcs"   // fileio opens addresses by these
	_ "github.com/apache/beam/sdks/v2/go/pkg/beam/io/filesystem/local" // two
	"github.com/apache/beam/sdks/v2/go/pkg/beam/register"

	"noisystudent/runners"
	"noisystudent/transforms/incoming"
	"noisystudent/transforms/manifest"
)

func init() {
	register.DoFn3x1[context.Context, fileio.FileMetadata, func(string), error](&lookFn{})
	register.Emitter1[string]()
}

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
		if rest := l.request.Interval - time.Since(began); rest > 0 {
			time.Sleep(rest)
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
	files := fileio.MatchContinuously(s, glob, interval, fileio.MatchEnd(end), fileio.MatchDuplicateAllow())
	groups := beam.ParDo(s, &lookFn{Order: order, IntervalNS: int64(interval)}, files)
	done, rejected := relabel(s, order, groups)
	read(s, done, rejected)
	return p
}

// lookFn looks at the whole place once for all files that one match has found: the
// first of them stands for all. What it has given out in this process it does not
// give out again.
type lookFn struct {
	Order      string
	IntervalNS int64
	labeller   *labeller
}

func (f *lookFn) Setup(ctx context.Context) (err error) {
	f.labeller, err = ordered(ctx, f.Order)
	return err
}

func (f *lookFn) ProcessElement(ctx context.Context, _ fileio.FileMetadata, emit func(string)) error {
	w := watchOf(f.Order)
	w.Lock()
	defer w.Unlock()
	if time.Since(w.last) < time.Duration(f.IntervalNS)/2 {
		return nil
	}
	survey, err := f.labeller.look(ctx)
	if err != nil {
		return err
	}
	w.last = time.Now()
	for i, text := range encoded(survey.Groups) {
		key := manifest.Digest(f.labeller.met, names(survey.Groups[i]))
		if !w.given[key] {
			w.given[key] = true
			emit(text)
		}
	}
	return nil
}

// names are what a group is known by: a retry has the same.
func names(g incoming.Group) (list []string) {
	for _, s := range g.Scans {
		list = append(list, s.Case, s.Input)
	}
	return list
}

// watched is what looks in this process remember of each other.
type watched struct {
	sync.Mutex
	last  time.Time
	given map[string]bool
}

var watches = struct {
	sync.Mutex
	by map[string]*watched
}{by: map[string]*watched{}}

func watchOf(run string) *watched {
	watches.Lock()
	defer watches.Unlock()
	if watches.by[run] == nil {
		watches.by[run] = &watched{given: map[string]bool{}}
	}
	return watches.by[run]
}
