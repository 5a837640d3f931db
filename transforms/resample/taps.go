package resample

import "math"

// coordinate returns where voxel o of N lies among n voxels of the same extent,
// with half-pixel centres. Its rounding is SciPy's: nearest neighbours and ties of
// labels depend on the last bit.
func coordinate(o, n, N int) float64 {
	zoom := float64(n) / float64(N)
	return float64((float64(o)+0.5)*zoom) - 0.5
}

// clamp keeps a coordinate on the voxels: SciPy's mode "nearest".
func clamp(c float64, n int) float64 { return min(max(c, 0), float64(n-1)) }

// nearest returns the source of every voxel of an axis of N in one of n.
func nearest(n, N int) []int32 {
	near := make([]int32, N)
	for o := range near {
		near[o] = int32(math.Floor(clamp(coordinate(o, n, N), n) + 0.5))
	}
	return near
}

// linearTaps is one axis of a linear map: voxel o is wlo*src[lo] + whi*src[hi].
// An axis resampled by nearest neighbour has whi = 0 throughout.
type linearTaps struct {
	lo, hi   []int32
	wlo, whi []float64
	near     []int32
}

func newLinear(n, N int, apart bool) linearTaps {
	t := linearTaps{make([]int32, N), make([]int32, N), make([]float64, N), make([]float64, N), nearest(n, N)}
	for o := range N {
		if apart {
			t.lo[o], t.hi[o], t.wlo[o] = t.near[o], t.near[o], 1
			continue
		}
		c := clamp(coordinate(o, n, N), n)
		low := math.Floor(c)
		t.lo[o], t.hi[o] = int32(low), int32(min(int(low)+1, n-1))
		t.wlo[o] = 1 - (c - low)
		t.whi[o] = 1 - t.wlo[o]
		if t.whi[o] == 0 {
			t.hi[o] = t.lo[o]
		}
	}
	return t
}

// tap returns one of the two source voxels of output o, with its weight.
func (t *linearTaps) tap(o int, high bool) (int, float64) {
	if high {
		return int(t.hi[o]), t.whi[o]
	}
	return int(t.lo[o]), t.wlo[o]
}

// cubicTaps is one axis of a cubic B-spline map: voxel o is the sum of weight k
// times coefficient first+k, counted from the margin.
type cubicTaps struct {
	first  []int32
	weight [][4]float32
}

func newCubic(n, N int) cubicTaps {
	t := cubicTaps{make([]int32, N), make([][4]float32, N)}
	for o := range N {
		c := coordinate(o, n, N)
		low := math.Floor(c)
		t.first[o] = int32(low) - 1 + margin
		t.weight[o] = bspline(c - low)
	}
	return t
}

// bspline returns the weights of four knots for a place x past the second one:
// six times the cubic B-spline's, as the prefilter leaves the factor out.
func bspline(x float64) [4]float32 {
	y := 1 - x
	w0, w3 := y*y*y, x*x*x
	w1, w2 := 3*x*x*(x-2)+4, 3*y*y*(y-2)+4
	return [4]float32{float32(w0), float32(w1), float32(w2), float32(w3)}
}
