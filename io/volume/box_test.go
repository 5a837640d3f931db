package volume

import (
	"math/rand/v2"
	"slices"
	"testing"
)

func TestPasteInvertsCrop(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	shape := [3]int{4, 5, 6}
	data := make([]int, 4*5*6)
	for i := range data {
		data[i] = i + 1
	}
	for range 200 {
		var b Box
		for a := range 3 {
			b.Lo[a] = rng.IntN(shape[a] + 1)
			b.Hi[a] = b.Lo[a] + rng.IntN(shape[a]-b.Lo[a]+1)
		}
		part := Crop(data, shape, b)
		dst := make([]int, len(data))
		Paste(dst, shape, b, part)
		inside := 0
		for i, v := range dst {
			z, y, x := i/30, i/6%5, i%6
			in := z >= b.Lo[0] && z < b.Hi[0] && y >= b.Lo[1] && y < b.Hi[1] && x >= b.Lo[2] && x < b.Hi[2]
			if in && v != data[i] || !in && v != 0 {
				t.Fatalf("box %v: voxel %d is %d", b, i, v)
			}
			if in {
				inside++
			}
		}
		if inside != b.Voxels() || inside != len(part) {
			t.Errorf("box %v holds %d voxels, Voxels says %d", b, inside, b.Voxels())
		}
		if again := Crop(dst, shape, b); !slices.Equal(part, again) {
			t.Errorf("box %v: %v became %v", b, part, again)
		}
	}
}

func TestGeometryCropKeepsWorld(t *testing.T) {
	orientations([3]int{9, 8, 7}, [3]float64{0.1, 0.2, 0.3}, func(name string, g Geometry) {
		b := Box{Lo: [3]int{2, 0, 3}, Hi: [3]int{5, 8, 4}}
		c := g.Crop(b)
		p, q := c.World([3]float64{1, 4, 0}), g.World([3]float64{3, 4, 3})
		for w := range 3 {
			if d := p[w] - q[w]; d > 1e-9 || d < -1e-9 {
				t.Fatalf("%s: %v became %v", name, q, p)
			}
		}
		if c.Shape != [3]int{3, 8, 1} {
			t.Errorf("shape %v", c.Shape)
		}
	})
}

func TestBoxWithin(t *testing.T) {
	shape := [3]int{2, 3, 4}
	for _, c := range []struct {
		box  Box
		want bool
	}{
		{Whole(shape), true},
		{Box{}, true},
		{Box{Lo: [3]int{2, 3, 4}, Hi: [3]int{2, 3, 4}}, true},
		{Box{Lo: [3]int{-1, 0, 0}, Hi: [3]int{1, 1, 1}}, false},
		{Box{Lo: [3]int{0, 2, 0}, Hi: [3]int{1, 1, 1}}, false},
		{Box{Hi: [3]int{2, 3, 5}}, false},
	} {
		if got := c.box.Within(shape); got != c.want {
			t.Errorf("%v within %v: %v", c.box, shape, got)
		}
	}
}

func TestCropPanicsOutside(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	Crop(make([]int, 8), [3]int{2, 2, 2}, Box{Hi: [3]int{3, 2, 2}})
}
