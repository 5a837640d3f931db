package volume

import (
	"math"
	"testing"
)

func TestSameGrid(t *testing.T) {
	g := Geometry{
		Shape: [3]int{10, 20, 30}, Spacing: [3]float64{5, 0.8, 0.7}, Origin: [3]float64{1, 2, 3},
		Direction: [3][3]float64{{0, 0, 1}, {0, 1, 0}, {1, 0, 0}},
	}
	for _, c := range []struct {
		name   string
		change func(h *Geometry)
		want   bool
	}{
		{"equal", func(*Geometry) {}, true},
		{"near", func(h *Geometry) { h.Origin[0] += 0.0009 }, true},
		{"moved", func(h *Geometry) { h.Origin[0] += 0.0011 }, false},
		{"stretched beyond at the far end only", func(h *Geometry) { h.Spacing[2] += 0.00004 }, false},
		{"turned", func(h *Geometry) { h.Direction[1] = [3]float64{0.0001, 1, 0} }, false},
		{"other shape", func(h *Geometry) { h.Shape[0]++ }, false},
		{"NaN", func(h *Geometry) { h.Origin[1] = math.NaN() }, false},
	} {
		h := g
		c.change(&h)
		if got := g.SameGrid(h, 0.001); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}

func TestWorldAndVolumeOfVoxel(t *testing.T) {
	g := Geometry{
		Spacing: [3]float64{5, 0.5, 2}, Origin: [3]float64{1, 2, 3},
		Direction: [3][3]float64{{0, 0, 1}, {0, -1, 0}, {-1, 0, 0}},
	}
	if got, want := g.World([3]float64{1, 2, 0.5}), [3]float64{0, 1, 8}; got != want {
		t.Errorf("world %v, want %v", got, want)
	}
	if got := g.VoxelML(); got != 0.005 {
		t.Errorf("%g ml", got)
	}
}
