package score

import (
	"encoding/json"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"noisystudent/io/volume"
)

// parity is the largest difference from surface-distance that is allowed: the
// sums are the same but for their order.
const parity = 1e-9

type fixture struct {
	Scores []struct {
		Spacing [3]float64   `json:"spacing_xyz"`
		FLARE22 [][2]float64 `json:"flare22"`
		Whole   [][2]float64 `json:"whole"`
		Ignored [][2]float64 `json:"ignored_z18"`
	} `json:"scores"`
	Areas []struct {
		Spacing [3]float64 `json:"spacing_xyz"`
		ByCode  []float64  `json:"by_code"`
	} `json:"areas"`
}

func TestAreasEqualSurfaceDistance(t *testing.T) {
	var f fixture
	readJSON(t, "testdata/scores.json", &f)
	for _, a := range f.Areas {
		got := areas(zyx(a.Spacing))
		for code, want := range a.ByCode {
			// Their bit 7-k is our bit k and their axes are x, y, z.
			ours := 0
			for corner := range 8 {
				if code>>(7-corner)&1 == 1 {
					ours |= 1 << (corner&1<<2 | corner&2 | corner>>2)
				}
			}
			if math.Abs(got[ours]-want) > parity {
				t.Errorf("spacing %v, code %08b: got %g, want %g", a.Spacing, code, got[ours], want)
			}
		}
	}
}

func TestScoresEqualSurfaceDistance(t *testing.T) {
	var f fixture
	readJSON(t, "testdata/scores.json", &f)
	shape, ref := readNPY(t, "testdata/reference.npy")
	_, pred := readNPY(t, "testdata/prediction.npy")
	marked := append([]uint8(nil), ref...)
	for i := 18 * shape[1] * shape[2]; i < len(marked); i++ {
		marked[i] = 14
	}
	for _, s := range f.Scores {
		o := Options{Labels: flareLabels()}
		compare(t, "flare22", s.FLARE22, labelsOf(shape, zyx(s.Spacing), ref), labelsOf(shape, zyx(s.Spacing), pred), o)
		o.Rules = NNUNet
		compare(t, "nnunet", s.Whole, labelsOf(shape, zyx(s.Spacing), ref), labelsOf(shape, zyx(s.Spacing), pred), o)
		o.Ignore = 14
		compare(t, "ignored", s.Ignored, labelsOf(shape, zyx(s.Spacing), marked), labelsOf(shape, zyx(s.Spacing), pred), o)
	}
}

func compare(t *testing.T, what string, want [][2]float64, ref, pred *volume.Labels, o Options) {
	t.Helper()
	row, err := Case(ref, pred, o)
	if err != nil {
		t.Fatal(err)
	}
	for i, w := range want {
		got := row.Organs[i]
		if !got.Scored {
			got.DSC, got.NSD = 1, 1 // the script's answer for absent organs
		}
		if math.Abs(got.DSC-w[0]) > parity || math.Abs(got.NSD-w[1]) > parity {
			t.Errorf("%s, spacing %v, %s: got %.10f %.10f, want %.10f %.10f", what, ref.Spacing, got.Name, got.DSC, got.NSD, w[0], w[1])
		}
	}
}

// TestRealLabelsEqualFLARE compares with FLARE's rules on perturbed labels of the
// real CT.
func TestRealLabelsEqualFLARE(t *testing.T) {
	dir := referenceFolder(t)
	var want map[string]json.RawMessage
	readJSON(t, filepath.Join(dir, "metrics_flare22.json"), &want)
	shape, ref := readNPY(t, filepath.Join(dir, "metrics_gt.npy"))
	_, pred := readNPY(t, filepath.Join(dir, "metrics_pred.npy"))
	ref, pred = transposed(shape, ref), transposed(shape, pred)
	shape = [3]int{shape[2], shape[1], shape[0]}
	for name, spacing := range map[string][3]float64{"spacing_xyz_3_3_3": {3, 3, 3}, "spacing_xyz_0.8_0.9_2.5": {2.5, 0.9, 0.8}} {
		var byLabel map[string][2]float64
		if err := json.Unmarshal(want[name], &byLabel); err != nil {
			t.Fatal(err)
		}
		row, err := Case(labelsOf(shape, spacing, ref), labelsOf(shape, spacing, pred), Options{Labels: flareLabels()})
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range row.Organs {
			w, ok := byLabel[strconv.Itoa(s.Label)]
			if !ok || math.Abs(s.DSC-w[0]) > parity || math.Abs(s.NSD-w[1]) > parity {
				t.Errorf("%s %s: got %.10f %.10f, want %v", name, s.Name, s.DSC, s.NSD, w)
			}
		}
	}
}

