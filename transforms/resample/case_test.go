package resample

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"noisystudent/io/nifti"
	"noisystudent/io/store"
	"noisystudent/io/volume"
	"noisystudent/transforms/cases"
	"noisystudent/transforms/fingerprint"
	"noisystudent/transforms/plan"
)

var update = flag.Bool("update", false, "rewrite golden files")

// thePlan is a small plan: 2.5 x 1 x 1 mm, three organs.
func thePlan(t *testing.T, ignore int) plan.Plan {
	t.Helper()
	d := &cases.Dataset{Name: "made up", Ignore: ignore, Labels: []cases.Label{{ID: 1, Name: "liver"}, {ID: 2, Name: "spleen"}, {ID: 3, Name: "aorta"}}}
	shapes, spacings := slices.Repeat([][3]int{{20, 40, 40}}, 3), slices.Repeat([][3]float64{{2.5, 1, 1}}, 3)
	f := fingerprint.Fingerprint{
		Shapes: shapes, Spacings: spacings, RelativeSize: 1, Orientation: "ras",
		LabelML:   []float64{100, 10, 5, 1},
		Intensity: map[string]fingerprint.Intensity{"0": {Mean: 90, SD: 50, P005: -30, P995: 200}},
	}
	p, err := plan.Make(f, d, plan.Options{Preset: plan.Demo})
	if err != nil {
		t.Fatal(err)
	}
	p.Spacing = [3]float64{2.5, 1, 1}
	return p
}

// theCase is a scan of 3 x 0.8 x 0.9 mm with two empty planes and columns around,
// and labels of three organs; with ignore, its lowest planes carry that label.
func theCase(ignore int) (*volume.Volume, *volume.Labels) {
	r := rand.New(rand.NewPCG(8, 8))
	g := volume.Geometry{
		Shape: [3]int{14, 40, 38}, Spacing: [3]float64{3, 0.8, 0.9}, Origin: [3]float64{5, -7, 100},
		Direction: [3][3]float64{{0, 0, 1}, {0, 1, 0}, {1, 0, 0}},
	}
	image, labels := &volume.Volume{Geometry: g, Data: make([]float32, g.Voxels())}, &volume.Labels{Geometry: g, Data: make([]uint8, g.Voxels())}
	for i := range image.Data {
		z, y, x := i/(40*38), i/38%40, i%38
		if z < 2 || y < 3 || x > 35 {
			continue
		}
		image.Data[i] = float32(100+60*r.NormFloat64()) + 0.5
		switch {
		case z < 4 && ignore > 0:
			labels.Data[i] = uint8(ignore)
		case (y-20)*(y-20)+(x-15)*(x-15) < 120:
			labels.Data[i] = 1
		case y > 33:
			labels.Data[i] = 2
		}
	}
	return image, labels
}

func prepared(t *testing.T, ignore int) (*Prepared, plan.Plan) {
	t.Helper()
	p := thePlan(t, ignore)
	image, labels := theCase(ignore)
	before := slices.Clone(image.Data)
	got, err := Case(t.Context(), image, labels, nifti.NewFrame(image.Geometry), p)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(before, image.Data) {
		t.Error("the input was changed")
	}
	return got, p
}

// TestCaseEqualsItsSteps holds the fused case to the plain steps one after the
// other.
func TestCaseEqualsItsSteps(t *testing.T) {
	got, p := prepared(t, -1)
	image, labels := theCase(-1)
	box, _ := cases.NonZero(image)
	if want := (volume.Box{Lo: [3]int{2, 3, 0}, Hi: [3]int{14, 40, 36}}); box != want || got.Crop != want {
		t.Errorf("crop %v, want %v", got.Crop, want)
	}
	values := volume.Crop(image.Data, image.Shape, box)
	Normalise(values, p.Intensity)
	m, err := NewMapping(box.Shape(), image.Spacing, p.Spacing)
	if err != nil {
		t.Fatal(err)
	}
	wantImage, _ := Image(t.Context(), values, m)
	wantLabels, _ := Labels(t.Context(), volume.Crop(labels.Data, image.Shape, box), m)
	if got.Shape != [3]int{14, 30, 32} || !slices.Equal(got.Image, wantImage) || !slices.Equal(got.Labels, wantLabels) {
		t.Errorf("shape %v: the fused case differs from its steps", got.Shape)
	}
}

