package patch

import (
	"encoding/json"
	"math"
	"os"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"noisystudent/io/iotest"
)

func readJSON(t *testing.T, name string, v any) {
	t.Helper()
	data, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, v); err != nil {
		t.Fatal(err)
	}
}

func TestWindowsParity(t *testing.T) {
	var fixtures []struct {
		Padded, Tile [3]int
		Step         float64
		Steps        [3][]int
	}
	readJSON(t, "sliding_steps.json", &fixtures)
	for _, f := range fixtures {
		var got [3][]int
		for _, w := range Windows(f.Padded, f.Tile, f.Step) {
			for a, v := range w {
				if !slices.Contains(got[a], v) {
					got[a] = append(got[a], v)
				}
			}
		}
		if d := cmp.Diff(f.Steps, got); d != "" {
			t.Errorf("%v in tiles of %v, step %v: %s", f.Padded, f.Tile, f.Step, d)
		}
		if n := len(f.Steps[0]) * len(f.Steps[1]) * len(f.Steps[2]); n != len(Windows(f.Padded, f.Tile, f.Step)) {
			t.Errorf("%v: not every combination of steps is a window", f.Padded)
		}
	}
}

// Windows cover every voxel, stay inside and are in (z, y, x) order.
func TestWindowsCover(t *testing.T) {
	tile := [3]int{4, 6, 5}
	for _, shape := range [][3]int{{4, 6, 5}, {5, 7, 6}, {9, 13, 11}, {17, 6, 23}} {
		for _, step := range []float64{0.3, 0.5, 0.77, 1} {
			covered := make([]bool, shape[0]*shape[1]*shape[2])
			windows := Windows(shape, tile, step)
			if !slices.IsSortedFunc(windows, func(a, b [3]int) int { return slices.Compare(a[:], b[:]) }) {
				t.Errorf("shape %v step %v: not in order", shape, step)
			}
			for _, w := range windows {
				for i := range tile[0] * tile[1] * tile[2] {
					z, y, x := w[0]+i/(tile[1]*tile[2]), w[1]+i/tile[2]%tile[1], w[2]+i%tile[2]
					if z >= shape[0] || y >= shape[1] || x >= shape[2] {
						t.Fatalf("shape %v step %v: window %v sticks out", shape, step, w)
					}
					covered[(z*shape[1]+y)*shape[2]+x] = true
				}
			}
			if slices.Contains(covered, false) {
				t.Errorf("shape %v step %v: a voxel is in no window", shape, step)
			}
		}
	}
}

func TestPadParity(t *testing.T) {
	var fixtures []struct {
		Shape, Out [4]int
		Tile       [3]int
		SliceBack  [4][2]int `json:"slice_back"`
	}
	readJSON(t, "pad_nd_image.json", &fixtures)
	for _, f := range fixtures {
		size, before := Pad([3]int(f.Shape[1:]), f.Tile)
		if size != [3]int(f.Out[1:]) {
			t.Errorf("%v to %v: size %v, want %v", f.Shape, f.Tile, size, f.Out)
		}
		for a, b := range before {
			if b != f.SliceBack[a+1][0] {
				t.Errorf("%v to %v: %v before, want %v", f.Shape, f.Tile, before, f.SliceBack)
			}
		}
	}
}

// scipy normalises the kernel and nnU-Net divides by the greatest value; that leaves
// a unit in the last place.
func TestGaussianParity(t *testing.T) {
	for name, want := range iotest.Tensors(t, "testdata/gaussian.safetensors") {
		tile := [3]int(want.Shape)
		got := Gaussian(tile)
		tolerance := 3e-7
		if name[:4] == "fp16" {
			got, tolerance = Gaussian16(tile), 0
		}
		for i, v := range got {
			if d := math.Abs(float64(v-want.Data[i])) / float64(want.Data[i]); d > tolerance {
				t.Fatalf("%s: value %d is %g, want %g", name, i, v, want.Data[i])
			}
		}
	}
}

func TestGaussianParityOfThePaper(t *testing.T) {
	lines := iotest.Tensors(t, "testdata/gaussian_40x224x192_lines.safetensors")
	got := Gaussian([3]int{40, 224, 192})
	at := func(z, y, x int) float32 { return got[(z*224+y)*192+x] }
	check := func(name string, i int, v float32) {
		if want := lines[name].Data[i]; math.Abs(float64(v/want-1)) > 3e-7 {
			t.Errorf("%s %d: %g, want %g", name, i, v, want)
		}
	}
	for i := range 40 {
		check("z", i, at(i, 112, 96))
		check("diag", i, at(i, i*224/40, i*192/40))
	}
	for i := range 224 {
		check("y", i, at(20, i, 96))
	}
	for i := range 192 {
		check("x", i, at(20, 112, i))
	}
	for i := range 64 {
		check("corner", i, at(i/16, i/4%4, i%4))
	}
}
