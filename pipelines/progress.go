package pipelines

import (
	"context"
	"time"
)

// Progress shows long work to a person. What is done is read from the store, not
// from the workers, so that it is the same for every runner and after a restart.
type Progress interface {
	// Stage begins a stage of so many units, such as "case" or "step".
	Stage(name string, total int64, unit string) Meter
	// Note shows a line of text.
	Note(text string)
}

// Meter is the progress of one stage.
type Meter interface {
	At(done int64)
	End()
}

// silent is the Progress of callers that want none.
type silent struct{}

func (silent) Stage(string, int64, string) Meter { return silent{} }
func (silent) Note(string)                       {}
func (silent) At(int64)                          {}
func (silent) End()                              {}

// follow shows a stage while work runs; count says how far it is.
func follow(ctx context.Context, p Progress, name string, total int64, unit string, count func(context.Context) (int64, error), work func(context.Context) error) error {
	meter := p.Stage(name, total, unit)
	show := func() {
		if n, err := count(ctx); err == nil { // a count that fails shows in the work itself
			meter.At(n)
		}
	}
	show()
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
				show()
			}
		}
	}()
	err := work(ctx)
	close(stop)
	<-stopped
	show()
	meter.End()
	return err
}
