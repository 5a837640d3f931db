package predict

import (
	"context"
	"errors"
	"fmt"
	"math"
	"runtime"
	"testing"

	"github.com/google/go-cmp/cmp"

	"noisystudent/model/engine"
	"noisystudent/model/random"
)

// pointwise is a network whose logits at a voxel depend on that voxel alone, so
// that tiling, blending and flipping must not show.
type pointwise struct {
	gain float32
	tile []float32
}

func (p *pointwise) Use(m Model) error {
	p.gain = m.Weights["gain"].Data[0]
	return nil
}

func (p *pointwise) Forward(_ context.Context, tile []float32) error {
	p.tile = tile
	return nil
}

func (p *pointwise) Plane(z int, logits []float32) error {
	n := len(logits) / 3
	for i, v := range p.tile[z*n:][:n] {
		logits[i], logits[n+i], logits[2*n+i] = 0, p.gain*v, p.gain*(v*v-1)
	}
	return nil
}

// logitsOf computes a tile and returns all its logits (C, D, H, W).
func logitsOf(t *testing.T, n Network, tile []float32, classes int, shape [3]int) []float32 {
	t.Helper()
	if err := n.Forward(t.Context(), tile); err != nil {
		t.Fatal(err)
	}
	area := shape[1] * shape[2]
	plane, all := make([]float32, classes*area), make([]float32, classes*len(tile))
	for z := range shape[0] {
		if err := n.Plane(z, plane); err != nil {
			t.Fatal(err)
		}
		for c := range classes {
			copy(all[(c*shape[0]+z)*area:], plane[c*area:][:area])
		}
	}
	return all
}

func gain(g float32) Model {
	return Model{Weights: map[string]engine.Tensor{"gain": {Shape: []int{1}, Data: []float32{g}}}}
}

// byPlane puts rows together to planes (H, W).
func byPlane(shape [3]int, out func(z int, f Finished) error) Rows {
	open, next := map[int]Finished{}, map[int]int{}
	return func(z, y int, f Finished) error {
		area, n := shape[1]*shape[2], len(f.Labels)
		p, known := open[z]
		if !known {
			p = Finished{Labels: make([]uint8, area), Scores: make([]float32, len(f.Scores)/n*area)}
		}
		if y != next[z] {
			return fmt.Errorf("plane %d: rows from %d came when %d were there", z, y, next[z])
		}
		next[z] += n / shape[2]
		copy(p.Labels[y*shape[2]:], f.Labels)
		for c := range len(f.Scores) / n {
			copy(p.Scores[c*area+y*shape[2]:], f.Scores[c*n:(c+1)*n])
		}
		open[z] = p
		if next[z] < shape[1] {
			return nil
		}
		delete(open, z)
		delete(next, z)
		return out(z, p)
	}
}

func noise(n int) []float32 {
	s, out := random.New(7), make([]float32, n)
	for i := range out {
		out[i] = float32(s.Normal())
	}
	return out
}

func TestSegmentIsTheNetworkWhereTilesAgree(t *testing.T) {
	for _, shape := range [][3]int{{4, 6, 8}, {9, 13, 11}, {3, 20, 5}, {17, 6, 8}} {
		for _, step := range []float64{0.5, 1} {
			for _, mirror := range [][3]bool{{}, {true, false, true}} {
				image := noise(voxels(shape))
				s := Settings{Classes: 3, Patch: [3]int{4, 6, 8}, Step: step, Mirror: mirror}
				next := 0
				err := Segment(t.Context(), image, shape, &pointwise{gain: 2}, []Model{gain(2)}, s, byPlane(shape, func(z int, f Finished) error {
					values := f.Scores
					if z != next {
						t.Fatalf("shape %v: plane %d came after %d", shape, z, next-1)
					}
					next++
					area := shape[1] * shape[2]
					for i := range area {
						v := image[z*area+i]
						for c, want := range []float32{0, 2 * v, 2 * (v*v - 1)} {
							if got := values[c*area+i]; math.Abs(float64(got-want)) > 1e-4 {
								t.Fatalf("shape %v step %v mirror %v: plane %d voxel %d class %d = %v, want %v", shape, step, mirror, z, i, c, got, want)
							}
						}
					}
					return nil
				}))
				if err != nil || next != shape[0] {
					t.Errorf("shape %v: %d planes, error %v", shape, next, err)
				}
			}
		}
	}
}

