package manifest

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"noisystudent/io/store"
)

// ErrLost is the cause of a context whose lock another run has taken.
var ErrLost = errors.New("manifest: another run has taken the lock")

// BusyError says that a lock is held.
type BusyError struct{ Holder Holder }

func (e *BusyError) Error() string {
	return fmt.Sprintf("manifest: %s is at work since %s", e.Holder.Name(), e.Holder.Since.Format(time.RFC3339))
}

// Holder is what a lock object says about whoever took it last.
type Holder struct {
	Owner    string    `json:"owner"` // drawn at random by each run
	Host     string    `json:"host"`
	Process  int       `json:"process"`
	Since    time.Time `json:"since"`   // by the holder's clock, as is Expires
	Expires  time.Time `json:"expires"` // unless it is renewed before
	Released bool      `json:"released"`
}

// Name says who it is, for people.
func (h Holder) Name() string { return fmt.Sprintf("process %d on %s", h.Process, h.Host) }

// Lock is the right of one run to work on something in a store, kept in
// ledger/locks/<name>.json by writes that match the object's generation.
//
// It expires when it was not renewed for Expiry. That is judged by the times at which
// the store says that objects were written, never by the times that hosts write into
// them; and because a folder's times come from the hosts that write to it, an expired
// lock is taken only after it has also stood still for a while by the taker's own
// clock. A holder that lives renews it in that time, however wrong anybody's clock is.
type Lock struct {
	st         *store.Store
	key        string
	expiry     time.Duration
	holder     Holder
	generation int64
}

// LockExpiry is how long a lock stands without renewal.
const LockExpiry = time.Minute

// renewals is how often a lock is renewed before it would expire; it must stand still
// for twice the time between two of them before it is taken from its holder.
const renewals = 4

// Acquire takes a lock, or waits for it so long. The error of a lock that is held is a
// *BusyError. The expiry is LockExpiry; tests give less.
func Acquire(ctx context.Context, st *store.Store, name string, expiry, wait time.Duration) (*Lock, error) {
	host, _ := os.Hostname()
	l := &Lock{st: st, key: rowKey("locks", name), expiry: expiry, holder: Holder{Owner: rand.Text(), Host: host, Process: os.Getpid()}}
	for end := time.Now().Add(wait); ; {
		err := l.try(ctx)
		var busy *BusyError
		if err == nil || !errors.As(err, &busy) || time.Now().After(end) {
			return l, err
		}
		if err := pause(ctx, min(expiry/renewals, max(time.Until(end), time.Millisecond))); err != nil {
			return nil, err
		}
	}
}

// HolderOf returns what a lock's object says; the zero Holder where there is none.
func HolderOf(ctx context.Context, st *store.Store, name string) (Holder, error) {
	h, _, err := (&Lock{st: st, key: rowKey("locks", name)}).read(ctx)
	return h, err
}

// try takes the lock where it is free, released or expired.
func (l *Lock) try(ctx context.Context) error {
	h, info, err := l.read(ctx)
	if err != nil {
		return err
	}
	if info.Generation != 0 && !h.Released {
		dead, err := l.dead(ctx, info)
		if err != nil {
			return err
		}
		if !dead {
			return &BusyError{h}
		}
	}
	l.generation = info.Generation
	l.holder.Since = time.Now().UTC()
	if err := l.renew(ctx); !errors.Is(err, store.ErrGeneration) {
		return err
	}
	h, _, err = l.read(ctx) // somebody was quicker
	return errors.Join(err, &BusyError{h})
}

// read returns the lock's object; generation 0 where there is none. One that cannot
// be decoded, such as of a torn disk, is nobody's.
func (l *Lock) read(ctx context.Context) (h Holder, info store.Info, err error) {
	info, err = l.st.Stat(ctx, l.key) // before the content: see fit.ReadLatest
	if errors.Is(err, fs.ErrNotExist) {
		return h, store.Info{}, nil
	}
	if err != nil {
		return h, info, err
	}
	data, err := l.st.Read(ctx, l.key)
	if err == nil && json.Unmarshal(data, &h) != nil {
		h = Holder{Released: true}
	}
	return h, info, err
}

// dead reports whether a lock has expired and stands still.
func (l *Lock) dead(ctx context.Context, info store.Info) (bool, error) {
	old, err := l.old(ctx, info)
	if err != nil || !old {
		return false, err
	}
	if err := pause(ctx, 2*l.expiry/renewals); err != nil {
		return false, err
	}
	_, later, err := l.read(ctx)
	return later.Generation == info.Generation, err
}

// old reports whether the lock was written longer ago than it lasts. What time it is
// the store tells: it is asked to write something.
func (l *Lock) old(ctx context.Context, info store.Info) (bool, error) {
	key := rowKey("locks", "now")
	if err := l.st.Write(ctx, key, []byte("{}\n")); err != nil {
		return false, err
	}
	now, err := l.st.Stat(ctx, key)
	return now.ModTime.Sub(info.ModTime) > l.expiry, err
}

// renew writes the lock if it still is at the generation that this run wrote.
func (l *Lock) renew(ctx context.Context) error {
	l.holder.Expires = time.Now().UTC().Add(l.expiry)
	data, err := Encode(l.holder)
	if err != nil {
		return err
	}
	generation, err := l.st.WriteIf(ctx, l.key, data, l.generation)
	if errors.Is(err, store.ErrGeneration) {
		// A bucket may have taken a write whose answer was lost, so that it was sent twice.
		h, info, failure := l.read(ctx)
		if failure != nil || h.Owner != l.holder.Owner {
			return err
		}
		generation, err = info.Generation, nil
	}
	if err == nil {
		l.generation = generation
	}
	return err
}

// Hold renews the lock until release, which gives it up. The context that it returns
// ends with cause ErrLost where the lock is another's, or could not be renewed for as
// long as it lasts.
func (l *Lock) Hold(ctx context.Context) (held context.Context, release func() error) {
	held, cancel := context.WithCancelCause(ctx)
	quit, gone := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(gone)
		tick := time.NewTicker(l.expiry / renewals)
		defer tick.Stop()
		for renewed := time.Now(); ; {
			select {
			case <-quit:
				return
			case <-tick.C:
			}
			err := l.renew(ctx)
			switch {
			case err == nil:
				renewed = time.Now()
			case errors.Is(err, store.ErrGeneration) || time.Since(renewed) > l.expiry:
				cancel(fmt.Errorf("%w: %w", ErrLost, err))
				return
			}
		}
	}()
	return held, func() error {
		close(quit)
		<-gone
		lost := errors.Is(context.Cause(held), ErrLost)
		cancel(nil)
		if lost {
			return nil // it is another's to release
		}
		// Also after an interrupt: the next run need not wait.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		l.holder.Released = true
		return l.renew(ctx)
	}
}

// pause waits.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
