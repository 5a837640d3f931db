package volume

import "fmt"

// Box is the half-open index range [Lo, Hi) on every axis, (z, y, x).
type Box struct {
	Lo [3]int `json:"lo"`
	Hi [3]int `json:"hi"`
}

// Whole returns the box of a whole grid.
func Whole(shape [3]int) Box { return Box{Hi: shape} }

// Shape returns the number of voxels on every axis.
func (b Box) Shape() [3]int {
	return [3]int{b.Hi[0] - b.Lo[0], b.Hi[1] - b.Lo[1], b.Hi[2] - b.Lo[2]}
}

// Voxels returns the number of voxels, 0 for an empty box.
func (b Box) Voxels() int {
	s := b.Shape()
	return max(s[0], 0) * max(s[1], 0) * max(s[2], 0)
}

// Within reports whether the box lies inside a grid of the given shape and has
// Lo <= Hi: what Crop and Paste require.
func (b Box) Within(shape [3]int) bool {
	for a := range 3 {
		if b.Lo[a] < 0 || b.Lo[a] > b.Hi[a] || b.Hi[a] > shape[a] {
			return false
		}
	}
	return true
}

// String gives the box as people write it: [z0:z1, y0:y1, x0:x1].
func (b Box) String() string {
	return fmt.Sprintf("[%d:%d, %d:%d, %d:%d]", b.Lo[0], b.Hi[0], b.Lo[1], b.Hi[1], b.Lo[2], b.Hi[2])
}

// Crop returns the grid of a box of g.
func (g Geometry) Crop(b Box) Geometry {
	c := g
	c.Shape = b.Shape()
	c.Origin = g.World([3]float64{float64(b.Lo[0]), float64(b.Lo[1]), float64(b.Lo[2])})
	return c
}

// Crop copies a box out of data of the given shape. It panics unless the box is
// Within the shape.
func Crop[T any](data []T, shape [3]int, b Box) []T {
	dst := make([]T, b.Voxels())
	rows(data, shape, b, func(i int, row []T) { copy(dst[i*len(row):], row) })
	return dst
}

// Paste copies src, the voxels of a box, to their place in dst of the given
// shape; voxels outside the box stay. It is the inverse of Crop and panics
// unless the box is Within the shape.
func Paste[T any](dst []T, shape [3]int, b Box, src []T) {
	mustHold(len(src), b.Shape())
	rows(dst, shape, b, func(i int, row []T) { copy(row, src[i*len(row):]) })
}

// rows calls f with each row of a box in order.
func rows[T any](data []T, shape [3]int, b Box, f func(i int, row []T)) {
	mustHold(len(data), shape)
	if !b.Within(shape) {
		panic(fmt.Sprintf("volume: box %v is outside of the grid %v", b, shape))
	}
	i := 0
	for z := b.Lo[0]; z < b.Hi[0]; z++ {
		for y := b.Lo[1]; y < b.Hi[1]; y++ {
			at := (z*shape[1] + y) * shape[2]
			f(i, data[at+b.Lo[2]:at+b.Hi[2]])
			i++
		}
	}
}

// mustHold panics unless n is the number of voxels of a shape.
func mustHold(n int, shape [3]int) {
	if n != shape[0]*shape[1]*shape[2] {
		panic(fmt.Sprintf("volume: %d voxels for a grid of %dx%dx%d", n, shape[0], shape[1], shape[2]))
	}
}
