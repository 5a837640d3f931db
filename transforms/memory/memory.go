// Package memory shares the memory of a process among the cases in work.
//
// The one idea: a runner starts as many bundles as it likes, and each holds a whole
// case. Work says beforehand, from a header, how many bytes it will take, and begins
// only while all that runs was predicted to stay under a budget: one count for the
// process, first come, first served.
package memory

import (
	"context"
	"fmt"
	"sync"

	"noisystudent/transforms/cases"
)

// admission is the memory promised to running work, and who waits for some.
type admission struct {
	mu      sync.Mutex
	bytes   int64
	waiting []*waiter
}

type waiter struct {
	bytes, budget int64
	ready         chan struct{}
}

var process admission

// Admit waits until need bytes fit the budget (0: Budget) beside all work that was
// admitted and not yet released. release may be called more than once. Work on a
// file that alone exceeds the budget is a *cases.Fault; other errors are those of ctx.
func Admit(ctx context.Context, file string, need, budget int64) (release func(), err error) {
	if budget <= 0 {
		budget = Budget()
	}
	if need > budget {
		return nil, &cases.Fault{
			Kind: cases.TooLarge, File: file, Remedy: "allow more memory with --memory, or crop or split the scan",
			Err: fmt.Errorf("%d bytes (%d MiB) are needed, %d MiB allowed", need, need>>20, budget>>20),
		}
	}
	return process.admit(ctx, &waiter{need, budget, make(chan struct{})})
}

func (a *admission) admit(ctx context.Context, w *waiter) (func(), error) {
	a.mu.Lock()
	a.waiting = append(a.waiting, w)
	a.next()
	a.mu.Unlock()
	release := sync.OnceFunc(func() { a.release(w) })
	select {
	case <-w.ready:
		return release, nil
	case <-ctx.Done():
		release()
		return nil, ctx.Err()
	}
}

// next admits from the front of the queue while there is room.
func (a *admission) next() {
	for len(a.waiting) > 0 && a.bytes+a.waiting[0].bytes <= a.waiting[0].budget {
		a.bytes += a.waiting[0].bytes
		close(a.waiting[0].ready)
		a.waiting = a.waiting[1:]
	}
}

// release gives the memory of a waiter back, or its place in the queue.
func (a *admission) release(w *waiter) {
	a.mu.Lock()
	defer a.mu.Unlock()
	select {
	case <-w.ready:
		a.bytes -= w.bytes
	default:
		for i, other := range a.waiting {
			if other == w {
				a.waiting = append(a.waiting[:i:i], a.waiting[i+1:]...)
				break
			}
		}
	}
	a.next()
}
