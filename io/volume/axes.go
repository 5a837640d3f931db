package volume

import (
	"math"
	"slices"
)

// Axes relates a canonical grid to the stored one that it was made from:
// canonical axis a is stored axis From[a], run backwards where Flip[a].
// Canonical and Stored are inverse to each other, for geometries and for data.
type Axes struct {
	From [3]int  `json:"from"`
	Flip [3]bool `json:"flip"`
}

// Unmoved is the Axes of data that stay as they are stored.
var Unmoved = Axes{From: [3]int{0, 1, 2}}

// permutations of three axes; the identity is first so that it wins ties.
var permutations = [6][3]int{{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}}

// Nearest returns the Axes that turn a grid stored as g into the canonical one:
// axes (z, y, x) nearest to superior, anterior, right. Of the six permutations
// it takes the one with the largest sum of direction cosines, which for a grid
// turned by less than 45 degrees is what nibabel and ITK take.
func Nearest(g Geometry) Axes {
	const clearly = 1e-6 // rounding in a header must not decide a tie
	best, x := -1.0, Unmoved
	for _, from := range permutations {
		sum := 0.0
		for a, s := range from {
			sum += math.Abs(g.Direction[s][2-a])
		}
		if sum > best+clearly {
			best, x.From = sum, from
		}
	}
	for a, s := range x.From {
		x.Flip[a] = g.Direction[s][2-a] < 0
	}
	return x
}

// Valid reports whether From is a permutation: x may come from a file.
func (x Axes) Valid() bool { return slices.Contains(permutations[:], x.From) }

// Inverse exchanges the parts of canonical and stored.
func (x Axes) Inverse() Axes {
	var y Axes
	for a, s := range x.From {
		y.From[s], y.Flip[s] = a, x.Flip[a]
	}
	return y
}

// Canonical returns the shape that a stored shape takes.
func (x Axes) Canonical(stored [3]int) [3]int {
	return [3]int{stored[x.From[0]], stored[x.From[1]], stored[x.From[2]]}
}

// Canonical returns the canonical grid of a stored one: the same points of the
// world under other indices.
func (g Geometry) Canonical(x Axes) Geometry {
	c := Geometry{Shape: x.Canonical(g.Shape)}
	var corner [3]float64
	for a, s := range x.From {
		c.Spacing[a], c.Direction[a] = g.Spacing[s], g.Direction[s]
		if x.Flip[a] {
			corner[s] = float64(g.Shape[s] - 1)
			for w := range 3 {
				c.Direction[a][w] = 0 - g.Direction[s][w] // 0-v: no negative zero
			}
		}
	}
	c.Origin = g.World(corner)
	return c
}

// Stored is the inverse of Canonical.
func (g Geometry) Stored(x Axes) Geometry { return g.Canonical(x.Inverse()) }

// Canonical returns data, whose stored shape is given, in canonical order. The
// result is a new slice. len(data) must be the product of shape.
func Canonical[T any](data []T, shape [3]int, x Axes) []T {
	mustHold(len(data), shape)
	dst := make([]T, len(data))
	if len(data) == 0 {
		return dst
	}
	stored := [3]int{shape[1] * shape[2], shape[2], 1}
	var stride [3]int
	base := 0
	for a, s := range x.From {
		stride[a] = stored[s]
		if x.Flip[a] {
			base += (shape[s] - 1) * stored[s]
			stride[a] = -stored[s]
		}
	}
	gather(dst, data, x.Canonical(shape), base, stride)
	return dst
}

// Stored is the inverse of Canonical: shape is the canonical one.
func Stored[T any](data []T, shape [3]int, x Axes) []T {
	return Canonical(data, shape, x.Inverse())
}

// gather fills dst in order from src[base + index . stride], in blocks that keep
// both sides in the cache when the stride along x is long.
func gather[T any](dst, src []T, shape [3]int, base int, stride [3]int) {
	block := [3]int{16, 16, 64}
	if stride[2] == 1 || stride[2] == -1 {
		block = [3]int{1, 1, shape[2]}
	}
	for z0 := 0; z0 < shape[0]; z0 += block[0] {
		for y0 := 0; y0 < shape[1]; y0 += block[1] {
			for x0 := 0; x0 < shape[2]; x0 += block[2] {
				lo := [3]int{z0, y0, x0}
				gatherBlock(dst, src, shape, block, lo, base, stride)
			}
		}
	}
}

func gatherBlock[T any](dst, src []T, shape, block, lo [3]int, base int, stride [3]int) {
	n := min(block[2], shape[2]-lo[2])
	for z := lo[0]; z < min(lo[0]+block[0], shape[0]); z++ {
		for y := lo[1]; y < min(lo[1]+block[1], shape[1]); y++ {
			at := (z*shape[1]+y)*shape[2] + lo[2]
			row := dst[at : at+n]
			from := base + z*stride[0] + y*stride[1] + lo[2]*stride[2]
			if stride[2] == 1 {
				copy(row, src[from:])
				continue
			}
			for i := range row {
				row[i] = src[from]
				from += stride[2]
			}
		}
	}
}

// Flip reverses the chosen axes of data in place, without a second volume.
func Flip[T any](data []T, shape [3]int, flip [3]bool) {
	mustHold(len(data), shape)
	rows, plane := shape[0]*shape[1], shape[1]*shape[2]
	if flip[1] && flip[2] { // both at once: half a turn, the way from LPS to RAS
		for z := range shape[0] {
			slices.Reverse(data[z*plane : (z+1)*plane])
		}
		flip[1], flip[2] = false, false
	}
	if flip[2] {
		for r := range rows {
			slices.Reverse(data[r*shape[2] : (r+1)*shape[2]])
		}
	}
	if flip[1] {
		for z := range shape[0] {
			exchange(data[z*plane:(z+1)*plane], shape[2])
		}
	}
	if flip[0] {
		exchange(data, plane)
	}
}

// exchange reverses the order of the runs of n elements in data.
func exchange[T any](data []T, n int) {
	for i, j := 0, len(data)-n; i < j; i, j = i+n, j-n {
		a, b := data[i:i+n], data[j:j+n]
		for k := range a {
			a[k], b[k] = b[k], a[k]
		}
	}
}