func TestForeground(t *testing.T) {
	for _, ignore := range []int{-1, 4} {
		got, _ := prepared(t, ignore)
		seen := map[[4]int32]bool{}
		for _, p := range got.Positions {
			for _, r := range got.Foreground[p.First : p.First+p.Count] {
				label := int(got.Labels[(int(r[1])*got.Shape[1]+int(r[2]))*got.Shape[2]+int(r[3])])
				if seen[r] || int(r[0]) != p.Class || p.Class == Annotated && label == ignore || p.Class != Annotated && label != p.Class {
					t.Fatalf("ignore %d: position %v of class %d has label %d, seen %v", ignore, r, p.Class, label, seen[r])
				}
				seen[r] = true
			}
		}
		want := []Positions{{1, 0, int(got.Voxels[1])}, {2, int(got.Voxels[1]), int(got.Voxels[2])}}
		if ignore > 0 {
			n := len(got.Labels) - int(got.Voxels[4])
			want = append(want, Positions{Annotated, want[1].First + want[1].Count, min(n, MaxPositions)})
		}
		if diff := cmp.Diff(want, got.Positions); diff != "" {
			t.Errorf("ignore %d: %s", ignore, diff)
		}
	}
}

// TestForegroundIsUniform draws from a class with more voxels than are kept.
func TestForegroundIsUniform(t *testing.T) {
	p := thePlan(t, -1)
	shape := [3]int{10, 100, 100}
	labels := bytes.Repeat([]byte{2}, 100_000)
	rows, positions := drawForeground(labels, shape, countClasses(labels, p), p)
	if len(rows) != MaxPositions || len(positions) != 1 {
		t.Fatalf("got %d rows, %v", len(rows), positions)
	}
	var byPlane [10]int
	for _, r := range rows {
		byPlane[r[1]]++
	}
	for z, n := range byPlane {
		if n < 850 || n > 1150 { // five standard deviations
			t.Errorf("plane %d has %d positions of 1000 expected", z, n)
		}
	}
}

func TestRestoreUndoesCase(t *testing.T) {
	got, _ := prepared(t, -1)
	_, labels := theCase(-1)
	back := got.Restore(got.Labels)
	if back.Geometry != labels.Geometry {
		t.Fatalf("restored to %v, want %v", back.Geometry, labels.Geometry)
	}
	wrong := 0
	for i, v := range back.Data {
		if v != labels.Data[i] {
			wrong++
		}
	}
	if wrong > len(back.Data)/50 {
		t.Errorf("%d of %d voxels differ after the way there and back", wrong, len(back.Data))
	}
	// One-hot scores exported linearly agree but for the borders.
	e := got.Exporter(4)
	size := got.Shape[1] * got.Shape[2]
	for z := range got.Shape[0] {
		plane := got.Labels[z*size : (z+1)*size]
		scores := make([]float32, 4*size)
		for i, v := range plane {
			scores[int(v)*size+i] = 1
		}
		if err := e.Rows(t.Context(), z, 0, scores, plane); err != nil {
			t.Fatal(err)
		}
	}
	wrong = 0
	for i, v := range got.Paste(e.Labels()).Data {
		if v != labels.Data[i] {
			wrong++
		}
	}
	if wrong > len(back.Data)/50 {
		t.Errorf("%d of %d voxels differ after the export of scores", wrong, len(back.Data))
	}
}

