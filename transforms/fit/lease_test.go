package fit

import (
	"runtime"
	"testing"
	"time"
)

// twice asks as a job does that comes back.
func (l *leases) twice(name string, slots int) *lease {
	if h, _ := l.acquire(name, slots); h != nil {
		return h
	}
	h, _ := l.acquire(name, slots)
	return h
}

func TestLeasesLimitJobs(t *testing.T) {
	l := newLeases()
	a, b := l.twice("a", 2), l.twice("b", 2)
	if a == nil || b == nil {
		t.Fatal("two slots did not serve two jobs")
	}
	if l.twice("a", 2) != nil {
		t.Error("a lease was given twice at once")
	}
	if l.twice("c", 2) != nil {
		t.Error("a third job got a slot")
	}
	l.put("a", a, true)
	if l.twice("c", 2) != nil {
		t.Error("a job lost its slot between two epochs")
	}
	if h, _ := l.acquire("a", 2); h != a {
		t.Error("a job did not get its own lease back")
	}
	l.put("a", a, false)
	if l.twice("c", 2) == nil {
		t.Error("a slot that was given up serves nobody")
	}
}

func TestJobsOfOneBundleComeBackApart(t *testing.T) {
	l := newLeases()
	seen := map[time.Duration]bool{}
	for _, name := range []string{"a", "b", "c"} {
		h, wait := l.acquire(name, 3)
		if h != nil || wait <= 0 || seen[wait] {
			t.Errorf("%s: lease %v, wait %v, seen %v", name, h, wait, seen)
		}
		seen[wait] = true
	}
	if _, wait := l.acquire("d", 3); wait != busy {
		t.Errorf("a job without a slot waits %v, want %v", wait, busy)
	}
	for _, name := range []string{"c", "a", "b"} {
		if h, _ := l.acquire(name, 3); h == nil {
			t.Errorf("%s came back and got no lease", name)
		}
	}
}

// A job that waits counts until it has gone away.
func TestLeasesCountJobs(t *testing.T) {
	l := newLeases()
	a := l.twice("a", 1)
	l.acquire("b", 1)
	if n := l.jobs(); n != 2 {
		t.Errorf("one trains and one waits: %d jobs", n)
	}
	l.put("a", a, false)
	if l.twice("b", 1) == nil || l.jobs() != 1 {
		t.Errorf("one is left: %d jobs", l.jobs())
	}
	l.acquire("c", 1)
	l.waiting["c"] = time.Now().Add(-time.Minute)
	if n := l.jobs(); n != 1 {
		t.Errorf("one went away: %d jobs", n)
	}
}

func TestOptionsAmongJobs(t *testing.T) {
	for _, c := range []struct{ threads, slots, jobs, want int }{
		{8, 5, 5, 1}, {8, 5, 3, 2}, {8, 5, 1, 8}, {2, 5, 5, 1}, {8, 2, 5, 4}, {8, 0, 5, 8}, {1, 1, 0, 1},
	} {
		if got := (Options{Threads: c.threads, Jobs: c.slots}).among(c.jobs).Threads; got != c.want {
			t.Errorf("%d threads among %d jobs with %d slots: %d each, want %d", c.threads, c.jobs, c.slots, got, c.want)
		}
	}
	if got := (Options{}).among(1).Threads; got != runtime.GOMAXPROCS(0) {
		t.Errorf("a job alone has %d threads of %d", got, runtime.GOMAXPROCS(0))
	}
}

func TestIdleJobsLoseTheirSlot(t *testing.T) {
	l := newLeases()
	a, b := l.twice("a", 2), l.twice("b", 2)
	l.put("a", a, true)
	l.put("b", b, true)
	a.since = time.Now().Add(-2 * idle)
	b.took = time.Minute // a may be waiting behind b in one bundle
	if h, wait := l.acquire("c", 2); h != nil || wait != busy {
		t.Error("a job lost its slot while it waited for another one's epoch")
	}
	a.since = time.Now().Add(-2*time.Minute - 2*idle)
	if l.twice("c", 2) == nil {
		t.Error("a job that went away keeps its slot for ever")
	}
	if l.held["a"] != nil || l.held["b"] == nil {
		t.Error("the wrong job lost its slot")
	}
	if h, _ := l.acquire("a", 2); h != nil {
		t.Error("the job that lost its slot still trains")
	}
}

func TestPutFreesTheSlotWhateverHappens(t *testing.T) {
	l := newLeases()
	a := l.twice("a", 1)
	a.session = &session{cancel: func() { panic("a device that is lost") }}
	func() {
		defer func() { recover() }()
		l.put("a", a, false)
	}()
	if l.twice("b", 1) == nil {
		t.Error("a slot is lost for ever")
	}
}
