package resample

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"

	"noisystudent/io/volume"
	"noisystudent/transforms/plan"
)

// A runner starts as many bundles as it likes, and each holds a whole case. Admit
// lets work begin only while the memory that all running work was predicted to
// take stays under a budget: one count for the process, first come, first served.

// ErrBudget says that one piece of work alone exceeds the budget.
var ErrBudget = errors.New("more memory than the budget")

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

// Admit waits until need bytes fit the budget (0: DefaultBudget) beside all work
// that was admitted and not yet released. release may be called more than once.
// Work that alone exceeds the budget is ErrBudget; other errors are those of ctx.
func Admit(ctx context.Context, need, budget int64) (release func(), err error) {
	if budget <= 0 {
		budget = DefaultBudget()
	}
	if need > budget {
		return nil, fmt.Errorf("resample: %d MiB are needed, %d MiB allowed: %w", need>>20, budget>>20, ErrBudget)
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

// PredictBytes is what preprocessing a scan of a grid takes at its peak: the scan
// while its axes are put in order (twice in float32), or the scan and its labels
// beside the result, whose planes are all made before they go through z.
func PredictBytes(g volume.Geometry, p plan.Plan) int64 {
	const fixed = 64 << 20 // a shard being packed, positions, lines
	source := float64(g.Voxels())
	result, planes := source, source
	for a := range 3 {
		ratio := g.Spacing[a] / p.Spacing[a]
		result *= ratio
		if a == 0 {
			ratio = max(ratio, 1)
		}
		planes *= ratio
	}
	need := max(8*source, 6*source+4*planes+result) + fixed
	return int64(min(need, math.MaxInt64/2))
}