// TestExporterAsksThePlanFirst checks which axis nnU-Net exports apart: the plan's
// spacing decides before the scan's.
func TestExporterAsksThePlanFirst(t *testing.T) {
	for _, c := range []struct {
		plan, scan [3]float64
		want       int
	}{
		{[3]float64{2.5, 1, 1}, [3]float64{5, 1, 1}, 0},
		{[3]float64{1, 5, 1}, [3]float64{5, 1, 1}, 1},
		{[3]float64{1, 1, 1}, [3]float64{3, 1, 1}, -1},
	} {
		p := Properties{Spacing: c.plan, Source: volume.Geometry{Spacing: c.scan}, Shape: [3]int{2, 2, 2}, Crop: volume.Whole([3]int{3, 3, 3})}
		if got := p.Exporter(2).mapping; got.Coarse != c.want || got.To != [3]int{3, 3, 3} {
			t.Errorf("%v mm to %v mm: got %+v, want axis %d", c.plan, c.scan, got, c.want)
		}
	}
}

func TestCaseRefuses(t *testing.T) {
	p := thePlan(t, -1)
	image, labels := theCase(-1)
	kind := func(err error) cases.Kind {
		var f *cases.Fault
		errors.As(err, &f)
		if f == nil {
			return ""
		}
		return f.Kind
	}
	other := &volume.Labels{Geometry: labels.Geometry, Data: labels.Data}
	other.Shape = [3]int{40, 14, 38}
	if _, err := Case(t.Context(), image, other, nifti.Frame{}, p); kind(err) != cases.GridMismatch {
		t.Errorf("labels of another shape: got %v", err)
	}
	empty := &volume.Volume{Geometry: image.Geometry, Data: make([]float32, len(image.Data))}
	if _, err := Case(t.Context(), empty, nil, nifti.Frame{}, p); kind(err) != cases.Empty {
		t.Errorf("zeros: got %v", err)
	}
	image.Spacing = [3]float64{5000, 5000, 5000}
	if _, err := Case(t.Context(), image, nil, nifti.Frame{}, p); kind(err) != cases.TooLarge {
		t.Errorf("spacing of metres: got %v", err)
	}
}

func openStore(t *testing.T, name string) *store.Store {
	t.Helper()
	st, err := store.Open(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	return st
}

func TestWriteAndOpen(t *testing.T) {
	ctx, st := t.Context(), openStore(t, t.TempDir())
	want, p := prepared(t, 4)
	if err := Write(ctx, st, "a/case.zarr", want); err != nil {
		t.Fatal(err)
	}
	s, err := OpenCase(ctx, st, "a/case.zarr")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want.Properties, s.Properties()); diff != "" {
		t.Error(diff)
	}
	lo, hi := [3]int{1, 2, 3}, [3]int{9, 30, 17}
	image, labels := make([]float32, 8*28*14), make([]uint8, 8*28*14)
	if err := errors.Join(s.ReadImage(ctx, lo, hi, image), s.ReadLabels(ctx, lo, hi, labels)); err != nil {
		t.Fatal(err)
	}
	b := volume.Box{Lo: lo, Hi: hi}
	if !slices.Equal(image, volume.Crop(want.Image, want.Shape, b)) || !slices.Equal(labels, volume.Crop(want.Labels, want.Shape, b)) {
		t.Error("a box differs")
	}
	if diff := cmp.Diff([]uint8{1, 2}, s.Classes()); diff != "" {
		t.Error(diff)
	}
	for _, class := range []int{1, 2, 3, Annotated} {
		checkPositions(t, s, want, class)
	}
	checkPseudo(t, st, s, want, p)
}

func checkPositions(t *testing.T, s *Stored, want *Prepared, class int) {
	t.Helper()
	var rows [][3]int32
	for _, r := range want.Foreground {
		if int(r[0]) == class {
			rows = append(rows, [3]int32(r[1:]))
		}
	}
	got, err := s.Positions(t.Context(), class)
	if err != nil || !slices.Equal(got, rows) {
		t.Errorf("class %d: %d positions, want %d (%v)", class, len(got), len(rows), err)
	}
}

