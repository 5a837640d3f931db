package volume

import (
	"errors"
	"math"
	"testing"
)

func TestCheck(t *testing.T) {
	good := Geometry{
		Shape: [3]int{1, 2, 3}, Spacing: [3]float64{5, 0.8, 0.8}, Origin: [3]float64{1, 2, 3},
		Direction: [3][3]float64{{0, 0, 1}, {0, 1, 0}, {1, 0, 0}},
	}
	for _, c := range []struct {
		name   string
		change func(g *Geometry)
		ok     bool
	}{
		{"good", func(*Geometry) {}, true},
		{"left-handed", func(g *Geometry) { g.Direction[0][2] = -1 }, true},
		{"six digits", func(g *Geometry) { g.Direction[0] = [3]float64{1e-6, 0, 0.999999} }, true},
		{"no voxels", func(g *Geometry) { g.Shape[1] = 0 }, false},
		{"zero spacing", func(g *Geometry) { g.Spacing[0] = 0 }, false},
		{"negative spacing", func(g *Geometry) { g.Spacing[2] = -1 }, false},
		{"NaN spacing", func(g *Geometry) { g.Spacing[2] = math.NaN() }, false},
		{"denormal spacing", func(g *Geometry) { g.Spacing[1] = 1e-44 }, false},
		{"infinite spacing", func(g *Geometry) { g.Spacing[2] = math.Inf(1) }, false},
		{"NaN origin", func(g *Geometry) { g.Origin[2] = math.NaN() }, false},
		{"NaN direction", func(g *Geometry) { g.Direction[1][1] = math.NaN() }, false},
		{"skewed", func(g *Geometry) { g.Direction[0][1] = 2 * MaxSkew }, false},
		{"not of unit length", func(g *Geometry) { g.Direction[0][2] = 1.01 }, false},
		{"two axes alike", func(g *Geometry) { g.Direction[0] = g.Direction[1] }, false},
	} {
		g := good
		c.change(&g)
		if err := g.Check(); (err == nil) != c.ok || err != nil && !errors.Is(err, ErrGeometry) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}
