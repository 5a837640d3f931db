package pipelines

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"

	"noisystudent/io/store"
	"noisystudent/runners"
	"noisystudent/transforms/incoming"
	"noisystudent/transforms/manifest"
	"noisystudent/transforms/plan"
	"noisystudent/transforms/predict"
)

func init() {
	incoming.Register(func(ctx context.Context, text string) (incoming.Labeller, error) { return ordered(ctx, text) })
}

// labeller labels with the model that is the newest at that moment: a model that
// finishes its training while others wait is taken for the next case.
type labeller struct {
	*run
	request ReprocessRequest
	cases   int              // that wait for labels, by which the machine is shared
	planned int64            // generation of plan.json
	met     string           // digest of the model that the ledger knows to be used
	waiting []string         // cases, at the last look
	before  map[string]int64 // generations of the book's rows before this run labelled anything
}

func openLabeller(ctx context.Context, o Options, q ReprocessRequest) (*labeller, error) {
	r, err := open(ctx, o)
	if err != nil {
		return nil, err
	}
	l := &labeller{run: r, request: q, cases: 1}
	if q.Output != "" {
		out, err := store.Open(ctx, q.Output)
		if err != nil {
			return nil, err
		}
		l.request.Output, l.outputs = out.Root(), []*store.Store{out}
	}
	return l, l.replan(ctx)
}

// replan reads the plan if it is not the one that was read before.
func (l *labeller) replan(ctx context.Context) error {
	info, err := l.store.Stat(ctx, plan.File)
	if err == nil && info.Generation == l.planned {
		return nil
	}
	if l.plan, err = plan.Load(ctx, l.store); err != nil {
		return err
	}
	l.planned, l.networks = info.Generation, networks{}
	return l.override(l.request.PredictRequest)
}

// current is how the newest model labels.
func (l *labeller) current(ctx context.Context) (predict.Config, error) {
	if err := l.replan(ctx); err != nil {
		return predict.Config{}, err
	}
	name, models, err := l.pick(ctx, l.request.Model)
	if err != nil {
		return predict.Config{}, err
	}
	c, err := l.config(ctx, models, l.cases)
	if err != nil {
		return c, err
	}
	c.Output = l.request.Output
	if digest := c.Digest(); digest != l.met {
		l.met, err = digest, incoming.Meet(ctx, l.store, digest, name)
	}
	return c, err
}

// Newest is the digest of the model that current has found last.
func (l *labeller) Newest() string { return l.met }

// Label labels a scan, and gives the labels to all names that it came by. It returns
// a row a name.
func (l *labeller) Label(ctx context.Context, g incoming.Group) ([]incoming.Scan, error) {
	if g.Copy {
		return nil, l.copies(ctx, g)
	}
	c, err := l.current(ctx)
	if err != nil {
		return nil, err
	}
	first, found, err := manifest.Lookup(ctx, l.store, c.Stage(), g.Source)
	if g.Source == "" || err != nil {
		found = false
	}
	found = found && first.Outcome == manifest.Done && first.Input == g.Scans[0].Input && manifest.Stands(ctx, l.store, first)
	var out []incoming.Scan
	for _, s := range g.Scans {
		var row manifest.Row
		if found && first.Case != s.Case {
			row, err = predict.Twin(ctx, l.store, c, first, s.Case)
		} else if row, err = predict.Scan(ctx, l.store, c, s.Of()); row.Outcome == manifest.Done {
			first, found = row, true
		}
		if err != nil {
			return out, err
		}
		s = s.Labelled(row)
		if err := incoming.Record(ctx, l.store, s); err != nil {
			return out, err
		}
		out = append(out, s)
	}
	return out, nil
}

// copies brings back what is missing in the folder that a person named.
func (l *labeller) copies(ctx context.Context, g incoming.Group) error {
	for _, s := range g.Scans {
		if err := predict.CopyOut(ctx, l.store, s.Output, l.request.Output, s.Case+".nii.gz"); err != nil {
			return fmt.Errorf("pipelines: reprocess: %s: %w", s.Case, err)
		}
	}
	return nil
}

// order is a labeller as DoFns carry it.
type order struct {
	Run     string // drawn at random
	Options Options
	Request ReprocessRequest
	Cases   int
}

// order encodes the labeller for a pipeline that labels so many cases. A worker knows
// nothing of the cluster that it is part of, so what follows from the runner is said here.
func (l *labeller) order(cases int) string {
	o := l.Options
	if n := o.Runner.AtOnce(); n > 0 {
		cases = min(cases, n)
	} else if !o.Runner.Local() {
		cases = 1
	}
	o.MemoryBytes, o.Threads = o.memory(), o.threads()
	o.Runner, o.Progress = runners.Options{}, nil
	return encoded([]order{{rand.Text(), o, l.request, cases}})[0]
}

// ordered opens a labeller by its order.
func ordered(ctx context.Context, text string) (*labeller, error) {
	var o order
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		return nil, fmt.Errorf("pipelines: decode order: %w", err)
	}
	l, err := openLabeller(ctx, o.Options, o.Request)
	if err == nil {
		l.cases = o.Cases
	}
	return l, err
}
