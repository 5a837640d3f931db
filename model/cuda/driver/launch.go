package driver

import (
	"errors"
	"fmt"
	"math"
	"runtime"
	"unsafe"
)

// Launch is a kernel with its arguments, made once and run often.
type Launch struct {
	Name        string // for messages
	Function    Function
	Grid, Block [3]int
	Shared      int // bytes of dynamic shared memory
	Args        *Args
}

// Launch queues a kernel.
func (s Stream) Launch(l *Launch) error {
	return s.c.Do(func() error {
		rc := s.c.d.do(s.c.d.call.launch, uintptr(l.Function), uintptr(l.Grid[0]), uintptr(l.Grid[1]), uintptr(l.Grid[2]),
			uintptr(l.Block[0]), uintptr(l.Block[1]), uintptr(l.Block[2]), uintptr(l.Shared), s.handle,
			uintptr(unsafe.Pointer(&l.Args.pointers[0])), 0)
		return s.c.d.check("cuLaunchKernel "+l.Name, rc)
	})
}

// Args are the arguments of a kernel, packed and pinned once.
type Args struct {
	values   []uint64
	sizes    []int // bytes
	pointers []unsafe.Pointer
	pin      runtime.Pinner
}

// Pack packs arguments: Pointer, int32, uint32, int64 or float32.
func Pack(list ...any) *Args {
	a := &Args{values: make([]uint64, max(len(list), 1)), sizes: make([]int, len(list)), pointers: make([]unsafe.Pointer, max(len(list), 1))}
	for i, v := range list {
		switch v := v.(type) {
		case Pointer:
			a.values[i], a.sizes[i] = uint64(v), 8
		case int32:
			a.values[i], a.sizes[i] = uint64(uint32(v)), 4
		case uint32:
			a.values[i], a.sizes[i] = uint64(v), 4
		case int64:
			a.values[i], a.sizes[i] = uint64(v), 8
		case float32:
			a.values[i], a.sizes[i] = uint64(math.Float32bits(v)), 4
		default:
			panic(fmt.Sprintf("cuda: kernel argument %d is a %T", i, v))
		}
		a.pointers[i] = unsafe.Pointer(&a.values[i])
	}
	a.pin.Pin(&a.values[0])
	a.pin.Pin(&a.pointers[0])
	return a
}

// Free unpins.
func (a *Args) Free() { a.pin.Unpin() }

// Graph is a list of launches that the card is given at once.
type Graph struct {
	c      *Context
	handle uintptr
}

// Graph makes a graph of launches, with the arguments that they have now. They run one
// after another.
func (c *Context) Graph(launches []*Launch) (g Graph, err error) {
	// Capture belongs to the thread and to a stream of its own, so that others may work.
	err = c.Do(func() error {
		s, err := c.Stream()
		if err != nil {
			return err
		}
		graph, err := s.capture(launches)
		if err == nil {
			err = c.d.check("cuGraphInstantiate", c.d.call.instantiate(&g.handle, graph, 0))
		}
		if graph != 0 {
			err = errors.Join(err, c.d.check("cuGraphDestroy", c.d.do(c.d.call.graphDestroy, graph)))
		}
		return errors.Join(err, s.Close())
	})
	if g.handle != 0 {
		g.c = c
	}
	if err != nil {
		return Graph{}, errors.Join(err, g.Close())
	}
	return g, nil
}

func (s Stream) capture(launches []*Launch) (graph uintptr, err error) {
	const threadLocal = 1
	d := s.c.d
	if err := d.check("cuStreamBeginCapture", d.do(d.call.beginCapture, s.handle, threadLocal)); err != nil {
		return 0, err
	}
	for _, l := range launches {
		if err = s.Launch(l); err != nil {
			break
		}
	}
	return graph, errors.Join(err, d.check("cuStreamEndCapture", d.call.endCapture(s.handle, &graph)))
}

// Run queues a graph; it does nothing for the zero value.
func (s Stream) Run(g Graph) error {
	if g.c == nil {
		return nil
	}
	return s.c.Do(func() error {
		return s.c.d.check("cuGraphLaunch", s.c.d.do(s.c.d.call.graphLaunch, g.handle, s.handle))
	})
}

// Close gives a graph back; it does nothing for the zero value.
func (g Graph) Close() error {
	if g.c == nil {
		return nil
	}
	return g.c.release("cuGraphExecDestroy", g.c.d.call.instanceDestroy, g.handle)
}
