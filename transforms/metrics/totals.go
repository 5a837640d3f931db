package metrics

import (
	"maps"
	"slices"
	"sync"
)

// Buckets are the upper bounds of histograms.
var (
	SecondsBuckets = []float64{0.01, 0.1, 0.5, 1, 2, 5, 10, 20, 60, 120, 300, 600, 1800, 3600}
	BytesBuckets   = []float64{1 << 16, 1 << 20, 1 << 22, 1 << 24, 1 << 26, 1 << 28, 1 << 30, 1 << 32}
)

// Histogram counts values up to bounds.
type Histogram struct {
	Count  uint64
	Sum    float64
	Bounds []float64
	UpTo   []uint64 // values not above each bound
}

func (h *Histogram) add(v float64) {
	h.Count++
	h.Sum += v
	for i, bound := range h.Bounds {
		if v <= bound {
			h.UpTo[i]++
		}
	}
}

func newHistogram(bounds []float64) Histogram {
	return Histogram{Bounds: bounds, UpTo: make([]uint64, len(bounds))}
}

// Total is what a stage has done in this process.
type Total struct {
	Stage    string
	Done     int64 // by this process
	Standing int64 // that the ledger knew
	Rejected map[string]int64
	Forwards int64
	Epochs   int64
	Seconds  Histogram // of cases that were worked on, or of epochs
	Bytes    Histogram // of the files of those cases
}

// Refused is the sum of Rejected.
func (t Total) Refused() (n int64) {
	for _, v := range t.Rejected {
		n += v
	}
	return n
}

// totals are those of a process by stage.
type totals struct {
	mu sync.Mutex
	by map[string]*Total
}

var process = totals{by: map[string]*Total{}}

func (t *totals) stage(name string) *Total {
	s := t.by[name]
	if s == nil {
		s = &Total{Stage: name, Rejected: map[string]int64{}, Seconds: newHistogram(SecondsBuckets), Bytes: newHistogram(BytesBuckets)}
		t.by[name] = s
	}
	return s
}

func (t *totals) add(e Entry) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.stage(e.Stage)
	switch {
	case e.Reason != "":
		s.Rejected[e.Reason]++
	case e.Did:
		s.Done++
	default:
		s.Standing++
	}
	s.Forwards += e.Forwards
	if e.Did {
		s.Seconds.add(e.Took.Seconds())
		s.Bytes.add(float64(e.Bytes))
	}
}

func (t *totals) addEpoch(stage string, seconds float64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.stage(stage)
	s.Epochs++
	s.Seconds.add(seconds)
}

// Totals returns what all stages have done in this process, by name.
func Totals() (list []Total) {
	process.mu.Lock()
	defer process.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(process.by)) {
		t := *process.by[name]
		t.Rejected = maps.Clone(t.Rejected)
		t.Seconds.UpTo, t.Bytes.UpTo = slices.Clone(t.Seconds.UpTo), slices.Clone(t.Bytes.UpTo)
		list = append(list, t)
	}
	return list
}

// Reset forgets all totals: a command counts its own.
func Reset() {
	process.mu.Lock()
	defer process.mu.Unlock()
	clear(process.by)
}
