package fit

import (
	"errors"
	"fmt"
)

// Epochs is the restriction of one job: the half-open range still to be trained.
type Epochs struct{ Start, End int64 }

// commit is the second position that an epoch claims: "it is durable now".
type commit int64

// abandon is the position of a job that cannot go on: what is left is given up.
type abandon struct{}

// tracker walks epochs strictly in order. A runner may ask it to split at any
// moment; it gives the rest away only between epochs and only as a whole, so that
// a residual never starts before its predecessor's checkpoint exists. The stock
// offset tracker was split in mid-training and trained epoch 4 before epoch 1.
type tracker struct {
	rest     Epochs
	next     int64 // first epoch not claimed
	inFlight bool
	stopped  bool
	err      error
}

func newTracker(r Epochs) *tracker { return &tracker{rest: r, next: r.Start} }

func (t *tracker) TryClaim(position any) bool {
	switch p := position.(type) {
	case int64:
		return t.claimEpoch(p)
	case commit:
		t.inFlight = false
		return true
	case abandon:
		t.inFlight, t.next = false, t.rest.End
		return true
	}
	t.err = errors.New("fit: claim: position is neither an epoch nor a commit")
	return false
}

func (t *tracker) claimEpoch(epoch int64) bool {
	if t.inFlight || epoch < t.next {
		t.err = fmt.Errorf("fit: epoch %d claimed out of order (next %d, in flight %v)", epoch, t.next, t.inFlight)
		t.stopped = true
		return false
	}
	if epoch >= t.rest.End {
		t.next, t.stopped = t.rest.End, true
		return false
	}
	t.next, t.inFlight = epoch+1, true
	return true
}

func (t *tracker) GetError() error { return t.err }

func (t *tracker) TrySplit(fraction float64) (primary, residual any, err error) {
	if t.stopped || t.inFlight || t.next >= t.rest.End || fraction > 0 {
		return t.rest, nil, nil
	}
	rest := Epochs{Start: t.next, End: t.rest.End}
	t.rest.End = t.next
	return t.rest, rest, nil
}

func (t *tracker) GetProgress() (done, remaining float64) {
	return float64(t.next - t.rest.Start), float64(t.rest.End - t.next)
}

func (t *tracker) IsDone() bool        { return t.err == nil && t.next >= t.rest.End }
func (t *tracker) GetRestriction() any { return t.rest }
func (t *tracker) IsBounded() bool     { return true }
