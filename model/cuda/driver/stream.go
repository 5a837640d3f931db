package driver

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
	return s.c.release("cuStreamDestroy", s.c.d.call.streamDestroy, s.handle)
}

// Sync waits for the end of the queue's work; it does nothing for the zero value.
func (s Stream) Sync() error {
	if s.c == nil {
		return nil
	}
	return s.c.Do(func() error { return s.c.d.check("cuStreamSynchronize", s.c.d.do(s.c.d.call.streamSync, s.handle)) })
}

// Upload copies page-locked memory to the card; src must stay until Sync.
func (s Stream) Upload(dst Pointer, src []byte) error {
	if len(src) == 0 {
		return nil
	}
	s.c.account.copied(len(src), 0)
	return s.c.Do(func() error {
		return s.c.d.check("cuMemcpyHtoDAsync", s.c.d.call.upload(dst, &src[0], uintptr(len(src)), s.handle))
	})
}

// Download copies the card's memory to page-locked memory; it is there after Sync.
func (s Stream) Download(dst []byte, src Pointer) error {
	if len(dst) == 0 {
		return nil
	}
	s.c.account.copied(0, len(dst))
	return s.c.Do(func() error {
		return s.c.d.check("cuMemcpyDtoHAsync", s.c.d.call.download(&dst[0], src, uintptr(len(dst)), s.handle))
	})
}

// Copy copies within the card's memory.
func (s Stream) Copy(dst, src Pointer, bytes int64) error {
	return s.c.Do(func() error {
		return s.c.d.check("cuMemcpyDtoDAsync", s.c.d.do(s.c.d.call.copy, uintptr(dst), uintptr(src), uintptr(bytes), s.handle))
	})
}

// Fill sets words of the card's memory.
func (s Stream) Fill(dst Pointer, value uint32, words int64) error {
	return s.c.Do(func() error {
		return s.c.d.check("cuMemsetD32Async", s.c.d.do(s.c.d.call.fill, uintptr(dst), uintptr(value), uintptr(words), s.handle))
	})
}
