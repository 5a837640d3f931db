package pipelines

import (
	"context"
	"os"
	"strings"
	"sync"
	"time"

	"noisystudent/io/store"
	"noisystudent/transforms/manifest"
)

// runningStage is the ledger's folder of what is being worked on.
const runningStage = "running"

// Running is a stage that some process works on, ledger/running/<stage>.json. The
// process writes it while it works and takes it away at the end; one that died leaves
// it, and it grows old.
type Running struct {
	Stage   string    `json:"stage"`
	Unit    string    `json:"unit"`
	Host    string    `json:"host"`
	Process int       `json:"process"`
	Began   time.Time `json:"began"` // by that host's clock, as is At
	At      time.Time `json:"at"`
	First   int64     `json:"first"` // units that were done before
	Done    int64     `json:"done"`
	Total   int64     `json:"total"`
}

// Left is the time that is left at the pace so far; 0 where there is none yet.
func (r Running) Left() time.Duration {
	done := r.Done - r.First
	if done <= 0 {
		return 0
	}
	return time.Duration(float64(r.At.Sub(r.Began)) / float64(done) * float64(r.Total-r.Done))
}

// beat is how often a process says in the store what it does.
const beat = 10 * time.Second

// beating is a Progress that also tells the store, for `noisystudent status`. A stage
// shorter than a beat leaves no trace; that the store cannot be told is no reason to
// stop.
type beating struct {
	Progress
	st    *store.Store
	every time.Duration
}

func (b beating) Stage(name string, total int64, unit string) Meter {
	host, _ := os.Hostname()
	now := time.Now().UTC()
	return &beatingMeter{
		Meter: b.Progress.Stage(name, total, unit), beating: b, told: now, first: true,
		is: Running{Stage: name, Unit: unit, Host: host, Process: os.Getpid(), Began: now, Total: total},
	}
}

type beatingMeter struct {
	Meter
	beating
	mu      sync.Mutex
	is      Running
	told    time.Time
	first   bool
	written bool
}

func (m *beatingMeter) At(done int64, pace string) {
	m.Meter.At(done, pace)
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.first {
		m.first, m.is.First = false, done
	}
	m.is.Done, m.is.At = done, time.Now().UTC()
	if m.is.At.Sub(m.told) < m.every {
		return
	}
	m.told = m.is.At
	ctx, cancel := context.WithTimeout(context.Background(), beat)
	defer cancel()
	m.written = manifest.Put(ctx, m.st, runningStage, m.id(), m.is) == nil || m.written
}

func (m *beatingMeter) End(summary string) {
	m.Meter.End(summary)
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.written {
		ctx, cancel := context.WithTimeout(context.Background(), beat)
		defer cancel()
		_ = m.st.Remove(ctx, "ledger/"+runningStage+"/"+m.id()+".json")
	}
}

func (m *beatingMeter) id() string { return strings.ReplaceAll(m.is.Stage, " ", "_") }
