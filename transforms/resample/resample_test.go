package resample

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"

	"noisystudent/io/volume"
)

func randomImage(r *rand.Rand, shape [3]int) []float32 {
	data := make([]float32, shape[0]*shape[1]*shape[2])
	for i := range data {
		data[i] = float32(r.NormFloat64())
	}
	return data
}

func randomLabels(r *rand.Rand, shape [3]int, classes int) []uint8 {
	data := make([]uint8, shape[0]*shape[1]*shape[2])
	for i := range data {
		data[i] = uint8(r.IntN(classes))
		if i > 0 && r.Float64() < 0.7 {
			data[i] = data[i-1]
		}
	}
	return data
}

func TestNewMapping(t *testing.T) {
	for _, c := range []struct {
		shape    [3]int
		from, to [3]float64
		want     Mapping
	}{
		{[3]int{96, 512, 512}, [3]float64{2.5, 0.75, 0.75}, [3]float64{2.5, 0.8, 0.8}, Mapping{To: [3]int{96, 480, 480}, Coarse: 0}},
		{[3]int{30, 30, 30}, [3]float64{3, 3, 3}, [3]float64{2.5, 0.8, 0.8}, Mapping{To: [3]int{36, 112, 112}, Coarse: 0}}, // 112.5 to even
		{[3]int{30, 31, 30}, [3]float64{1, 1, 1}, [3]float64{2, 2, 2}, Mapping{To: [3]int{15, 16, 15}, Coarse: -1}},        // 15.5 to even
		{[3]int{9, 9, 9}, [3]float64{3, 1, 1}, [3]float64{1, 1, 1}, Mapping{To: [3]int{27, 9, 9}, Coarse: -1}},             // 3 is not above 3
		{[3]int{9, 9, 9}, [3]float64{5, 5, 1}, [3]float64{1, 1, 4}, Mapping{To: [3]int{45, 45, 2}, Coarse: -1}},            // the source decides, though its two are equal
		{[3]int{9, 9, 9}, [3]float64{1, 4, 1}, [3]float64{5, 1, 1}, Mapping{To: [3]int{2, 36, 9}, Coarse: 1}},              // source before target
		{[3]int{1, 9, 9}, [3]float64{0.5, 1, 1}, [3]float64{3, 1, 1}, Mapping{To: [3]int{1, 9, 9}, Coarse: -1}},            // at least one voxel
	} {
		c.want.From = c.shape
		if got, err := NewMapping(c.shape, c.from, c.to); err != nil || got != c.want {
			t.Errorf("%v of %v mm to %v mm: got %+v, %v, want %+v", c.shape, c.from, c.to, got, err, c.want)
		}
	}
	if _, err := NewMapping([3]int{500, 500, 500}, [3]float64{5, 5, 5}, [3]float64{0.5, 0.5, 0.5}); !errors.Is(err, ErrTooLarge) {
		t.Errorf("125 thousand million voxels: got %v", err)
	}
	for _, bad := range []float64{0, -1, math.NaN()} {
		if _, err := NewMapping([3]int{5, 5, 5}, [3]float64{1, bad, 1}, [3]float64{1, 1, 1}); err == nil {
			t.Errorf("spacing %g: no error", bad)
		}
	}
}

func TestOwnShapeIsIdentity(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	shape := [3]int{4, 7, 9}
	image, labels := randomImage(r, shape), randomLabels(r, shape, 5)
	for coarse := -1; coarse < 3; coarse++ {
		m := Mapping{shape, shape, coarse}
		got, err := Image(t.Context(), image, m)
		if err != nil || !slices.Equal(got, image) {
			t.Errorf("coarse axis %d: the image changed (%v)", coarse, err)
		}
		if got, _ := Labels(t.Context(), labels, m); !slices.Equal(got, labels) {
			t.Errorf("coarse axis %d: the labels changed", coarse)
		}
		if got, _ := Linear(t.Context(), image, m); !slices.Equal(got, image) {
			t.Errorf("coarse axis %d: the scores changed", coarse)
		}
	}
	if got := Nearest(labels, Mapping{shape, shape, -1}); !slices.Equal(got, labels) {
		t.Error("nearest: the labels changed")
	}
	if got := ExportLabels(labels, shape, volume.Whole(shape), shape); !slices.Equal(got, labels) {
		t.Error("export: the labels changed")
	}
}

// TestSplineIsSeparable holds the three stages to a direct sum over 4x4x4
// coefficients from a filter in float64, as SciPy does it.
func TestSplineIsSeparable(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 2))
	m := Mapping{[3]int{5, 6, 7}, [3]int{8, 4, 11}, -1}
	image := randomImage(r, m.From)
	got, err := Image(t.Context(), image, m)
	if err != nil {
		t.Fatal(err)
	}
	const pad = 12
	padded := [3]int{m.From[0] + 2*pad, m.From[1] + 2*pad, m.From[2] + 2*pad}
	c := make([]float64, padded[0]*padded[1]*padded[2])
	for i := range c {
		at := [3]int{i / (padded[1] * padded[2]), i / padded[2] % padded[1], i % padded[2]}
		for a := range 3 {
			at[a] = min(max(at[a]-pad, 0), m.From[a]-1)
		}
		c[i] = float64(image[(at[0]*m.From[1]+at[1])*m.From[2]+at[2]])
	}
	for stride, n := 1, padded[2]; ; {
		filterLines(c, n, stride)
		if stride == padded[1]*padded[2] {
			break
		}
		if stride == 1 {
			stride, n = padded[2], padded[1]
		} else {
			stride, n = padded[1]*padded[2], padded[0]
		}
	}
	lo, hi := slices.Min(image), slices.Max(image)
	for i := range got {
		at := [3]int{i / (m.To[1] * m.To[2]), i / m.To[2] % m.To[1], i % m.To[2]}
		want := 0.0
		for k := range 64 {
			weight, index := 1.0, 0
			for a := range 3 {
				x := coordinate(at[a], m.From[a], m.To[a])
				knot := int(math.Floor(x)) - 1 + k>>(2*(2-a))&3
				weight *= cubicB(x - float64(knot))
				index = index*padded[a] + knot + pad
			}
			want += weight * c[index]
		}
		if math.Abs(float64(got[i])-min(max(want, float64(lo)), float64(hi))) > 1e-5 {
			t.Fatalf("voxel %v: got %g, want %g", at, got[i], want)
		}
	}
}

