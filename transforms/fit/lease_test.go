package fit

import (
	"testing"
	"time"
)

func newLeases() *leases { return &leases{held: map[string]*lease{}} }

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
