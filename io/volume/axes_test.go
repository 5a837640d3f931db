package volume

import (
	"fmt"
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// orientations calls f with all 48 axis orders of a grid that is turned by the
// given angles (radians) about R, A and S.
func orientations(shape [3]int, turn [3]float64, f func(name string, g Geometry)) {
	base := [3][3]float64{{0, 0, 1}, {0, 1, 0}, {1, 0, 0}} // z, y, x -> S, A, R
	for _, p := range permutations {
		for signs := range 8 {
			g := Geometry{Shape: shape, Spacing: [3]float64{2.5, 0.8, 0.7}, Origin: [3]float64{-11, 7, 300}}
			for a := range 3 {
				g.Direction[a] = rotate(base[p[a]], turn)
				if signs>>a&1 == 1 {
					for w := range 3 {
						g.Direction[a][w] *= -1
					}
				}
			}
			f(fmt.Sprintf("%v signs %03b", p, signs), g)
		}
	}
}

func rotate(v, turn [3]float64) [3]float64 {
	for axis, angle := range turn {
		i, j := (axis+1)%3, (axis+2)%3
		s, c := math.Sincos(angle)
		v[i], v[j] = c*v[i]-s*v[j], s*v[i]+c*v[j]
	}
	return v
}

func TestCanonicalAndStoredAreInverse(t *testing.T) {
	shape := [3]int{5, 18, 70} // longer than a block on two axes
	for _, turn := range [][3]float64{{}, {0.1, -0.2, 0.3}, {0.4, 0.2, -0.1}} {
		orientations(shape, turn, func(name string, g Geometry) {
			data := make([]int, g.Voxels())
			for i := range data {
				data[i] = i
			}
			x := Nearest(g)
			c, got := g.Canonical(x), Canonical(data, g.Shape, x)
			checkSameWorld(t, name, g, data, c, got)
			for a := range 3 {
				if c.Direction[a][2-a] < 0.7 {
					t.Errorf("%s: canonical axis %d points to %v", name, a, c.Direction[a])
				}
			}
			if diff := cmp.Diff(data, Stored(got, c.Shape, x)); diff != "" {
				t.Fatalf("%s: data (-want +got):\n%s", name, diff)
			}
			back := c.Stored(x)
			if !g.SameGrid(back, 1e-9) || g.Spacing != back.Spacing || g.Direction != back.Direction {
				t.Errorf("%s: geometry %v came back as %v", name, g, back)
			}
		})
	}
}

// checkSameWorld compares the world position of every voxel value.
func checkSameWorld(t *testing.T, name string, g Geometry, data []int, c Geometry, got []int) {
	t.Helper()
	at := func(g Geometry, i int) [3]float64 {
		return g.World([3]float64{
			float64(i / g.Shape[2] / g.Shape[1]), float64(i / g.Shape[2] % g.Shape[1]), float64(i % g.Shape[2]),
		})
	}
	for i, v := range got {
		p, q := at(c, i), at(g, v)
		for w := range 3 {
			if math.Abs(p[w]-q[w]) > 1e-9 {
				t.Fatalf("%s: value %d moved from %v to %v", name, data[v], q, p)
			}
		}
	}
}

func TestNearestPrefersStoredOrderOnTies(t *testing.T) {
	const r = math.Sqrt2 / 2
	for _, noise := range []float64{-1e-9, 0, 1e-9} {
		g := Geometry{Direction: [3][3]float64{{0, 0, 1}, {-r, r + noise, 0}, {r + noise, r, 0}}}
		if diff := cmp.Diff(Unmoved, Nearest(g)); diff != "" {
			t.Errorf("noise %g (-want +got):\n%s", noise, diff)
		}
	}
}

func TestAxesValid(t *testing.T) {
	for from, want := range map[[3]int]bool{
		{0, 1, 2}: true, {2, 0, 1}: true, {0, 0, 0}: false, {0, 1, 3}: false, {-1, 0, 1}: false,
	} {
		if got := (Axes{From: from}).Valid(); got != want {
			t.Errorf("Valid of %v is %v", from, got)
		}
	}
}

func TestFlipEqualsCanonical(t *testing.T) {
	for _, shape := range [][3]int{{1, 1, 1}, {2, 3, 4}, {3, 4, 5}} {
		for signs := range 8 {
			x := Unmoved
			for a := range 3 {
				x.Flip[a] = signs>>a&1 == 1
			}
			data := make([]uint8, shape[0]*shape[1]*shape[2])
			for i := range data {
				data[i] = uint8(i)
			}
			want := Canonical(data, shape, x)
			Flip(data, shape, x.Flip)
			if diff := cmp.Diff(want, data); diff != "" {
				t.Errorf("shape %v flip %v (-want +got):\n%s", shape, x.Flip, diff)
			}
		}
	}
}

func BenchmarkCanonical(b *testing.B) {
	shape := [3]int{64, 256, 256}
	data := make([]float32, 64*256*256)
	for _, from := range permutations {
		x := Axes{From: from, Flip: [3]bool{false, true, true}}
		b.Run(fmt.Sprint(from), func(b *testing.B) {
			b.SetBytes(int64(4 * len(data)))
			for b.Loop() {
				Canonical(data, shape, x)
			}
		})
	}
}
