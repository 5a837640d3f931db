package resample

import (
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"noisystudent/transforms/plan"
)

// tolerance of z-scores, the fixtures' manifest's.
const tolerance = 2e-5

func mapping(t *testing.T, shape [3]int, from, to [3]float64, coarse int) Mapping {
	t.Helper()
	m, err := NewMapping(shape, from, to)
	if err != nil {
		t.Fatal(err)
	}
	if m.Coarse != coarse {
		t.Errorf("%v mm to %v mm: got coarse axis %d, want %d", from, to, m.Coarse, coarse)
	}
	return m
}

func TestImagesEqualNNUNet(t *testing.T) {
	for name, s := range readManifest(t) {
		if s.Order != 3 {
			continue
		}
		t.Run(name, func(t *testing.T) {
			checkImage(t, "testdata/"+name, s.Old, s.New, s.Coarse, tolerance)
		})
	}
}

func checkImage(t *testing.T, path string, from, to [3]float64, coarse int, tolerance float64) {
	t.Helper()
	in, want := readNPY(t, path+"_in.npy"), readNPY(t, path+"_out.npy")
	m := mapping(t, in.last3(), from, to, coarse)
	if m.To != want.last3() {
		t.Fatalf("got shape %v, want %v", m.To, want.shape)
	}
	got, err := Image(t.Context(), in.floats(), m)
	if err != nil {
		t.Fatal(err)
	}
	diff, at := worst(got, want.data)
	if diff > tolerance {
		t.Errorf("voxel %d: got %g, want %g", at, got[at], want.data[at])
	}
	t.Logf("largest difference %.2g", diff)
}

func TestLabelsEqualNNUNet(t *testing.T) {
	for name, s := range readManifest(t) {
		if s.Order == 3 {
			continue
		}
		t.Run(name, func(t *testing.T) {
			checkLabels(t, "testdata/"+name+"_in.npy", "testdata/"+name+"_out.npy", s.Old, s.New, s.Coarse, s.Order)
		})
	}
}

func checkLabels(t *testing.T, inPath, outPath string, from, to [3]float64, coarse, order int) {
	t.Helper()
	in, want := readNPY(t, inPath), readNPY(t, outPath)
	raise := int(-slices.Min(in.data)) // -1 is a class of its own in nnU-Net
	m := mapping(t, in.last3(), from, to, coarse)
	if m.To != want.last3() {
		t.Fatalf("got shape %v, want %v", m.To, want.shape)
	}
	got := Nearest(in.classes(raise), m)
	if order == 1 {
		var err error
		if got, err = Labels(t.Context(), in.classes(raise), m); err != nil {
			t.Fatal(err)
		}
	}
	wrong := 0
	for i, w := range want.classes(raise) {
		if got[i] != w {
			wrong++
		}
	}
	if wrong > 0 {
		t.Errorf("%d of %d voxels differ", wrong, len(got))
	}
}

// TestLogitsEqualNNUNet compares with nnU-Net's float16 result: ours, unrounded,
// must lie within half a float16 step of it.
func TestLogitsEqualNNUNet(t *testing.T) {
	for name, c := range map[string]struct {
		from, to [3]float64
		coarse   int
	}{
		"resample_prob_iso":  {[3]float64{2, 1.5, 1.5}, [3]float64{1, 1, 1}, -1},
		"resample_prob_sepz": {[3]float64{2.5, 0.8, 0.8}, [3]float64{5, 0.7, 0.7}, 0},
	} {
		in, want := readNPY(t, "testdata/"+name+"_in.npy"), readNPY(t, "testdata/"+name+"_out.npy")
		m := Mapping{From: in.last3(), To: want.last3(), Coarse: CoarseAxis(c.from, c.to)}
		if m.Coarse != c.coarse {
			t.Errorf("%s: got coarse axis %d, want %d", name, m.Coarse, c.coarse)
		}
		nIn, nOut := len(in.data)/in.shape[0], len(want.data)/want.shape[0]
		for channel := range in.shape[0] {
			got, err := Linear(t.Context(), in.floats()[channel*nIn:(channel+1)*nIn], m)
			if err != nil {
				t.Fatal(err)
			}
			for i, v := range got {
				w := want.data[channel*nOut+i]
				step := math.Ldexp(1, max(math.Ilogb(math.Abs(w)+1e-9), -14)-10)
				if math.Abs(float64(v)-w) > step/2+tolerance*math.Abs(w) {
					t.Fatalf("%s, channel %d, voxel %d: got %g, want %g", name, channel, i, v, w)
				}
			}
		}
		checkExporter(t, in, m)
	}
}

