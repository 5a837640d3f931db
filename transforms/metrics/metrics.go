// Package metrics counts what stages do to cases: how many, for how long, how large,
// and why some were refused.
//
// The one idea: the context of an element's work carries a Work, to which whoever does
// something adds; when the element is done its stage books it, once, in three places:
// Beam's metrics (see manifest.Outcomes), the totals of this process, which
// /metrics and the last line of a command show, and one line of the log. On a cluster
// the totals of the submitting process stay zero: there the runner's metrics are to be
// asked.
//
// A log line names the case by its id and holds no path, no file name and no text of
// an error, which might.
package metrics

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"
)

// Names of Beam's counters and distributions. Their namespace is the stage. Beam's
// distributions hold whole numbers, hence milliseconds.
const (
	Cases        = "cases"    // done, now or before
	Standing     = "standing" // of them, that the ledger knew to be done
	Rejected     = "rejected" // refused; also Rejected + "." + reason
	Forwards     = "forwards" // tiles that a network has computed
	Milliseconds = "milliseconds"
	Bytes        = "bytes" // of the files that were read
	Epochs       = "epochs"
	Device       = "device"       // Device + "." + name: elements that it has computed
	CardBytes    = "card_bytes"   // the most of a card's memory that a worker's networks had
	CardPercent  = "card_percent" // of the moments before, in which a card was computing
)

// Work is what has been done for one element so far. It may be added to by several
// goroutines.
type Work struct {
	began    time.Time
	did      atomic.Bool
	forwards atomic.Int64
	bytes    atomic.Int64
	device   atomic.Value // string
}

type workKey struct{}

// Begin gives the context in which an element's work is counted.
func Begin(ctx context.Context) context.Context {
	return context.WithValue(ctx, workKey{}, &Work{began: time.Now()})
}

func of(ctx context.Context) *Work {
	w, _ := ctx.Value(workKey{}).(*Work)
	return w
}

// Did notes that work was done, not only looked up.
func Did(ctx context.Context) {
	if w := of(ctx); w != nil {
		w.did.Store(true)
	}
}

// On notes by name the device that computes.
func On(ctx context.Context, device string) {
	if w := of(ctx); w != nil {
		w.device.Store(device)
	}
}

// AddForward notes that a network has computed a tile.
func AddForward(ctx context.Context) {
	if w := of(ctx); w != nil {
		w.forwards.Add(1)
	}
}

// AddBytes notes the size of a file.
func AddBytes(ctx context.Context, n int64) {
	if w := of(ctx); w != nil {
		w.bytes.Add(n)
	}
}

// Entry is a case as it is booked.
type Entry struct {
	Stage, Case string
	Reason      string // why it was refused; empty: it was not
	Did         bool   // false: the ledger knew
	Forwards    int64
	Bytes       int64
	Took        time.Duration
}

// Book books a case that is done, or refused for a reason, with all the work that the
// context has counted since it began or since the case before.
func Book(ctx context.Context, stage, id, reason string) Entry {
	e := Entry{Stage: stage, Case: id, Reason: reason}
	if w := of(ctx); w != nil {
		now := time.Now()
		e.Did, e.Forwards, e.Bytes, e.Took = w.did.Swap(false), w.forwards.Swap(0), w.bytes.Swap(0), now.Sub(w.began)
		w.began = now
	}
	process.add(e)
	logger().LogAttrs(ctx, slog.LevelInfo, "case", e.attrs()...)
	return e
}

func (e Entry) attrs() []slog.Attr {
	outcome := "done"
	switch {
	case e.Reason != "":
		outcome = "rejected"
	case !e.Did:
		outcome = "standing"
	}
	list := []slog.Attr{slog.String("stage", e.Stage), slog.String("case", e.Case), slog.String("outcome", outcome)}
	if e.Reason != "" {
		list = append(list, slog.String("reason", e.Reason))
	}
	if e.Did {
		list = append(list, slog.Float64("seconds", e.Took.Seconds()), slog.Int64("bytes", e.Bytes), slog.Int64("forwards", e.Forwards))
	}
	return list
}

// BookEpoch books an epoch of training.
func BookEpoch(ctx context.Context, stage, model string, epoch int64, seconds float64) {
	process.addEpoch(stage, seconds)
	logger().LogAttrs(ctx, slog.LevelInfo, "epoch", slog.String("stage", stage), slog.String("model", model), slog.Int64("epoch", epoch), slog.Float64("seconds", seconds))
}

var chosen atomic.Pointer[slog.Logger]

// SetLog sends the lines of this process to a logger; nil: to slog's default, which in
// a worker is Beam's.
func SetLog(l *slog.Logger) { chosen.Store(l) }

func logger() *slog.Logger {
	if l := chosen.Load(); l != nil {
		return l
	}
	return slog.Default()
}
