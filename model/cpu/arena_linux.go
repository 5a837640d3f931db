package cpu

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

const hugePage = 2 << 20

// newArena maps n zeroed floats and asks for huge pages. The memory is not Go's:
// the collector never looks at it, and free gives it back at once.
func newArena(n int) (memory []float32, free func() error, err error) {
	size := max(n*4, 1)
	if size >= hugePage {
		size += hugePage
	}
	raw, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return nil, nil, fmt.Errorf("map arena of %d bytes: %w", size, err)
	}
	use := raw
	if size > hugePage {
		skip := int(-uintptr(unsafe.Pointer(&raw[0])) % hugePage)
		use = raw[skip:]
		_ = unix.Madvise(use, unix.MADV_HUGEPAGE) // advice only: small pages work too
	}
	memory = unsafe.Slice((*float32)(unsafe.Pointer(&use[0])), max(n, 1))[:n:n]
	return memory, func() error { return unix.Munmap(raw) }, nil
}