// checkExporter holds the exporter to the arg-max of resampled channels.
func checkExporter(t *testing.T, in array, m Mapping) {
	t.Helper()
	classes, n, size := in.shape[0], len(in.data)/in.shape[0], m.From[1]*m.From[2]
	scores := in.floats()
	var channels [][]float32
	for c := range classes {
		out, err := Linear(t.Context(), scores[c*n:(c+1)*n], m)
		if err != nil {
			t.Fatal(err)
		}
		channels = append(channels, out)
	}
	e := NewExporter(m, classes)
	for z := range m.From[0] {
		plane, labels := make([]float32, 0, classes*size), make([]uint8, size)
		for c := range classes {
			plane = append(plane, scores[c*n+z*size:c*n+(z+1)*size]...)
		}
		for i := range labels {
			labels[i] = argmaxOf(func(c int) float32 { return plane[c*size+i] }, classes)
		}
		if err := e.Rows(t.Context(), z, 0, plane, labels); err != nil {
			t.Fatal(err)
		}
	}
	wrong := 0
	for i, got := range e.Labels() {
		if got != argmaxOf(func(c int) float32 { return channels[c][i] }, classes) {
			wrong++
		}
	}
	if wrong > 0 {
		t.Errorf("exporter: %d voxels differ from the arg-max of resampled scores", wrong)
	}
}

func argmaxOf(score func(c int) float32, classes int) uint8 {
	best := 0
	for c := range classes {
		if score(c) > score(best) {
			best = c
		}
	}
	return uint8(best)
}

func TestCropEqualsNNUNet(t *testing.T) {
	in, seg := readNPY(t, "testdata/crop_in_image.npy"), readNPY(t, "testdata/crop_in_seg.npy")
	box := checkCrop(t, in)
	mask := NonzeroMask(in.floats(), in.last3())
	cropped := func(v []float64) []float64 {
		var out []float64
		for i, keep := range inBox(in.last3(), box) {
			if keep {
				out = append(out, v[i])
			}
		}
		return out
	}
	withLabels, without := slices.Clone(seg.data), make([]float64, len(seg.data))
	for i, inside := range mask {
		if !inside {
			without[i] = -1
			if withLabels[i] == 0 {
				withLabels[i] = -1
			}
		}
	}
	for name, got := range map[string][]float64{"crop_out_image": cropped(in.data), "crop_out_seg": cropped(withLabels), "crop_out_seg_nolabel": cropped(without)} {
		if !slices.Equal(got, readNPY(t, "testdata/"+name+".npy").data) {
			t.Errorf("%s differs", name)
		}
	}
}

// TestRealCTEqualsNNUNet runs the same comparisons on fixtures cut from a real CT.
func TestRealCTEqualsNNUNet(t *testing.T) {
	dir, files := realManifest(t)
	images, labels := 0, 0
	for file, e := range files {
		name, ok := strings.CutSuffix(file, "_out.npy")
		if !ok || !strings.HasPrefix(name, "resample_") || strings.HasPrefix(name, "resample_prob") {
			continue
		}
		coarse := -1
		if e.Coarse != nil {
			coarse = *e.Coarse
		}
		t.Run(name, func(t *testing.T) {
			in := filepath.Join(dir, name+"_in.npy")
			switch {
			case !e.Seg:
				images++
				checkImage(t, filepath.Join(dir, name), e.Old, e.New, coarse, e.Tolerance)
			default:
				labels++
				if strings.Contains(name, "nearest") {
					in = filepath.Join(dir, "resample_seg_iso_in.npy")
				}
				checkLabels(t, in, filepath.Join(dir, name+"_out.npy"), e.Old, e.New, coarse, e.Order)
			}
		})
	}
	if images != 6 || labels != 4 {
		t.Errorf("compared %d images and %d labels, want 6 and 4", images, labels)
	}
	e := files["norm_out.npy"]
	values := readNPY(t, filepath.Join(dir, "norm_in.npy")).floats()
	Normalise(values, plan.Intensity{Mean: e.Intensity.Mean, SD: e.Intensity.SD, P005: e.Intensity.P005, P995: e.Intensity.P995})
	if diff, _ := worst(values, readNPY(t, filepath.Join(dir, "norm_out.npy")).data); !(diff <= e.Tolerance) {
		t.Errorf("normalise: largest difference %g", diff)
	}
}
