package incoming

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/register"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/transforms/periodic"

	"noisystudent/transforms/cases"
	"noisystudent/transforms/manifest"
	"noisystudent/transforms/metrics"
)

func init() {
	register.DoFn4x1[context.Context, string, func(string), func(cases.Rejected), error](&labelFn{})
	register.DoFn3x1[context.Context, []byte, func(string), error](&lookFn{})
	register.Emitter1[string]()
	register.Emitter1[cases.Rejected]()
}

// Labeller looks at a place and labels what it has found there. One goroutine at a
// time uses it.
type Labeller interface {
	Look(ctx context.Context) (Survey, error)
	Label(ctx context.Context, g Group) ([]Scan, error) // a row a name
	Newest() string                                     // digest of the model at the last Look
}

// opener opens the Labeller of an order, in whatever process a DoFn runs.
var opener func(ctx context.Context, order string) (Labeller, error)

// Register says how DoFns open the Labeller of an order, which is text that only the
// function understands. It is called from an init.
func Register(open func(ctx context.Context, order string) (Labeller, error)) { opener = open }

// Label labels a PCollection<string> of groups, JSON of Group. It gives the ids of the
// cases that are labelled, PCollection<string>, and PCollection<cases.Rejected>.
func Label(s beam.Scope, order string, groups beam.PCollection) (done, rejected beam.PCollection) {
	s = s.Scope("incoming.Label")
	return beam.ParDo2(s, &labelFn{Order: order}, beam.Reshuffle(s, groups))
}

// Watch looks at intervals until the end, and gives groups for Label,
// PCollection<string>.
func Watch(s beam.Scope, order string, interval time.Duration, end time.Time) beam.PCollection {
	s = s.Scope("incoming.Watch")
	ticks := periodic.Impulse(s, time.Now(), end, interval, false)
	return beam.ParDo(s, &lookFn{Order: order, IntervalNS: int64(interval)}, ticks)
}

type labelFn struct {
	Order    string
	labeller Labeller
	outcomes manifest.Outcomes
}

func (f *labelFn) Setup(ctx context.Context) (err error) {
	f.outcomes = manifest.NewOutcomes(Stage)
	f.labeller, err = opener(ctx, f.Order)
	return err
}

func (f *labelFn) ProcessElement(ctx context.Context, text string, done func(string), rejected func(cases.Rejected)) error {
	var g Group
	if err := json.Unmarshal([]byte(text), &g); err != nil {
		return fmt.Errorf("incoming: decode group: %w", err)
	}
	ctx = metrics.Begin(ctx)
	rows, err := f.labeller.Label(ctx, g)
	for _, s := range rows {
		if f.outcomes.Done(ctx, s.Row, rejected) {
			done(s.Case)
		}
	}
	return err
}

// lookFn looks at the place at each tick, once for ticks that have waited for a look
// that took long. What it has given out in this process it does not give out again.
type lookFn struct {
	Order      string
	IntervalNS int64
	labeller   Labeller
}

func (f *lookFn) Setup(ctx context.Context) (err error) {
	f.labeller, err = opener(ctx, f.Order)
	return err
}

func (f *lookFn) ProcessElement(ctx context.Context, _ []byte, emit func(string)) error {
	w := watchOf(f.Order)
	w.Lock()
	defer w.Unlock()
	if time.Since(w.last) < time.Duration(f.IntervalNS)/2 {
		return nil
	}
	survey, err := f.labeller.Look(ctx)
	if err != nil {
		return err
	}
	w.last = time.Now()
	for _, g := range survey.Groups {
		key := manifest.Digest(f.labeller.Newest(), g.names())
		if w.given[key] {
			continue
		}
		text, err := json.Marshal(g)
		if err != nil {
			return fmt.Errorf("incoming: encode group: %w", err)
		}
		w.given[key] = true
		emit(string(text))
	}
	return nil
}

// names are what a group is known by.
func (g Group) names() (list []string) {
	for _, s := range g.Scans {
		list = append(list, s.Case, s.Input)
	}
	return list
}

// watched is what the looks of an order in this process remember of each other.
type watched struct {
	sync.Mutex
	last  time.Time
	given map[string]bool
}

var watches = struct {
	sync.Mutex
	by map[string]*watched
}{by: map[string]*watched{}}

func watchOf(order string) *watched {
	watches.Lock()
	defer watches.Unlock()
	if watches.by[order] == nil {
		watches.by[order] = &watched{given: map[string]bool{}}
	}
	return watches.by[order]
}
