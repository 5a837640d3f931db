package driver

import "time"

// Event is a point of a stream's work, with the time when the card came to it.
type Event struct {
	c      *Context
	handle uintptr
}

// Event makes an event.
func (c *Context) Event() (e Event, err error) {
	e.c = c
	err = c.Do(func() error { return c.d.check("cuEventCreate", c.d.call.eventCreate(&e.handle, 0)) })
	return e, err
}

// Close ends an event.
func (e Event) Close() error {
	return e.c.release("cuEventDestroy", e.c.d.call.eventDestroy, e.handle)
}

// Record puts an event behind the work that is queued.
func (s Stream) Record(e Event) error {
	return s.c.Do(func() error {
		return s.c.d.check("cuEventRecord", s.c.d.do(s.c.d.call.eventRecord, e.handle, s.handle))
	})
}

// Since is the card's time between two events that it has come to.
func (e Event) Since(start Event) (time.Duration, error) {
	var milliseconds float32
	err := e.c.Do(func() error {
		return e.c.d.check("cuEventElapsedTime", e.c.d.call.eventElapsed(&milliseconds, start.handle, e.handle))
	})
	return time.Duration(float64(milliseconds) * float64(time.Millisecond)), err
}
