package volume

import (
	"errors"
	"fmt"
	"math"
)

// ErrGeometry marks a grid that cannot be placed in the world.
var ErrGeometry = errors.New("unusable geometry")

// MaxSkew is the largest cosine between two index axes that still counts as a
// right angle. ITK refuses at the same magnitude; the direction cosines of six
// digits that scanners write stay two orders below.
const MaxSkew = 1e-4

// Spacing outside of this range, in millimetres, is a damaged header: no scanner
// has it, and float32 files could not write it back.
const minSpacing, maxSpacing = 1e-6, 1e6

// Check returns an ErrGeometry unless the shape is positive, spacing and origin
// are finite, spacing is positive and the direction is orthonormal to MaxSkew.
// Spacing must also lie between a nanometre and a kilometre.
func (g Geometry) Check() error {
	for a, name := range []string{"z", "y", "x"} {
		if g.Shape[a] <= 0 {
			return fmt.Errorf("%w: %d voxels along %s", ErrGeometry, g.Shape[a], name)
		}
		if !(g.Spacing[a] >= minSpacing && g.Spacing[a] <= maxSpacing) {
			return fmt.Errorf("%w: spacing of %g mm along %s", ErrGeometry, g.Spacing[a], name)
		}
		if v := g.Origin[a]; math.IsNaN(v) || math.IsInf(v, 0) {
			return fmt.Errorf("%w: origin %v", ErrGeometry, g.Origin)
		}
	}
	for a := range 3 {
		for b := range a + 1 {
			want := 0.0
			if a == b {
				want = 1
			}
			// The comparison is written so that NaN fails it.
			if !(math.Abs(dot(g.Direction[a], g.Direction[b])-want) <= MaxSkew) {
				return fmt.Errorf("%w: directions are not orthonormal: %v", ErrGeometry, g.Direction)
			}
		}
	}
	return nil
}

func dot(a, b [3]float64) float64 { return a[0]*b[0] + a[1]*b[1] + a[2]*b[2] }
