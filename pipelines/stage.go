package pipelines

import (
	"context"
	"fmt"
	"time"
)

// stage is one piece of work as people follow it.
type stage struct {
	name   string // also its name in summary.json, where pieces of one name are summed
	detail string // which piece, or empty
	unit   string // case or step
	total  int64
	done   func(context.Context) (int64, error) // units that are done now
	pace   func(context.Context) string         // how fast, in words; may be nil
}

func (s stage) title() string {
	if s.detail == "" {
		return s.name
	}
	return s.name + " " + s.detail
}

// tally is what a run did of a stage: units that it added, and cases it refused.
type tally struct{ added, refused int64 }

// stage runs one stage with its progress and keeps its wall time.
func (r *run) stage(ctx context.Context, s stage, work func(context.Context) (tally, error)) error {
	start := time.Now()
	before, t, err := s.follow(ctx, r.progress, work)
	r.clock.spent(s.name, time.Since(start), before > 0, t.added > 0)
	if t.added > 0 {
		r.clock.write(ctx, r.store)
		r.tidy(ctx)
	}
	return err
}

// follow runs work and shows how far it is, by what the store says is done. It
// returns the units that were done before.
func (s stage) follow(ctx context.Context, p Progress, work func(context.Context) (tally, error)) (before int64, t tally, err error) {
	meter := p.Stage(s.title(), s.total, s.unit)
	last, pace := int64(0), ""
	show := func() {
		n, err := s.done(ctx)
		if err != nil {
			return // a count that fails shows in the work itself
		}
		if n > last && s.pace != nil {
			pace = s.pace(ctx)
		}
		last = n
		meter.At(n, pace)
	}
	show()
	before = last
	stop := every(time.Second, show)
	t, err = work(ctx)
	stop()
	show()
	summary := s.summary(before, last, t, err)
	if pace != "" && t.added > 0 {
		summary += ", " + pace
	}
	meter.End(summary)
	return before, t, err
}

// summary is what a person reads when the stage has ended.
func (s stage) summary(before, done int64, t tally, err error) string {
	text := fmt.Sprintf("%d of %d %ss", done, s.total, s.unit)
	switch {
	case err != nil:
		return text + ", stopped"
	case t.added == 0 && done == before:
		text += " were done before; nothing to do"
	case t.added > 0 && t.added < done-t.refused:
		text += fmt.Sprintf(", %d of them now", t.added)
	}
	if t.refused > 0 {
		text += fmt.Sprintf(", %d rejected", t.refused)
	}
	return text
}

// every calls show at a distance until stop, which waits for the last call. Where a
// look takes long, as of ten thousand rows in a bucket, it is taken less often.
func every(distance time.Duration, show func()) (stop func()) {
	quit, gone := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(gone)
		tick := time.NewTimer(distance)
		defer tick.Stop()
		for {
			select {
			case <-quit:
				return
			case <-tick.C:
				start := time.Now()
				show()
				tick.Reset(max(distance, 20*time.Since(start)))
			}
		}
	}()
	return func() {
		close(quit)
		<-gone
	}
}
