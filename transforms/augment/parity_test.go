package augment

import (
	"context"
	"encoding/json"
	"math"
	"os"
	"slices"
	"sync"
	"testing"

	"noisystudent/io/safetensors"
	"noisystudent/model/random"
)

// fixtures are the outputs of batchgeneratorsv2, see testdata/ORIGIN.md.
type fixtures struct {
	*safetensors.File
	Patch, Corner [3]int
	Spatial       map[string]spatialCase
	Blur          [][3]float64
	Brightness    []float64
	Contrast      []float64
	Low           []float64
	Gamma         [][2]any
	Mirror        [][]int
	Factors       [][2]float64
	Tie           []float64
}

type spatialCase struct {
	angles [3]float64
	scale  float64
}

func (s *spatialCase) UnmarshalJSON(b []byte) error {
	return json.Unmarshal(b, &[]any{&s.angles, &s.scale})
}

var load = sync.OnceValues(func() (*fixtures, error) {
	data, err := os.ReadFile("testdata/fixtures.safetensors")
	if err != nil {
		return nil, err
	}
	f := &fixtures{}
	if f.File, err = safetensors.Decode(data); err != nil {
		return nil, err
	}
	return f, json.Unmarshal([]byte(f.Metadata["parameters"]), f)
})

func read(t testing.TB) *fixtures {
	t.Helper()
	f, err := load()
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// memory is a case held in memory.
type memory struct {
	shape  [3]int
	image  []float32
	labels []uint8
}

func (m memory) Shape() [3]int { return m.shape }

func (m memory) ReadImage(_ context.Context, lo, hi [3]int, dst []float32) error {
	copyBox(dst, m.image, m.shape, lo, hi)
	return nil
}

func (m memory) ReadLabels(_ context.Context, lo, hi [3]int, dst []uint8) error {
	copyBox(dst, m.labels, m.shape, lo, hi)
	return nil
}

func copyBox[T any](dst, src []T, shape, lo, hi [3]int) {
	i := 0
	for z := lo[0]; z < hi[0]; z++ {
		for y := lo[1]; y < hi[1]; y++ {
			i += copy(dst[i:], src[(z*shape[1]+y)*shape[2]:][lo[2]:hi[2]])
		}
	}
}

func (f *fixtures) shape(name string) [3]int { return [3]int(f.Tensors[name].Shape) }

func (f *fixtures) labels(name string) []uint8 {
	l := make([]uint8, len(f.Tensors[name].Data))
	for i, v := range f.Tensors[name].Data {
		l[i] = uint8(v)
	}
	return l
}

func (f *fixtures) source() memory {
	return memory{f.shape("case.image"), f.Tensors["case.image"].Data, f.labels("case.labels")}
}

func (f *fixtures) apply(t *testing.T, p Params) Patch {
	t.Helper()
	n := f.Patch[0] * f.Patch[1] * f.Patch[2]
	dst := Patch{f.Patch, make([]float32, n), make([]uint8, n)}
	var s Scratch
	if err := s.Apply(t.Context(), p, f.source(), f.Corner, dst); err != nil {
		t.Fatal(err)
	}
	return dst
}

func (f *fixtures) compare(t *testing.T, got []float32, name string, tolerance float64) {
	t.Helper()
	want := f.Tensors[name].Data
	if len(want) != len(got) {
		t.Fatalf("%s: %d values, want %d", name, len(got), len(want))
	}
	worst := 0.0
	for i, v := range got {
		worst = max(worst, math.Abs(float64(v-want[i])))
	}
	t.Logf("%s: greatest difference %.2g", name, worst)
	if !(worst <= tolerance) {
		t.Errorf("%s: differs by %g, tolerance %g", name, worst, tolerance)
	}
}

func (f *fixtures) compareLabels(t *testing.T, got []uint8, name string) {
	t.Helper()
	if !slices.Equal(got, f.labels(name)) {
		n := 0
		for i, v := range f.labels(name) {
			if v != got[i] {
				n++
			}
		}
		t.Errorf("%s: %d of %d labels differ", name, n, len(got))
	}
}

// Positions are exact here and float32 in torch, so a linear interpolation of
// values of size 4 may differ by 1e-5.
func TestSpatialParity(t *testing.T) {
	f := read(t)
	for name, c := range f.Spatial {
		t.Run(name, func(t *testing.T) {
			got := f.apply(t, Params{Angles: c.angles, Scale: c.scale})
			f.compare(t, got.Image, name+".image", 2e-5)
			f.compareLabels(t, got.Labels, name+".labels")
		})
	}
}

// Between voxels, labels tie exactly or within float16, and the nearest voxel decides.
func TestTieParity(t *testing.T) {
	f := read(t)
	shape := f.shape("tie.case")
	src := memory{shape, make([]float32, len(f.labels("tie.case"))), f.labels("tie.case")}
	for i, scale := range f.Tie {
		dst := Patch{[3]int{12, 12, 12}, make([]float32, 12*12*12), make([]uint8, 12*12*12)}
		var s Scratch
		if err := s.Apply(t.Context(), Params{Scale: scale}, src, [3]int{2, 2, 2}, dst); err != nil {
			t.Fatal(err)
		}
		f.compareLabels(t, dst.Labels, "tie"+string(rune('0'+i)))
	}
}

func TestIntensityParity(t *testing.T) {
	f := read(t)
	check := func(name string, i int, tolerance float64, p Params) {
		t.Helper()
		f.compare(t, f.apply(t, p).Image, name+string(rune('0'+i)), tolerance)
	}
	for i, s := range f.Blur {
		check("blur", i, 2e-6, Params{BlurSigma: s})
	}
	for i, v := range f.Brightness {
		check("brightness", i, 1e-6, Params{Brightness: v})
	}
	for i, v := range f.Contrast {
		check("contrast", i, 2e-6, Params{Contrast: v})
	}
	for i, v := range f.Low {
		check("low", i, 2e-6, Params{LowRes: v})
	}
	for i, v := range f.Gamma {
		check("gamma", i, 2e-5, Params{Gamma: []Gamma{{Exponent: v[0].(float64), Invert: v[1].(bool)}}})
	}
}

func flips(axes []int) (f [3]bool) {
	for _, a := range axes {
		f[a] = true
	}
	return f
}

func TestMirrorParity(t *testing.T) {
	f := read(t)
	for i, axes := range f.Mirror {
		got := f.apply(t, Params{Flip: flips(axes)})
		name := "mirror" + string(rune('0'+i))
		f.compare(t, got.Image, name+".image", 0)
		f.compareLabels(t, got.Labels, name+".labels")
	}
}

// All transforms at once pin their order.
func TestOrderParity(t *testing.T) {
	f := read(t)
	both := f.Spatial["both"]
	got := f.apply(t, Params{
		Angles: both.angles, Scale: both.scale, BlurSigma: f.Blur[0], Brightness: 1.23, Contrast: 1.4, LowRes: 0.73,
		Gamma: []Gamma{{Exponent: 0.72}}, Flip: flips([]int{0, 2}),
	})
	f.compare(t, got.Image, "chain.image", 5e-5)
	f.compareLabels(t, got.Labels, "chain.labels")
}

// Brightness, contrast and gamma draw their factors as BGContrast does: compare the
// quantiles of 200,000 draws of each.
func TestFactorParity(t *testing.T) {
	f := read(t)
	for i, r := range f.Factors {
		want := f.Tensors["factors"+string(rune('0'+i))].Data
		s, n := random.New(1), 200_000
		draws := make([]float64, n)
		for k := range draws {
			draws[k] = Range{r[0], r[1]}.balanced(s)
		}
		slices.Sort(draws)
		for k, w := range want {
			got := draws[min(k*n/(len(want)-1), n-1)]
			if math.Abs(got-float64(w)) > 0.006 {
				t.Errorf("factors %v: quantile %d is %.4f, want %.4f", r, k, got, w)
			}
		}
	}
}
