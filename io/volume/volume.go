// Package volume holds voxels with their place in the world.
//
// Index axes are (z, y, x) with x fastest in memory; spacing has the same order,
// in millimetres. World coordinates are RAS+ millimetres in the order (R, A, S).
package volume

import (
	"fmt"
	"math"
)

// Geometry places a grid of voxels in the world:
// world(i) = Origin + sum over axes a of i[a]*Spacing[a]*Direction[a].
type Geometry struct {
	Shape     [3]int        `json:"shape"`     // voxels (z, y, x)
	Spacing   [3]float64    `json:"spacing"`   // mm (z, y, x), positive
	Origin    [3]float64    `json:"origin"`    // world position of voxel (0, 0, 0)
	Direction [3][3]float64 `json:"direction"` // row a: unit world vector of index axis a
}

// Volume is image voxels, CT in HU unless said otherwise.
type Volume struct {
	Geometry
	Data []float32
}

// Labels is one class per voxel.
type Labels struct {
	Geometry
	Data []uint8
}

// Voxels returns the number of voxels.
func (g Geometry) Voxels() int { return g.Shape[0] * g.Shape[1] * g.Shape[2] }

// World returns the position of an index, which may be fractional.
func (g Geometry) World(index [3]float64) [3]float64 {
	w := g.Origin
	for a := range 3 {
		for c := range 3 {
			w[c] += index[a] * g.Spacing[a] * g.Direction[a][c]
		}
	}
	return w
}

// VoxelML returns the volume of one voxel in millilitres.
func (g Geometry) VoxelML() float64 {
	return g.Spacing[0] * g.Spacing[1] * g.Spacing[2] / 1000
}

// SameGrid reports whether two geometries have one shape and agree in spacing,
// origin and direction within toleranceMM at every corner of the grid.
func (g Geometry) SameGrid(h Geometry, toleranceMM float64) bool {
	if g.Shape != h.Shape {
		return false
	}
	for corner := range 8 {
		var index [3]float64
		for a := range 3 {
			if corner>>a&1 == 1 {
				index[a] = float64(g.Shape[a] - 1)
			}
		}
		p, q := g.World(index), h.World(index)
		// The comparison is written so that NaN fails it.
		if !(math.Hypot(math.Hypot(p[0]-q[0], p[1]-q[1]), p[2]-q[2]) <= toleranceMM) {
			return false
		}
	}
	return true
}

// String gives shape and spacing, as people write them in messages.
func (g Geometry) String() string {
	return fmt.Sprintf("%dx%dx%d voxels (z, y, x) of %.3gx%.3gx%.3g mm",
		g.Shape[0], g.Shape[1], g.Shape[2], g.Spacing[0], g.Spacing[1], g.Spacing[2])
}
