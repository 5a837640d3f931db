package emulator

import (
	"errors"
	"strings"

	"noisystudent/model/cuda/library"
)

// Control is what a test may do to the stand-in libcuda, which all devices of a process
// that have loaded it share.
type Control struct {
	fail   func(call string, n, code int32)
	failed func() int32
	alive  func(what int32) int32
	card   func(driver, mode int32)
	seed   func(seed uint64)
	trace  func(begin int32) string
	hang   func(on int32)
}

// Control loads the stand-in library.
func (e *Emulator) Control() (*Control, error) {
	c := &Control{}
	l, err := library.Open(e.Library(), false)
	return c, errors.Join(err, l.Bind("emu_fail", &c.fail), l.Bind("emu_failed", &c.failed), l.Bind("emu_alive", &c.alive),
		l.Bind("emu_card", &c.card), l.Bind("emu_seed", &c.seed), l.Bind("emu_trace", &c.trace), l.Bind("emu_hang", &c.hang))
}

// Fail has the n-th call from now fail with a code: of the function of that name ("cuMemAlloc"), or
// of all for "". A call that gives something back does that all the same. With n = 0
// none fails.
func (c *Control) Fail(call string, n int, code int32) { c.fail(call, int32(n), code) }

// Failed reports whether the failure has come.
func (c *Control) Failed() bool { return c.failed() != 0 }

// Alive counts what was taken from the card and not given back.
func (c *Control) Alive() map[string]int {
	all := map[string]int{}
	for i, what := range []string{"contexts", "streams", "modules", "pieces of memory", "pieces of the host's memory", "graphs", "events"} {
		if n := c.alive(int32(i)); n != 0 {
			all[what] = int(n)
		}
	}
	return all
}

// Card sets what CUDA the driver is of, such as 12040 for 12.4, and whether another process
// holds the card for itself.
func (c *Control) Card(driver int, busy bool) {
	mode := int32(0)
	if busy {
		mode = 3
	}
	c.card(int32(driver), mode)
}

// Trace returns the names of the driver's functions in the order in which work has called them.
func (c *Control) Trace(work func()) []string {
	c.trace(1)
	work()
	return strings.Fields(c.trace(0))
}

// Hang has kernels wait for as long as it is on, and with them all calls of the driver.
func (c *Control) Hang(on bool) {
	value := int32(0)
	if on {
		value = 1
	}
	c.hang(value)
}

// Seed picks the order in which the warps of a block run from now on.
func (c *Control) Seed(seed uint64) { c.seed(seed) }
