package plan

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"noisystudent/transforms/cases"
	"noisystudent/transforms/fingerprint"
)

func readJSON(t *testing.T, path string, into any) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, into); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

// dataset has the given number of network outputs.
func dataset(classes int) *cases.Dataset {
	d := &cases.Dataset{Name: "made up", Ignore: -1}
	for id := 1; id < classes; id++ {
		d.Labels = append(d.Labels, cases.Label{ID: id, Name: string(rune('a' + id - 1))})
	}
	return d
}

func facts(shapes [][3]int, spacings [][3]float64) fingerprint.Fingerprint {
	return fingerprint.Fingerprint{
		Shapes: shapes, Spacings: spacings, RelativeSize: 1,
		Intensity: map[string]fingerprint.Intensity{"0": {Mean: 95.5, SD: 54.75, P005: -26, P995: 200}},
	}
}

func TestPlannerEqualsNNUNet(t *testing.T) {
	var want []struct {
		Shapes    [][3]int
		Spacings  [][3]float64
		Classes   int
		Spacing   [3]float64
		Median    [3]float64
		Patch     [3]int
		Batch     int
		BatchDice bool `json:"batch_dice"`
		Features  []int
		Strides   [][3]int
		Kernels   [][3]int
	}
	readJSON(t, "testdata/plans.json", &want)
	for i, w := range want {
		got, err := Make(facts(w.Shapes, w.Spacings), dataset(w.Classes), Options{Preset: NNUNet})
		if err != nil {
			t.Fatalf("case %d: %v", i, err)
		}
		for a := range 3 {
			if math.Abs(got.Spacing[a]-w.Spacing[a]) > 1e-12 {
				t.Errorf("case %d: spacing %v, want %v", i, got.Spacing, w.Spacing)
			}
		}
		type decisions struct {
			Median            [3]float64
			Patch             [3]int
			Batch             int
			BatchDice         bool
			Features          []int
			Strides, Kernels  [][3]int
			Encoder, Decoders int
		}
		n := len(w.Strides)
		if d := cmp.Diff(decisions{w.Median, w.Patch, w.Batch, w.BatchDice, w.Features, w.Strides, w.Kernels, n, n - 1},
			decisions{
				got.MedianShape, got.PatchSize, got.BatchSize, got.BatchDice, got.Network.Features, got.Network.Strides,
				got.Network.Kernels, len(got.Network.ConvsEncoder), len(got.Network.ConvsDecoder),
			}); d != "" {
			t.Errorf("case %d: (-nnU-Net +ours)\n%s", i, d)
		}
	}
}

func TestLowFootprintKeepsThePatch(t *testing.T) {
	spacings := [][3]float64{{2.5, 0.8, 0.8}, {2.5, 0.74, 0.74}, {3, 0.86, 0.86}, {2.5, 0.8, 0.8}, {3, 3, 3}}
	shapes := [][3]int{{96, 464, 464}, {110, 512, 512}, {84, 512, 512}, {90, 384, 384}, {30, 101, 122}}
	p, err := Make(facts(shapes, spacings), dataset(14), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if want := [3]int{40, 224, 192}; p.PatchSize != want || p.BatchSize != 4 || !p.BatchDice {
		t.Errorf("patch %v batch %d batch dice %v, want %v 4 true", p.PatchSize, p.BatchSize, p.BatchDice, want)
	}
	if d := cmp.Diff([]int{16, 32, 64, 128, 256, 320}, p.Network.Features); d != "" {
		t.Errorf("features (-want +got)\n%s", d)
	}
}

func TestTopologyEqualsNNUNet(t *testing.T) {
	var want []struct {
		Spacing   [3]float64
		Patch     [3]float64
		Strides   [][3]int
		Kernels   [][3]int
		PatchOut  [3]int `json:"patch_out"`
		Divisible [3]int `json:"divisible_by"`
	}
	readJSON(t, "testdata/topology.json", &want)
	for _, w := range want {
		got := pool(w.Spacing, w.Patch)
		if d := cmp.Diff(topology{w.PatchOut, w.Strides, w.Kernels}, got, cmp.AllowUnexported(topology{})); d != "" {
			t.Errorf("%v mm, patch %v: (-nnU-Net +ours)\n%s", w.Spacing, w.Patch, d)
		}
		if got.divisor() != w.Divisible {
			t.Errorf("%v mm, patch %v: divisor %v, want %v", w.Spacing, w.Patch, got.divisor(), w.Divisible)
		}
	}
}

func TestSplitsEqualScikitLearn(t *testing.T) {
	var want map[string][]Split
	readJSON(t, "testdata/splits.json", &want)
	for n, w := range want {
		if d := cmp.Diff(w, Splits(Cases(w), 5, SplitSeed)); d != "" {
			t.Errorf("%s cases: (-scikit-learn +ours)\n%s", n, d)
		}
	}
}

// The statistics of FLARE22's 50 labelled cases give the paper's patch.
func TestFLARE22GivesThePapersPatch(t *testing.T) {
	folder := os.Getenv("NOISYSTUDENT_CT")
	if folder == "" {
		t.Skip("needs the real CT: set NOISYSTUDENT_CT")
	}
	var f fingerprint.Fingerprint
	readJSON(t, filepath.Join(folder, "flare22_labelled50_fingerprint.json"), &f)
	p, err := Make(f, dataset(14), Options{})
	if err != nil {
		t.Fatal(err)
	}
	for a, want := range [3]float64{2.5, 0.796, 0.796} {
		if math.Abs(p.Spacing[a]-want) > 5e-4 {
			t.Errorf("spacing %v, want 2.5 0.796 0.796", p.Spacing)
		}
	}
	strides := [][3]int{{1, 1, 1}, {1, 2, 2}, {2, 2, 2}, {2, 2, 2}, {2, 2, 2}, {1, 2, 2}}
	if d := cmp.Diff(strides, p.Network.Strides); d != "" || p.PatchSize != [3]int{40, 224, 192} {
		t.Errorf("patch %v, strides (-want +got)\n%s", p.PatchSize, d)
	}
	if p.BatchSize != 4 || p.Network.Stages() != 6 || !p.BatchDice {
		t.Errorf("batch %d, %d stages, batch dice %v; want 4, 6, true", p.BatchSize, p.Network.Stages(), p.BatchDice)
	}
}
