package fit

import (
	"sync"
	"time"
)

// idle is how long a job that is not training keeps its slot while others wait:
// its pipeline has failed or moved to another worker. Its checkpoint is durable.
const idle = 10 * time.Second

// leases limits how many jobs train at once in this process. A job keeps its
// lease, and with it its network in memory, from its first epoch to its last:
// folds that took turns would exchange models at every epoch.
//
// Acquire never waits. A bundle that blocked here could hold the only worker
// thread that the lease's holder needs to go on.
type leases struct {
	mu   sync.Mutex
	held map[string]*lease
}

// lease is one slot; busy while a bundle trains with it.
type lease struct {
	session *session // nil before the first epoch
	busy    bool
	used    time.Time
}

var process = leases{held: map[string]*lease{}}

// acquire returns the lease of a job, or nil where it is in use or all slots are taken.
func (l *leases) acquire(name string, slots int) *lease {
	l.mu.Lock()
	defer l.mu.Unlock()
	own := l.held[name]
	if own == nil {
		if len(l.held) >= slots && !l.evict() {
			return nil
		}
		own = &lease{}
		l.held[name] = own
	}
	if own.busy {
		return nil
	}
	own.busy = true
	return own
}

// evict ends the lease of one job that is idle.
func (l *leases) evict() bool {
	for name, held := range l.held {
		if !held.busy && time.Since(held.used) > idle {
			held.end()
			delete(l.held, name)
			return true
		}
	}
	return false
}

func (h *lease) end() {
	if h.session != nil {
		h.session.close()
		h.session = nil
	}
}

// put returns a lease after use; with keep false the job gives its slot up.
func (l *leases) put(name string, h *lease, keep bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !keep {
		h.end()
		delete(l.held, name)
		return
	}
	h.busy, h.used = false, time.Now()
}