// checkPseudo stores labels beside an image and opens both as one case.
func checkPseudo(t *testing.T, st *store.Store, s *Stored, want *Prepared, p plan.Plan) {
	t.Helper()
	pseudo := make([]uint8, len(want.Labels))
	pseudo[5] = 3
	if err := WriteLabels(t.Context(), st, "pseudo/case.zarr", s.Properties(), pseudo, p); err != nil {
		t.Fatal(err)
	}
	if _, err := s.WithLabels(t.Context(), st, "pseudo/none.zarr"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no pseudo-labels: got %v", err)
	}
	both, err := s.WithLabels(t.Context(), st, "pseudo/case.zarr")
	if err != nil {
		t.Fatal(err)
	}
	image, labels := make([]float32, 10), make([]uint8, 10)
	lo, hi := [3]int{}, [3]int{1, 1, 10}
	if err := errors.Join(both.ReadImage(t.Context(), lo, hi, image), both.ReadLabels(t.Context(), lo, hi, labels)); err != nil {
		t.Fatal(err)
	}
	if got, err := both.Positions(t.Context(), 3); err != nil || !slices.Equal(got, [][3]int32{{0, 0, 5}}) {
		t.Errorf("got positions %v, %v", got, err)
	}
	if !slices.Equal(image, want.Image[:10]) || labels[5] != 3 || !slices.Equal(both.Classes(), []uint8{3}) {
		t.Errorf("image %v, labels %v, classes %v", image, labels, both.Classes())
	}
}

func TestImageWithoutLabels(t *testing.T) {
	ctx, st := t.Context(), openStore(t, "mem://resample-unlabelled")
	image, _ := theCase(-1)
	got, err := Case(ctx, image, nil, nifti.NewFrame(image.Geometry), thePlan(t, -1))
	if err == nil {
		err = Write(ctx, st, "case.zarr", got)
	}
	if err != nil {
		t.Fatal(err)
	}
	s, err := OpenCase(ctx, st, "case.zarr")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.ReadLabels(ctx, [3]int{}, [3]int{1, 1, 1}, make([]uint8, 1)); err == nil || s.Classes() != nil {
		t.Errorf("labels of an unlabelled case: %v, classes %v", err, s.Classes())
	}
}

// TestLabelsOfBackgroundOnly stores a case without any position.
func TestLabelsOfBackgroundOnly(t *testing.T) {
	ctx, st := t.Context(), openStore(t, "mem://resample-background")
	image, labels := theCase(-1)
	clear(labels.Data)
	got, err := Case(ctx, image, labels, nifti.NewFrame(image.Geometry), thePlan(t, -1))
	if err == nil {
		err = Write(ctx, st, "case.zarr", got)
	}
	if err != nil {
		t.Fatal(err)
	}
	s, err := OpenCase(ctx, st, "case.zarr")
	if err != nil {
		t.Fatal(err)
	}
	if rows, err := s.Positions(ctx, 1); err != nil || rows != nil || s.Classes() != nil {
		t.Errorf("positions %v, %v, classes %v", rows, err, s.Classes())
	}
}

// TestHalfWrittenCaseIsNotThere stops the store at every step of writing in turn,
// over nothing and over an older case, as when the process is killed.
func TestHalfWrittenCaseIsNotThere(t *testing.T) {
	ctx := t.Context()
	want, _ := prepared(t, -1)
	full := errors.New("no space left on device")
	for older := range 2 {
		for fail := 1; ; fail++ {
			good := openStore(t, fmt.Sprintf("mem://resample-half-%d-%d", older, fail))
			if older == 1 {
				if err := Write(ctx, good, "c.zarr", want); err != nil {
					t.Fatal(err)
				}
			}
			n := 0
			bad := store.WithFault(good, func(op, key string) error {
				if n++; n >= fail {
					return full
				}
				return nil
			})
			err := Write(ctx, bad, "c.zarr", want)
			if err == nil {
				if fail < 5 {
					t.Fatalf("only %d steps of writing could fail", fail-1)
				}
				break
			}
			if _, open := OpenCase(ctx, good, "c.zarr"); !errors.Is(err, full) || open == nil && (older == 0 || fail > 1) {
				t.Errorf("older %d, failure %d: %v; opened: %v", older, fail, err, open)
			}
		}
	}
}