// cubicB is the cubic B-spline.
func cubicB(x float64) float64 {
	if x = math.Abs(x); x < 1 {
		return (4 - 6*x*x + 3*x*x*x) / 6
	}
	return max(2-x, 0) * max(2-x, 0) * max(2-x, 0) / 6
}

// filterLines solves c[k-1]/6 + 4c[k]/6 + c[k+1]/6 = s[k] along one axis by the
// tridiagonal algorithm, constant beyond the ends.
func filterLines(data []float64, n, stride int) {
	for start := range data {
		if start/stride%n != 0 {
			continue
		}
		diagonal, rhs := make([]float64, n), make([]float64, n)
		for k := range n {
			diagonal[k], rhs[k] = 4, 6*data[start+k*stride]
		}
		diagonal[0]++ // the neighbour beyond the end is equal
		diagonal[n-1]++
		for k := 1; k < n; k++ {
			f := 1 / diagonal[k-1]
			diagonal[k] -= f
			rhs[k] -= f * rhs[k-1]
		}
		for k := n - 1; k >= 0; k-- {
			if k < n-1 {
				rhs[k] -= data[start+(k+1)*stride]
			}
			data[start+k*stride] = rhs[k] / diagonal[k]
		}
	}
}

func TestResultsDoNotDependOnWorkers(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 3))
	for coarse := -1; coarse < 3; coarse++ {
		m := Mapping{[3]int{9, 11, 13}, [3]int{14, 8, 21}, coarse}
		image, labels := randomImage(r, m.From), randomLabels(r, m.From, 4)
		var images [2][]float32
		var classes [2][]uint8
		for i, n := range []int{1, 5} {
			before := runtime.GOMAXPROCS(n)
			images[i], _ = Image(t.Context(), image, m)
			classes[i], _ = Labels(t.Context(), labels, m)
			runtime.GOMAXPROCS(before)
		}
		if !slices.Equal(images[0], images[1]) || !slices.Equal(classes[0], classes[1]) {
			t.Errorf("coarse axis %d: one worker and five differ", coarse)
		}
	}
}

func TestImageStopsWithContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	m := Mapping{[3]int{4, 4, 4}, [3]int{5, 5, 5}, -1}
	if _, err := Image(ctx, make([]float32, 64), m); !errors.Is(err, context.Canceled) {
		t.Errorf("image: got %v", err)
	}
	if _, err := Labels(ctx, make([]uint8, 64), m); !errors.Is(err, context.Canceled) {
		t.Errorf("labels: got %v", err)
	}
}

// TestExportLabels holds the rule to its formula, and to nearest by shape ratio
// where no tie is rounded.
func TestExportLabels(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 4))
	for range 50 {
		var from, full [3]int
		var crop volume.Box
		for a := range 3 {
			from[a], full[a] = 1+r.IntN(9), 1+r.IntN(12)
			crop.Lo[a] = r.IntN(full[a])
			crop.Hi[a] = crop.Lo[a] + 1 + r.IntN(full[a]-crop.Lo[a])
		}
		labels := randomLabels(r, from, 200)
		got := ExportLabels(labels, from, crop, full)
		near := Nearest(labels, Mapping{From: from, To: crop.Shape(), Coarse: -1})
		inside := 0
		for i, keep := range inBox(full, crop) {
			want := uint8(0)
			if keep {
				at := [3]int{i / (full[1] * full[2]), i / full[2] % full[1], i % full[2]}
				index := 0
				for a := range 3 {
					size := crop.Hi[a] - crop.Lo[a]
					index = index*from[a] + (2*(at[a]-crop.Lo[a])+1)*from[a]/(2*size)
				}
				want = labels[index]
				if near[inside] != want {
					t.Errorf("from %v to %v: scikit-image's nearest differs", from, crop.Shape())
				}
				inside++
			}
			if got[i] != want {
				t.Fatalf("from %v, crop %v of %v, voxel %d: got %d, want %d", from, crop, full, i, got[i], want)
			}
		}
	}
}

// TestLabelsEqualDefinition holds the short cut over uniform regions to the vote
// at every voxel.
func TestLabelsEqualDefinition(t *testing.T) {
	r := rand.New(rand.NewPCG(6, 6))
	for range 60 {
		var m Mapping
		for a := range 3 {
			m.From[a], m.To[a] = 1+r.IntN(20), 1+r.IntN(24)
		}
		m.Coarse = r.IntN(4) - 1
		labels := randomLabels(r, m.From, 3)
		got, err := Labels(t.Context(), labels, m)
		if err != nil {
			t.Fatal(err)
		}
		b := newBorders(labels, m)
		row := make([]uint8, m.To[2])
		for z := range m.To[0] {
			for y := range m.To[1] {
				b.mixed(row, z, y, 0, m.To[2], &vote{labels: labels})
				if at := (z*m.To[1] + y) * m.To[2]; !slices.Equal(row, got[at:at+m.To[2]]) {
					t.Fatalf("%+v, row %d %d: got %v, want %v", m, z, y, got[at:at+m.To[2]], row)
				}
			}
		}
	}
}
