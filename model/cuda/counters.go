package cuda

import (
	"sync/atomic"
	"time"

	"noisystudent/model/cuda/driver"
)

// Counters are what a device has done since it was opened.
type Counters struct {
	driver.Usage
	Name    string
	Runs    int64   // of programs
	Seconds float64 // from the start of runs until the card was done and the next inputs were there
	Busy    int     // percent of the last moments in which anybody's kernel ran on the card; -1: not known
}

// Add sums what two openings of a card have done one after the other.
func (c Counters) Add(later Counters) Counters {
	later.Runs, later.Seconds = later.Runs+c.Runs, later.Seconds+c.Seconds
	later.Up, later.Down, later.Peak = later.Up+c.Up, later.Down+c.Down, max(later.Peak, c.Peak)
	return later
}

// counts are the runs of a device.
type counts struct{ runs, nanoseconds atomic.Int64 }

func (c *counts) ran(start time.Time) {
	c.runs.Add(1)
	c.nanoseconds.Add(int64(time.Since(start)))
}

// Counters returns what the device has done so far.
func (d *Device) Counters() Counters {
	return Counters{d.context.Usage(), d.Name(), d.counts.runs.Load(), time.Duration(d.counts.nanoseconds.Load()).Seconds(), d.busy()}
}

func (d *Device) busy() int {
	if d.nvml == nil {
		return -1
	}
	percent, err := d.nvml.Busy(d.card.Bus)
	if err != nil {
		return -1
	}
	return percent
}
