package pipelines

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"time"

	"noisystudent/io/store"
)

// timingsKey keeps what a clock knows in the store.
const timingsKey = "report/timings.json"

// clock knows how long each stage took, over all runs that worked on it: a loop that
// was interrupted and goes on tells what it took in all, and one that finds
// everything done tells what that took.
type clock struct {
	old    map[string]float64 // wall seconds by stage, of earlier runs
	now    map[string]float64 // of the stages of this run, and of earlier runs on them
	peak   int64              // bytes, of the last run that made something
	fresh  bool               // this run did
	closed bool               // the report was made: what is done for its page is not in it
}

// timings is the clock's file.
type timings struct {
	Seconds map[string]float64 `json:"seconds"`
	PeakRSS int64              `json:"peak_rss_bytes"`
}

func (c *clock) read(ctx context.Context, st *store.Store) error {
	c.now = map[string]float64{}
	data, err := st.Read(ctx, timingsKey)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var t timings
	if err := json.Unmarshal(data, &t); err != nil {
		return fmt.Errorf("pipelines: read %s: %w; remove the file", st.Address(timingsKey), err)
	}
	c.old, c.peak = t.Seconds, t.PeakRSS
	return nil
}

// spent adds the time of a stage. What earlier runs spent counts where something of
// theirs is still there; looking that nothing is missing is no work.
func (c *clock) spent(stage string, took time.Duration, standing, added bool) {
	sum, met := c.now[stage]
	if !met && (standing || !added) {
		sum = c.old[stage]
	}
	if added || sum == 0 {
		sum += took.Seconds()
	}
	c.now[stage] = sum
	c.fresh = c.fresh || added
}

// recall counts a stage that this run need not look at.
func (c *clock) recall(stage string) {
	if took, known := c.old[stage]; known {
		c.now[stage] = took
	}
}

// seconds of the stages that this run has met.
func (c *clock) seconds() map[string]float64 { return maps.Clone(c.now) }

// peakRSS is this process's, unless all it did was look.
func (c *clock) peakRSS() int64 {
	if c.fresh || c.peak == 0 {
		return PeakRSS()
	}
	return c.peak
}

// write keeps the clock for the next run. That it could not is no reason to stop.
func (c *clock) write(ctx context.Context, st *store.Store) {
	if c.closed {
		return
	}
	t := timings{Seconds: maps.Clone(c.old), PeakRSS: c.peakRSS()}
	if t.Seconds == nil {
		t.Seconds = map[string]float64{}
	}
	maps.Copy(t.Seconds, c.now)
	// Also after an interrupt: it is a small file.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	_ = writeJSON(ctx, st, timingsKey, t)
}
