package driver

import (
	"fmt"
	"math"
	"runtime"
	"unsafe"
)

// Stream is a queue of work on a card.
type Stream struct {
	c      *Context
	handle uintptr
}

// Stream makes a queue.
func (c *Context) Stream() (Stream, error) {
	const nonBlocking = 1
	s := Stream{c: c}
	err := c.Do(func() error { return c.d.check("cuStreamCreate", c.d.call.streamCreate(&s.handle, nonBlocking)) })
	if err != nil {
		return Stream{}, err
	}
	return s, nil
}

// Close ends a queue, after its work; it does nothing for the zero value.
func (s Stream) Close() error {
	if s.c == nil {
		return nil
	}
	return s.c.Do(func() error { return s.c.d.check("cuStreamDestroy", s.c.d.do(s.c.d.call.streamDestroy, s.handle)) })
}

// Sync waits for the end of the queue's work.
func (s Stream) Sync() error {
	return s.c.Do(func() error { return s.c.d.check("cuStreamSynchronize", s.c.d.do(s.c.d.call.streamSync, s.handle)) })
}

// Upload copies page-locked memory to the card; src must stay until Sync.
func (s Stream) Upload(dst Pointer, src []byte) error {
	if len(src) == 0 {
		return nil
	}
	return s.c.Do(func() error {
		return s.c.d.check("cuMemcpyHtoDAsync", s.c.d.call.upload(dst, &src[0], uintptr(len(src)), s.handle))
	})
}

// Download copies the card's memory to page-locked memory; it is there after Sync.
func (s Stream) Download(dst []byte, src Pointer) error {
	if len(dst) == 0 {
		return nil
	}
	return s.c.Do(func() error {
		return s.c.d.check("cuMemcpyDtoHAsync", s.c.d.call.download(&dst[0], src, uintptr(len(dst)), s.handle))
	})
}

// Fill sets words of the card's memory.
func (s Stream) Fill(dst Pointer, value uint32, words int64) error {
	return s.c.Do(func() error {
		return s.c.d.check("cuMemsetD32Async", s.c.d.do(s.c.d.call.fill, uintptr(dst), uintptr(value), uintptr(words), s.handle))
	})
}

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
	pointers []unsafe.Pointer
	pin      runtime.Pinner
}

// Pack packs arguments: Pointer, int32, uint32, int64 or float32.
func Pack(list ...any) *Args {
	a := &Args{values: make([]uint64, max(len(list), 1)), pointers: make([]unsafe.Pointer, max(len(list), 1))}
	for i, v := range list {
		switch v := v.(type) {
		case Pointer:
			a.values[i] = uint64(v)
		case int32:
			a.values[i] = uint64(uint32(v))
		case uint32:
			a.values[i] = uint64(v)
		case int64:
			a.values[i] = uint64(v)
		case float32:
			a.values[i] = uint64(math.Float32bits(v))
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
