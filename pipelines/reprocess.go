package pipelines

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"

	"noisystudent/runners"
	"noisystudent/transforms/cases"
	"noisystudent/transforms/incoming"
	"noisystudent/transforms/manifest"
)

// ReprocessRequest says what to keep labelled, and when labels are made again.
type ReprocessRequest struct {
	PredictRequest // an empty Output: only the store's predictions
	Policy         incoming.Policy
	Settle         time.Duration // between the two looks that a new file must pass unchanged
	LockWait       time.Duration // how long to wait for another run to end
	WatchFor       time.Duration // 0: look once
	Interval       time.Duration // between looks, where WatchFor is not 0
}

func (q ReprocessRequest) check(o Options) error {
	switch {
	case q.Settle < 0 || q.LockWait < 0 || q.WatchFor < 0:
		return misuse("a time below 0; give --settle, --lock-wait and --watch-for such as 10s")
	case q.WatchFor > 0 && q.Interval < time.Second:
		return misuse("looks %v apart; give --interval of 1s or more", q.Interval)
	case q.Policy.OnlyMissing && q.Policy.Since != "":
		return misuse("--only-missing and --since-model exclude each other")
	}
	p := q.PredictRequest
	if p.Output == "" {
		p.Output = o.Store
	}
	return p.check(o)
}

// Reprocessed is what reprocessing reports.
type Reprocessed struct {
	Input    string           `json:"input"`
	Output   string           `json:"output,omitempty"` // of copies
	Models   map[string]int   `json:"models"`           // scans by the folder of predictions/ that holds their labels
	Scans    int              `json:"scans"`            // that are there
	New      int              `json:"new"`              // labelled by this run
	Same     int              `json:"same"`             // of them, that are a scan under another name
	Waiting  []string         `json:"waiting"`          // still being written
	Removed  []string         `json:"removed"`          // labelled once, and gone
	Busy     *manifest.Holder `json:"busy,omitempty"`   // another run, to which this one left the work
	Rejected []Rejected       `json:"rejected"`
}

// String says what was done.
func (p Reprocessed) String() string {
	if p.Busy != nil {
		return fmt.Sprintf("%s is at work on this store since %s; nothing was done", p.Busy.Name(), p.Busy.Since.Local().Format(time.DateTime))
	}
	done := 0
	for _, n := range p.Models {
		done += n
	}
	text := fmt.Sprintf("%d of %d scans are labelled%s", done, p.Scans, made(done, p.New))
	if p.Same > 0 {
		text += fmt.Sprintf(", %d by copying the labels of the same scan", p.Same)
	}
	for _, x := range []struct {
		about string
		ids   []string
	}{{"still being written", p.Waiting}, {"removed, labels kept", p.Removed}} {
		if len(x.ids) > 0 {
			text += fmt.Sprintf("\n%d %s: %s", len(x.ids), x.about, some(x.ids))
		}
	}
	for _, folder := range slices.Sorted(maps.Keys(p.Models)) {
		text += fmt.Sprintf("\npredictions/%s: %d", folder, p.Models[folder])
	}
	return text
}

// lockName is the one lock of a store's reprocessing.
const lockName = "reprocess"

// Reprocess labels the scans of a place that are new or have changed, or whose labels
// are of an older model, plan or version. Where another run is at work on the store it
// does nothing. With WatchFor it goes on looking for so long.
func Reprocess(ctx context.Context, o Options, q ReprocessRequest) (Reprocessed, error) {
	if err := q.check(o); err != nil {
		return Reprocessed{}, err
	}
	l, err := openLabeller(ctx, o, q)
	if err != nil {
		return Reprocessed{}, err
	}
	lock, err := manifest.Acquire(ctx, l.store, lockName, manifest.LockExpiry, q.LockWait)
	var busy *manifest.BusyError
	switch {
	case errors.As(err, &busy):
		return Reprocessed{Input: q.Input, Busy: &busy.Holder, Rejected: []Rejected{}}, nil
	case err != nil:
		return Reprocessed{}, err
	}
	held, release := lock.Hold(ctx)
	result, err := l.reprocess(held)
	if lost := context.Cause(held); errors.Is(lost, manifest.ErrLost) {
		err = fmt.Errorf("pipelines: reprocess: %w; what is labelled stays", lost)
	}
	return result, errors.Join(err, release())
}