func TestEnsembleIsTheMeanOfSoftmax(t *testing.T) {
	shape := [3]int{5, 9, 7}
	image := noise(voxels(shape))
	models := []Model{gain(0.5), gain(-1), gain(3)}
	s := Settings{Classes: 3, Patch: [3]int{4, 4, 4}, Step: 0.5}
	area := shape[1] * shape[2]
	err := Segment(t.Context(), image, shape, &pointwise{}, models, s, byPlane(shape, func(z int, f Finished) error {
		values := f.Scores
		for i := range area {
			v := float64(image[z*area+i])
			var want [3]float64
			for _, g := range []float64{0.5, -1, 3} {
				e := [3]float64{1, math.Exp(g * v), math.Exp(g * (v*v - 1))}
				for c := range want {
					want[c] += e[c] / (e[0] + e[1] + e[2]) / 3
				}
			}
			for c := range want {
				if got := float64(values[c*area+i]); math.Abs(got-want[c]) > 1e-5 {
					t.Fatalf("plane %d voxel %d class %d = %v, want %v", z, i, c, got, want[c])
				}
			}
		}
		return nil
	}))
	if err != nil {
		t.Fatal(err)
	}
}

func TestLabelsCountAndConfidence(t *testing.T) {
	shape := [3]int{4, 4, 4}
	image := make([]float32, 64)
	image[5], image[9] = 1, 3 // class 1 wins at 1, class 2 at 3
	for i := range image {
		if image[i] == 0 {
			image[i] = -0.5 // background wins
		}
	}
	r, err := Labels(t.Context(), image, shape, &pointwise{gain: 1}, []Model{gain(1)}, Settings{Classes: 3, Patch: shape, Step: 0.5})
	if err != nil {
		t.Fatal(err)
	}
	if r.Labels[5] != 1 || r.Labels[9] != 2 || r.Voxels[0] != 62 || r.Voxels[1] != 1 || r.Voxels[2] != 1 {
		t.Errorf("labels %d and %d, counts %v", r.Labels[5], r.Labels[9], r.Voxels)
	}
	one := math.E / (1 + math.E + 1)
	two := math.Exp(8) / (1 + math.Exp(3) + math.Exp(8))
	if want := (one + two) / 2; math.Abs(r.Confidence-want) > 1e-5 {
		t.Errorf("confidence %v, want %v", r.Confidence, want)
	}
}

func TestThreadsDoNotShow(t *testing.T) {
	shape := [3]int{11, 40, 37}
	image := noise(voxels(shape))
	s := Settings{Classes: 3, Patch: [3]int{4, 16, 16}, Step: 0.5, Mirror: [3]bool{false, false, true}}
	var results []*Result
	for _, threads := range []int{1, 5} {
		before := runtime.GOMAXPROCS(threads)
		for _, models := range [][]Model{{gain(2)}, {gain(2), gain(-1)}} {
			r, err := Labels(t.Context(), image, shape, &pointwise{}, models, s)
			if err != nil {
				t.Fatal(err)
			}
			results = append(results, r)
		}
		runtime.GOMAXPROCS(before)
	}
	if d := cmp.Diff(results[:2], results[2:]); d != "" {
		t.Errorf("one thread and five (-one +five)\n%s", d)
	}
}

func TestSegmentRefuses(t *testing.T) {
	for _, s := range []Settings{{Step: 0}, {Step: 1.5}, {Step: math.NaN()}} {
		if err := Segment(t.Context(), nil, [3]int{}, nil, []Model{{}}, s, nil); err == nil {
			t.Errorf("a step of %v is taken", s.Step)
		}
	}
	broken, shape := errors.New("full"), [3]int{8, 6, 8}
	s := Settings{Classes: 3, Patch: [3]int{4, 6, 8}, Step: 0.5}
	err := Segment(t.Context(), noise(voxels(shape)), shape, &pointwise{gain: 2}, []Model{gain(2)}, s, func(z, _ int, _ Finished) error {
		if z == 3 {
			return broken
		}
		return nil
	})
	if !errors.Is(err, broken) {
		t.Errorf("an error of the export: %v", err)
	}
}