// transposed turns x, y, z order to z, y, x.
func transposed(shape [3]int, data []uint8) []uint8 {
	out := make([]uint8, len(data))
	for i, v := range data {
		x, y, z := i/(shape[1]*shape[2]), i/shape[2]%shape[1], i%shape[2]
		out[(z*shape[1]+y)*shape[0]+x] = v
	}
	return out
}

// TestSummaryEqualsNNUNet rebuilds nnU-Net's own summary.json from its voxel
// counts.
func TestSummaryEqualsNNUNet(t *testing.T) {
	file := filepath.Join(referenceFolder(t), "genuine_results", "fold_0", "validation", "summary.json")
	var want map[string]any
	readJSON(t, file, &want)
	var theirs struct {
		Cases []struct {
			Metrics map[string]struct{ TP, FP, FN, TN int64 } `json:"metrics"`
			P       string                                    `json:"prediction_file"`
			R       string                                    `json:"reference_file"`
		} `json:"metric_per_case"`
	}
	readJSON(t, file, &theirs)
	var rows []Row
	for _, c := range theirs.Cases {
		row := Row{Case: c.P, Prediction: c.P, Reference: c.R}
		for _, l := range flareLabels() {
			m := c.Metrics[strconv.Itoa(l.ID)]
			row.Organs = append(row.Organs, Organ{Label: l.ID, Voxels: Voxels{m.TP, m.FP, m.FN, m.TN}})
		}
		rows = append(rows, row)
	}
	text, err := Summary(rows)
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	if diff := sameJSON("", got, want); diff != "" {
		t.Error(diff)
	}
}

// sameJSON compares numbers to 1e-12 of their size and everything else exactly.
func sameJSON(path string, got, want any) string {
	switch w := want.(type) {
	case map[string]any:
		g, ok := got.(map[string]any)
		if !ok || len(g) != len(w) {
			return path + ": other keys"
		}
		for k, v := range w {
			if d := sameJSON(path+"/"+k, g[k], v); d != "" {
				return d
			}
		}
	case []any:
		g, ok := got.([]any)
		if !ok || len(g) != len(w) {
			return path + ": other length"
		}
		for i, v := range w {
			if d := sameJSON(path+"/"+strconv.Itoa(i), g[i], v); d != "" {
				return d
			}
		}
	case float64:
		if g, ok := got.(float64); !ok || math.Abs(g-w) > 1e-12*math.Abs(w) {
			return path + ": numbers differ"
		}
	default:
		if got != want {
			return path + ": values differ"
		}
	}
	return ""
}

// TestLiveSurfaceDistance makes the fixture afresh, where Python and
// surface-distance are at hand, and compares it with the stored one.
func TestLiveSurfaceDistance(t *testing.T) {
	python := os.Getenv("NOISYSTUDENT_PYTHON")
	if python == "" {
		t.Skip("needs Python peers: set NOISYSTUDENT_PYTHON (testdata/peers/setup makes one)")
	}
	if exec.Command(python, "-c", "import surface_distance, scipy").Run() != nil {
		t.Skip("needs Python peers: this interpreter has no surface-distance")
	}
	dir := t.TempDir()
	if out, err := exec.Command(python, "testdata/make.py", dir).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	var got, want any
	readJSON(t, filepath.Join(dir, "scores.json"), &got)
	readJSON(t, "testdata/scores.json", &want)
	if diff := sameJSON("", got, want); diff != "" {
		t.Errorf("the live peer and testdata/scores.json: %s", diff)
	}
}
