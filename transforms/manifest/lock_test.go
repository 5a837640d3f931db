package manifest

import (
	"context"
	"errors"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"noisystudent/io/store"
	"noisystudent/io/store/storetest"
)

const short = 200 * time.Millisecond

func acquire(t *testing.T, st *store.Store, wait time.Duration) (*Lock, error) {
	t.Helper()
	return Acquire(t.Context(), st, "work", short, wait)
}

// places are stores that keep locks.
func places(t *testing.T) map[string]*store.Store {
	storetest.Bucket(t, "locks")
	return map[string]*store.Store{
		"memory": open(t, "mem://lock-"+t.Name()), "folder": open(t, filepath.Join(t.TempDir(), "store")), "bucket": open(t, "gs://locks/"+t.Name()),
	}
}

func TestLock(t *testing.T) {
	for name, st := range places(t) {
		first, err := acquire(t, st, 0)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		held, release := first.Hold(t.Context())
		var busy *BusyError
		if _, err := acquire(t, st, 0); !errors.As(err, &busy) || busy.Holder.Owner != first.holder.Owner || busy.Holder.Host == "" {
			t.Errorf("%s: held by another: %v", name, err)
		}
		if _, err := acquire(t, st, 3*short); !errors.As(err, &busy) {
			t.Errorf("%s: a holder that renews lost its lock after its expiry: %v", name, err)
		}
		time.AfterFunc(short/2, func() {
			if err := release(); err != nil {
				t.Error(err)
			}
		})
		second, err := acquire(t, st, 10*short)
		if err != nil {
			t.Errorf("%s: released: %v", name, err)
		}
		if held.Err() == nil || errors.Is(context.Cause(held), ErrLost) {
			t.Errorf("%s: the first context ended with %v", name, context.Cause(held))
		}
		if h, err := HolderOf(t.Context(), st, "work"); err != nil || h.Owner != second.holder.Owner || h.Released {
			t.Errorf("%s: %+v, %v", name, h, err)
		}
	}
}

// A holder that died leaves a lock that the next one gets once it has expired.
func TestLockOfTheDead(t *testing.T) {
	for name, st := range places(t) {
		dead, err := acquire(t, st, 0)
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		if _, err := acquire(t, st, 20*short); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if took := time.Since(start); took < short {
			t.Errorf("%s: taken after %v, before it expired", name, took)
		}
		// Should it live after all, it finds out and stops.
		held, release := dead.Hold(t.Context())
		select {
		case <-held.Done():
		case <-time.After(10 * short):
		}
		if !errors.Is(context.Cause(held), ErrLost) {
			t.Errorf("%s: the late holder goes on: %v", name, context.Cause(held))
		}
		if err := release(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		var busy *BusyError
		if _, err := acquire(t, st, 0); !errors.As(err, &busy) {
			t.Errorf("%s: the late holder released another's lock: %v", name, err)
		}
	}
}

// Where the holder's clock is minutes behind, its lock looks old at once. It is not
// taken as long as it is renewed.
func TestLockUnderClockSkew(t *testing.T) {
	for name, st := range places(t) {
		l, err := acquire(t, st, 0)
		if err != nil {
			t.Fatal(err)
		}
		other := &Lock{st: st, key: l.key, expiry: short}
		dead := func() bool {
			t.Helper()
			_, info, err := other.read(t.Context())
			info.ModTime = info.ModTime.Add(-5 * time.Minute)
			dead, err2 := other.dead(t.Context(), info)
			if err != nil || err2 != nil {
				t.Fatal(err, err2)
			}
			return dead
		}
		_, release := l.Hold(t.Context())
		if dead() {
			t.Errorf("%s: a holder that renews counts as dead", name)
		}
		if err := release(); err != nil {
			t.Fatal(err)
		}
		if !dead() {
			t.Errorf("%s: a lock that nobody renews counts as alive", name)
		}
	}
}

func TestLockIsOnes(t *testing.T) {
	for name, st := range places(t) {
		var got atomic.Int32
		var group sync.WaitGroup
		for range 20 {
			group.Go(func() {
				if _, err := Acquire(t.Context(), st, "work", LockExpiry, 0); err == nil { // short ones expire on a busy machine
					got.Add(1)
				}
			})
		}
		group.Wait()
		if got.Load() != 1 {
			t.Errorf("%s: %d runs got the lock", name, got.Load())
		}
	}
}

// A bucket's answer may get lost on the way, so that the client sends a write twice.
func TestLockRenewedTwice(t *testing.T) {
	st := open(t, "mem://lock-twice")
	l, err := acquire(t, st, 0)
	if err != nil {
		t.Fatal(err)
	}
	before := l.generation
	if err := l.renew(t.Context()); err != nil {
		t.Fatal(err)
	}
	l.generation = before // as if the answer had not come
	if err := l.renew(t.Context()); err != nil {
		t.Errorf("its own write counts as another's: %v", err)
	}
	if err := l.renew(t.Context()); err != nil {
		t.Errorf("then: %v", err)
	}
}