func TestOpenCaseRefuses(t *testing.T) {
	ctx := t.Context()
	want, _ := prepared(t, -1)
	for name, spoil := range map[string]func(st *store.Store) error{
		"newer format": func(st *store.Store) error {
			text, _ := st.Read(ctx, "c.zarr/zarr.json")
			return st.Write(ctx, "c.zarr/zarr.json", bytes.Replace(text, []byte(`"format": 1`), []byte(`"format": 2`), 1))
		},
		"other shape": func(st *store.Store) error {
			text, _ := st.Read(ctx, "c.zarr/image/zarr.json")
			return st.Write(ctx, "c.zarr/image/zarr.json", bytes.Replace(text, []byte("14"), []byte("13"), 1))
		},
		"no labels": func(st *store.Store) error { return st.Remove(ctx, "c.zarr/labels/zarr.json") },
		"no group":  func(st *store.Store) error { return st.Remove(ctx, "c.zarr/zarr.json") },
		"not JSON":  func(st *store.Store) error { return st.Write(ctx, "c.zarr/zarr.json", []byte("{")) },
	} {
		st := openStore(t, t.TempDir())
		if err := Write(ctx, st, "c.zarr", want); err != nil {
			t.Fatal(err)
		}
		if err := spoil(st); err != nil {
			t.Fatal(err)
		}
		if _, err := OpenCase(ctx, st, "c.zarr"); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestShardShape(t *testing.T) {
	for shape, want := range map[[3]int][3]int{
		{14, 30, 32}:    {32, 64, 64},
		{134, 379, 457}: {160, 384, 256},
		{96, 480, 480}:  {96, 256, 512},
		{1, 1, 1}:       {32, 64, 64},
	} {
		if got := shardShape(shape, 4); got != want {
			t.Errorf("%v: got %v, want %v", shape, got, want)
		}
	}
}

// TestGoldenCase fails when the bytes of a prepared case change without a new
// version. Floating point sums may be fused on other processors, so values are
// rounded first.
func TestGoldenCase(t *testing.T) {
	got, p := prepared(t, 4)
	h := sha256.New()
	for _, v := range got.Image {
		_ = binary.Write(h, binary.LittleEndian, int32(v*4096+0.5))
	}
	h.Write(got.Labels)
	_ = binary.Write(h, binary.LittleEndian, got.Foreground)
	properties, _ := json.MarshalIndent(got.Properties, "", " ")
	text := strings.Join([]string{
		"version " + string(rune('0'+version)), "prefix " + Prefix(p, "case"), "voxels " + hex.EncodeToString(h.Sum(nil)), string(properties),
	}, "\n") + "\n"
	file := path.Join("testdata", "golden.txt")
	if *update {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), text); diff != "" {
		t.Errorf("raise version if stored bytes changed, then run with -update:\n%s", diff)
	}
}

func TestLoadNamesTheFile(t *testing.T) {
	_, err := Load(context.Background(), cases.Case{ID: "x", Set: cases.Unlabelled, Image: path.Join(t.TempDir(), "x_0000.nii.gz")}, thePlan(t, -1), 0)
	var f *cases.Fault
	if !errors.As(err, &f) || f.Kind != cases.Missing || !strings.HasSuffix(f.File, "x_0000.nii.gz") {
		t.Errorf("got %v", err)
	}
}

// A data set of one value has no spread; nnU-Net divides by 1e-8 then.
func TestNormaliseWithoutSpread(t *testing.T) {
	values := []float32{41, 40, 39}
	Normalise(values, plan.Intensity{Mean: 40, SD: 0, P005: 39, P995: 41})
	if d := cmp.Diff([]float32{1e8, 0, -1e8}, values); d != "" {
		t.Errorf("z-scores (-want +got)\n%s", d)
	}
}
