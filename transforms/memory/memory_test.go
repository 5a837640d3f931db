package memory

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"noisystudent/transforms/cases"
)

func TestAdmitKeepsToTheBudget(t *testing.T) {
	var a admission
	var used, most atomic.Int64
	var wg sync.WaitGroup
	for i := range 40 {
		need := int64(1 + i%5)
		wg.Go(func() {
			release, err := a.admit(t.Context(), &waiter{need, 7, make(chan struct{})})
			if err != nil {
				t.Error(err)
				return
			}
			now := used.Add(need)
			for m := most.Load(); now > m && !most.CompareAndSwap(m, now); m = most.Load() {
			}
			time.Sleep(time.Millisecond)
			used.Add(-need)
			release()
			release()
		})
	}
	wg.Wait()
	if most.Load() > 7 || a.bytes != 0 || len(a.waiting) != 0 {
		t.Errorf("most %d of 7, left %d bytes and %d waiting", most.Load(), a.bytes, len(a.waiting))
	}
}

func TestAdmitGivesItsPlaceBack(t *testing.T) {
	var a admission
	hold, _ := a.admit(t.Context(), &waiter{5, 5, make(chan struct{})})
	ctx, cancel := context.WithCancel(t.Context())
	failed := make(chan error)
	go func() {
		_, err := a.admit(ctx, &waiter{4, 5, make(chan struct{})})
		failed <- err
	}()
	cancel()
	if err := <-failed; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	hold()
	release, err := a.admit(t.Context(), &waiter{5, 5, make(chan struct{})})
	if err != nil {
		t.Fatal(err)
	}
	release()
}

func TestAdmitRefusesTheImpossible(t *testing.T) {
	var fault *cases.Fault
	if _, err := Admit(t.Context(), "ct.nii.gz", 2, 1); !errors.As(err, &fault) || fault.Kind != cases.TooLarge || fault.File != "ct.nii.gz" {
		t.Errorf("got %v", err)
	}
	if Budget() < 1<<28 {
		t.Errorf("a budget of %d bytes", Budget())
	}
}
