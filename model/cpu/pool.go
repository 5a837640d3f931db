package cpu

import (
	"sync"
	"sync/atomic"
	"unsafe"
)

// worker is what one thread needs of its own while it runs a program: scratch for
// packed rows and the arguments of the kernel it is calling.
type worker struct {
	scratch []float32
	low     []float32 // a row before upsampling
	rows    []float32 // after it, where rows are not packed
	lists   []entry
	pairs   []rowPair
	starts  []int

	conv      convArgs
	grad      gradArgs
	pack      packArgs
	transpose transposeArgs
	halve     halveArgs
	sum       sumArgs
	norm      normGradArgs
	update    updateArgs
	square    squareArgs
	plus      addArgs
	loss      lossArgs
	winograd  winogradScratch
	vectors   [4 * lanes]float32
}

// phase is a part of an instruction whose items are independent of each other.
// Items are cut by shape alone, so that what is summed in an item, and in which
// order items are summed later, does not depend on the number of threads.
type phase struct {
	items int
	run   func(w *worker, item int)
	// floats is how much memory a pass touches, where that says how long it takes:
	// too little of it is not worth waking threads for.
	floats int
}

// wakeFloats is what one thread passes over in the time that waking another takes.
const wakeFloats = 1 << 14

// each is a phase whose items are worth a thread.
func each(items int, run func(w *worker, item int)) phase { return phase{items: items, run: run} }

// once is a phase that is over in no time.
func once(run func()) phase {
	return phase{items: 1, run: func(*worker, int) { run() }}
}

// pool runs phases on goroutines that sleep between them. Items are handed out by
// a counter, so that a thread that the machine holds up delays only its own item.
type pool struct {
	mu      sync.Mutex
	wake    []chan struct{}
	done    sync.WaitGroup
	next    atomic.Int64
	items   int64
	run     func(w *worker, item int)
	workers []*worker
}

func newPool(threads int) *pool {
	p := &pool{wake: make([]chan struct{}, threads-1)}
	for i := range p.wake {
		p.wake[i] = make(chan struct{}, 1)
		go func() {
			for range p.wake[i] {
				p.work(p.workers[i+1])
				p.done.Done()
			}
		}()
	}
	return p
}

func (p *pool) work(w *worker) {
	for {
		i := p.next.Add(1) - 1
		if i >= p.items {
			return
		}
		p.run(w, int(i))
	}
}

// do runs all items of a phase; workers has one entry per thread.
func (p *pool) do(workers []*worker, f phase) {
	if len(workers) == 1 || f.items == 1 || f.floats > 0 && f.floats < wakeFloats {
		for i := range f.items {
			f.run(workers[0], i)
		}
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.items, p.run, p.workers = int64(f.items), f.run, workers
	p.next.Store(0)
	helpers := min(len(p.wake), f.items-1)
	p.done.Add(helpers)
	for i := range helpers {
		p.wake[i] <- struct{}{}
	}
	p.work(workers[0])
	p.done.Wait()
	p.run, p.workers = nil, nil
}

func (p *pool) close() {
	for _, c := range p.wake {
		close(c)
	}
}

// aligned returns n floats that start at a multiple of 64 bytes.
func aligned(n int) []float32 {
	s := make([]float32, n+lanes)
	skip := int(-uintptr(unsafe.Pointer(&s[0]))%pixelBytes) / 4
	return s[skip : skip+n : skip+n]
}
