package fit

import (
	"maps"
	"sync"
	"time"
)

// leases limits how many jobs train at once in this process. A job keeps its
// lease, and with it its network in memory, from its first epoch to its last:
// folds that took turns would exchange models at every epoch.
//
// Acquire never waits. A bundle that blocked here could hold the only worker
// thread that the lease's holder needs to go on.
type leases struct {
	mu      sync.Mutex
	held    map[string]*lease
	waiting map[string]time.Time // jobs without a slot, by when they last asked
}

// lease is one slot; busy while a bundle trains with it.
type lease struct {
	session *session // nil before the first epoch
	busy    bool
	since   time.Time     // when it was last taken or put back
	took    time.Duration // how long its last holder was busy
}

var process = newLeases()

func newLeases() *leases {
	return &leases{held: map[string]*lease{}, waiting: map[string]time.Time{}}
}

const (
	// busy is how long a job waits before it asks again for a slot.
	busy = 200 * time.Millisecond
	// apart is the least time between the returns of two jobs that got slots in one bundle.
	apart = 30 * time.Millisecond
	// idle is how long a job that is not training keeps its slot while others wait,
	// beside the time that others may have trained ahead of it in one bundle. Its
	// pipeline has failed or moved to another worker, and its checkpoint is durable.
	idle = 10 * time.Second
)

// acquire returns the lease of a job, or nil and when to ask again: where all slots
// are taken, where the lease is in use, and the first time that a job asks. A runner
// delivers all jobs in one bundle, which trains them one after the other; those that
// come back at times of their own come in bundles of their own.
func (l *leases) acquire(name string, slots int) (*lease, time.Duration) {
	own, stale, wait := l.take(name, slots)
	if stale != nil {
		stale.end()
	}
	return own, wait
}

func (l *leases) take(name string, slots int) (own, stale *lease, wait time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if own = l.held[name]; own != nil && own.busy {
		return nil, nil, busy
	}
	if own == nil {
		if len(l.held) >= slots {
			if stale = l.evict(); stale == nil {
				l.waiting[name] = time.Now()
				return nil, nil, busy
			}
		}
		delete(l.waiting, name)
		l.held[name] = &lease{since: time.Now()}
		return nil, stale, time.Duration(len(l.held)) * apart
	}
	own.busy, own.since = true, time.Now()
	return own, nil, 0
}

// jobs counts those that have a slot and those that have just asked for one.
func (l *leases) jobs() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	maps.DeleteFunc(l.waiting, func(_ string, asked time.Time) bool { return time.Since(asked) > 5*busy })
	return len(l.held) + len(l.waiting)
}

// evict takes the lease of one job that is idle away. Its session is the caller's to end.
func (l *leases) evict() *lease {
	var longest time.Duration
	for _, h := range l.held {
		longest = max(longest, h.took)
	}
	patience := idle + time.Duration(len(l.held))*longest
	for name, h := range l.held {
		if !h.busy && time.Since(h.since) > patience {
			delete(l.held, name)
			return h
		}
	}
	return nil
}

// put returns a lease after use; with keep false the job gives its slot up.
func (l *leases) put(name string, h *lease, keep bool) {
	defer func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if !keep {
			delete(l.held, name)
		}
		h.busy, h.took, h.since = false, time.Since(h.since), time.Now()
	}()
	if !keep {
		h.end() // still busy, so that the next job does not take its memory before it is free
	}
}

func (h *lease) end() {
	if h.session != nil {
		h.session.close()
		h.session = nil
	}
}
