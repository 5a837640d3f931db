// Package ref is the definition of every instruction of a program, in plain Go.
//
// The functions work on contiguous arrays in logical order: activations
// (N, C, D, H, W), kernels (Cout, Cin, KD, KH, KW), for transposed convolutions
// (Cin, Cout, KD, KH, KW), labels (N, D, H, W). They are generic over float32 and
// float64; every sum is taken in float64, in one fixed order, and rounded once, so
// that results do not depend on the number of processors. Slices belong to the
// caller; outputs are assigned unless a comment says otherwise. Lengths that do
// not fit are a broken invariant and panic.
//
// Device runs programs with these functions. Other devices are held to it by
// package devicetest, and it is held to PyTorch by its own tests.
package ref

import (
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
)

// Float is the element type of an array.
type Float interface{ ~float32 | ~float64 }

// Shape is the extent of an activation whose voxel order does not matter: N
// elements of the batch, C channels, V = D*H*W voxels.
type Shape struct{ N, C, V int }

// Len returns the number of elements.
func (s Shape) Len() int { return s.N * s.C * s.V }

// fit panics unless a slice has the length that the geometry gives it.
func fit[T any](op, name string, s []T, n int) {
	if len(s) != n {
		panic(fmt.Sprintf("ref: %s: %s has %d elements, need %d", op, name, len(s), n))
	}
}

// parallel calls f(0) to f(n-1) on all processors. Each call must write memory of
// its own, so that the result does not depend on the schedule.
func parallel(n int, f func(i int)) {
	workers := min(runtime.GOMAXPROCS(0), n)
	if workers <= 1 {
		for i := range n {
			f(i)
		}
		return
	}
	var next atomic.Int64
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				f(i)
			}
		})
	}
	wg.Wait()
}