func (l *labeller) reprocess(ctx context.Context) (_ Reprocessed, err error) {
	if l.before, err = l.allGenerations(ctx, incoming.Stage); err != nil {
		return Reprocessed{}, err
	}
	if l.request.WatchFor > 0 {
		err = l.watch(ctx)
	} else {
		err = l.once(ctx)
	}
	if err != nil {
		return Reprocessed{}, err
	}
	return l.report(ctx)
}

// once looks and labels what there is to label.
func (l *labeller) once(ctx context.Context) error {
	survey, err := l.Look(ctx)
	if err != nil {
		return err
	}
	if l.before, err = l.allGenerations(ctx, incoming.Stage); err != nil || len(survey.Groups) == 0 {
		return err
	}
	count := func(ctx context.Context) (int64, error) {
		now, err := l.allGenerations(ctx, incoming.Stage)
		return changed(l.before, now), err
	}
	cases := survey.Cases()
	s := stage{name: "reprocess", unit: "case", total: int64(cases), done: count}
	return l.stage(ctx, s, func(ctx context.Context) (tally, error) {
		err := runners.Run(ctx, reprocessGraph(l.order(cases), survey.Groups), l.Runner)
		n, failure := count(context.WithoutCancel(ctx)) // an interrupted run has done something, too
		return tally{added: n}, errors.Join(err, failure)
	})
}

// Look brings the book up to date and says what there is to do.
func (l *labeller) Look(ctx context.Context) (incoming.Survey, error) {
	c, err := l.current(ctx)
	if err != nil {
		return incoming.Survey{}, err
	}
	survey, err := incoming.Look(ctx, l.store, incoming.Options{
		Input: l.request.Input, Output: c.Output, Settle: l.request.Settle, Newest: c.Digest(), Policy: l.request.Policy,
	})
	if unknown := (*incoming.UnknownModelError)(nil); errors.As(err, &unknown) {
		return survey, &UsageError{err.Error()}
	}
	if err != nil {
		return survey, err
	}
	l.waiting = survey.Waiting
	return survey, l.refuseFiles(ctx, incoming.Refusals, survey.Refused)
}

// report sums up what the book says after the work.
func (l *labeller) report(ctx context.Context) (Reprocessed, error) {
	p := Reprocessed{Input: l.request.Input, Output: l.request.Output, Models: map[string]int{}, Waiting: []string{}, Removed: []string{}}
	rows, err := incoming.Rows(ctx, l.store)
	if err != nil {
		return p, err
	}
	now, err := l.allGenerations(ctx, incoming.Stage)
	if err != nil {
		return p, err
	}
	listing, err := cases.List(ctx, l.request.Input)
	if err != nil {
		return p, err
	}
	here := map[string]bool{}
	for _, c := range listing.Cases {
		here[c.ID] = rows[c.ID].Address == c.Image
	}
	o := outcome{fresh: map[string]bool{}}
	for _, id := range slices.Sorted(maps.Keys(rows)) {
		s := rows[id]
		switch {
		case s.Removed:
			p.Removed = append(p.Removed, id)
			continue
		case !here[id]:
			continue
		}
		p.Scans++
		switch s.Outcome {
		case incoming.Waiting:
			p.Waiting = append(p.Waiting, id)
		case manifest.Rejected:
			l.refuse(s.Rejection())
		case manifest.Done:
			p.Models[s.Model[:12]]++
			if now[id] == l.before[id] {
				break
			}
			o.good, o.fresh[id] = append(o.good, s.Of()), true
			p.New++
			if s.Same != "" {
				p.Same++
			}
		}
	}
	p.Waiting = append(p.Waiting, l.waiting...)
	slices.Sort(p.Waiting)
	p.Waiting = slices.Compact(p.Waiting)
	l.headerNotes(ctx, o)
	p.Rejected = l.refused
	return p, nil
}

// reprocessGraph labels groups.
func reprocessGraph(order string, groups []incoming.Group) *beam.Pipeline {
	p, s := beam.NewPipelineWithRoot()
	done, rejected := incoming.Label(s, order, beam.CreateList(s, encoded(groups)))
	read(s, done, rejected)
	return p
}
