// Package resample brings a scan to the grid and the values that the network
// sees, and its labels back: crop to the non-zero box, clip, z-score, resample to
// the plan's spacing; and the stored form of the result.
//
// It follows nnU-Net v2 (DefaultPreprocessor, default_resampling) to the rounding
// of float32: images by cubic B-spline with scikit-image's conventions
// (half-pixel centres, edge mode, no anti-aliasing, clipped to the input's
// range), labels by the arg-max of per-class linear maps, and where a grid is
// anisotropic the coarse axis apart, by nearest neighbour.
//
// The idea: every map is separable, so an axis is a list of a few source indices
// and weights (taps), computed once. A plane goes through x and y in the cache of
// one worker, the volume then through z; cropping and normalising happen while a
// plane is read, so the only large arrays are the input and the output.
//
// Axes are (z, y, x), x fastest; spacing in mm in the same order. Inputs are not
// changed and not kept; results belong to the caller. Results do not depend on
// how many workers run.
package resample

import (
	"context"
	"errors"
	"fmt"
	"math"
	"runtime"
	"sync"
	"sync/atomic"
)

// anisotropy is the ratio of spacings above which the coarse axis is apart.
const anisotropy = 3

// MaxVoxels is the largest grid that is made: indices of voxels fit 31 bits.
const MaxVoxels = 1<<31 - 1

// ErrTooLarge says that a grid would hold more than MaxVoxels.
var ErrTooLarge = errors.New("more than 2^31-1 voxels")

// Mapping is a change of grid that keeps the outer faces of the volume in place.
type Mapping struct {
	From, To [3]int // shapes
	Coarse   int    // the axis that is resampled by nearest neighbour; -1: none
}

// NewMapping decides how a grid is resampled to another spacing: its shape is
// round-half-even(from/to*shape), at least 1; the coarse axis is apart when the
// spacing it comes from, or else the one it goes to, is anisotropic and has one
// coarsest axis (two equal ones switch it off).
func NewMapping(shape [3]int, from, to [3]float64) (Mapping, error) {
	m := Mapping{From: shape, Coarse: CoarseAxis(from, to)}
	voxels := 1.0
	for a := range 3 {
		if shape[a] < 1 || !(from[a] > 0) || !(to[a] > 0) {
			return Mapping{}, fmt.Errorf("resample: cannot bring %v voxels of %v mm to %v mm", shape, from, to)
		}
		n := max(math.RoundToEven(from[a]/to[a]*float64(shape[a])), 1)
		voxels *= n
		if voxels > MaxVoxels {
			return Mapping{}, fmt.Errorf("resample: %v voxels of %v mm at %v mm: %w", shape, from, to, ErrTooLarge)
		}
		m.To[a] = int(n)
	}
	return m, nil
}

// CoarseAxis returns the axis to resample apart, or -1.
func CoarseAxis(from, to [3]float64) int {
	for _, s := range [][3]float64{from, to} {
		top := max(s[0], s[1], s[2])
		if top/min(s[0], s[1], s[2]) <= anisotropy {
			continue
		}
		axis, count := -1, 0
		for a := range 3 {
			if s[a] == top {
				axis, count = a, count+1
			}
		}
		if count > 1 {
			return -1
		}
		return axis
	}
	return -1
}

func (m Mapping) voxels() int { return m.To[0] * m.To[1] * m.To[2] }

// Nearest resamples by nearest neighbour on all axes, as scikit-image does it
// (order 0). It panics unless data fills the mapping's grid.
func Nearest[T any](data []T, m Mapping) []T {
	mustFill(len(data), m.From)
	var near [3][]int32
	for a := range 3 {
		near[a] = nearest(m.From[a], m.To[a])
	}
	dst := make([]T, m.voxels())
	gatherNearest(dst, data, m.From, m.To, near)
	return dst
}

// gatherNearest fills dst, a row after the other, from the indexed voxels. Rows and
// planes that repeat are copied.
func gatherNearest[T any](dst, src []T, from, to [3]int, near [3][]int32) {
	plane := to[1] * to[2]
	for z := range to[0] {
		out := dst[z*plane : (z+1)*plane]
		if z > 0 && near[0][z] == near[0][z-1] {
			copy(out, dst[(z-1)*plane:z*plane])
			continue
		}
		for y := range to[1] {
			row := out[y*to[2] : (y+1)*to[2]]
			if y > 0 && near[1][y] == near[1][y-1] {
				copy(row, out[(y-1)*to[2]:])
				continue
			}
			at := (int(near[0][z])*from[1] + int(near[1][y])) * from[2]
			line := src[at : at+from[2]]
			for x, i := range near[2] {
				row[x] = line[i]
			}
		}
	}
}

// mustFill panics unless n is the number of voxels of a shape.
func mustFill(n int, shape [3]int) {
	if n != shape[0]*shape[1]*shape[2] {
		panic(fmt.Sprintf("resample: %d voxels for a grid of %v", n, shape))
	}
}

// parallel runs f(worker, 0..n-1) on the given number of workers and stops early
// when ctx ends.
func parallel(ctx context.Context, workers, n int, f func(worker, i int)) error {
	var next atomic.Int64
	var wg sync.WaitGroup
	for worker := range workers {
		wg.Go(func() {
			for ctx.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				f(worker, i)
			}
		})
	}
	wg.Wait()
	return ctx.Err()
}

// workers is how many run at once for n pieces of work.
func workers(n int) int { return min(runtime.GOMAXPROCS(0), n) }
