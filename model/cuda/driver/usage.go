package driver

import "sync"

// Usage is what has gone through a context.
type Usage struct {
	Up, Down     int64 // bytes copied to the card and from it
	Memory, Peak int64 // bytes that are taken of the card's memory now, and the most that were
}

// account keeps the usage of a context.
type account struct {
	mu    sync.Mutex
	usage Usage
	sizes map[Pointer]int64
}

// Usage returns what has gone through the context so far.
func (c *Context) Usage() Usage {
	c.account.mu.Lock()
	defer c.account.mu.Unlock()
	return c.account.usage
}

func (a *account) copied(up, down int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.usage.Up += int64(up)
	a.usage.Down += int64(down)
}

func (a *account) taken(p Pointer, bytes int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.sizes == nil {
		a.sizes = map[Pointer]int64{}
	}
	a.sizes[p] = bytes
	a.usage.Memory += bytes
	a.usage.Peak = max(a.usage.Peak, a.usage.Memory)
}

func (a *account) given(p Pointer) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.usage.Memory -= a.sizes[p]
	delete(a.sizes, p)
}
