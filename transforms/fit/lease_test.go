package fit

import (
	"testing"
	"time"
)

func TestLeasesLimitJobs(t *testing.T) {
	l := leases{held: map[string]*lease{}}
	a := l.acquire("a", 2)
	b := l.acquire("b", 2)
	if a == nil || b == nil {
		t.Fatal("two slots did not serve two jobs")
	}
	if l.acquire("a", 2) != nil {
		t.Error("a lease was given twice at once")
	}
	if l.acquire("c", 2) != nil {
		t.Error("a third job got a slot")
	}
	l.put("a", a, true)
	if l.acquire("c", 2) != nil {
		t.Error("a job lost its slot between two epochs")
	}
	if l.acquire("a", 2) != a {
		t.Error("a job did not get its own lease back")
	}
	l.put("a", a, false)
	if l.acquire("c", 2) == nil {
		t.Error("a slot that was given up serves nobody")
	}
	l.put("b", b, true)
	b.used = time.Now().Add(-2 * idle)
	if l.acquire("d", 2) == nil {
		t.Error("a job that went away keeps its slot for ever")
	}
}
