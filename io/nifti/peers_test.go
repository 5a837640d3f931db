package nifti

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"noisystudent/io/volume"
)

// What nibabel and SimpleITK say about a file: see testdata/peers.py.
type (
	described struct {
		Nibabel nibabelView
		ITK     *itkView // nil: refused
	}
	nibabelView struct {
		Affine          Affine
		Values          []float64
		CanonicalAffine Affine    `json:"canonical_affine"`
		CanonicalValues []float64 `json:"canonical_values"`
		QForm           Affine
		Codes           [2]int
		DType           string
		Version         int
	}
	itkView struct {
		Spacing, Origin [3]float64 // x, y, z; LPS
		Direction       [3][3]float64
		Values          []float64
	}
)

// peers runs testdata/peers.py.
func peers(t *testing.T, args ...string) map[string]described {
	t.Helper()
	python := os.Getenv("NOISYSTUDENT_PYTHON")
	if python == "" {
		t.Skip("needs Python peers: set NOISYSTUDENT_PYTHON (testdata/peers/setup makes one)")
	}
	cmd := exec.Command(python, append([]string{"testdata/peers.py"}, args...)...)
	var failure bytes.Buffer
	cmd.Stderr = &failure
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("peers.py: %v\n%s", err, failure.String())
	}
	var files map[string]described
	if err := json.Unmarshal(out, &files); err != nil {
		t.Fatal(err)
	}
	return files
}

// TestPeersWrite reads what nibabel and SimpleITK write and sees what they see:
// every type, byte order and version, scale factors, all 48 axis orders straight
// and oblique, and the odd headers on which they agree.
func TestPeersWrite(t *testing.T) {
	folder := t.TempDir()
	files := peers(t, "make", folder)
	if len(files) < 250 {
		t.Fatalf("only %d files", len(files))
	}
	refused := 0
	for name, want := range files {
		b, err := os.ReadFile(filepath.Join(folder, name))
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(name, "refused") {
			if _, _, err := Read(bytes.NewReader(b), Options{}); want.ITK != nil || !errors.Is(err, ErrGeometry) {
				t.Errorf("%s: %v; ITK reads it: %v", name, err, want.ITK != nil)
			}
			continue
		}
		stored, _ := mustRead(t, b, Options{Orientation: Stored})
		canonical, _ := mustRead(t, b, Options{})
		if want.ITK == nil {
			refused++
			if want.Nibabel.Version != 2 {
				t.Errorf("%s: ITK refuses it", name)
			}
		} else {
			checkITK(t, name, stored, *want.ITK)
		}
		if !strings.HasPrefix(name, "odd_nocodes") { // nibabel takes LAS around the centre
			checkNibabel(t, name, stored, canonical, want.Nibabel)
		}
	}
	t.Logf("%d files, %d of them NIfTI-2, which ITK refuses", len(files), refused)
}

// checkITK compares with SimpleITK's array and grid: values and spacing exactly.
func checkITK(t *testing.T, name string, v *volume.Volume, want itkView) {
	t.Helper()
	if !equalValues(v.Data, want.Values) {
		t.Errorf("%s: values differ from SimpleITK's", name)
	}
	for c := range 3 {
		if got := v.Spacing[2-c]; math.Abs(got-want.Spacing[c]) > 1e-15*got {
			t.Errorf("%s: spacing %v, SimpleITK has %v", name, v.Spacing, want.Spacing)
		}
	}
	var m Affine
	for w, sign := range []float64{-1, -1, 1} { // LPS to RAS
		for c := range 3 {
			m[w][c] = sign * want.Direction[w][c] * want.Spacing[c]
		}
		m[w][3] = sign * want.Origin[w]
	}
	if !near(affineOf(v.Geometry), m, 2e-5*norm(v.Spacing)) {
		t.Errorf("%s: affine %v, SimpleITK has %v", name, affineOf(v.Geometry), m)
	}
}

func checkNibabel(t *testing.T, name string, stored, canonical *volume.Volume, want nibabelView) {
	t.Helper()
	unit := 1.0
	switch name { // nibabel leaves units to its caller
	case "odd_metre.nii":
		unit = 1000
	case "odd_micron.nii":
		unit = 0.001
	}
	if !equalValues(stored.Data, want.Values) {
		t.Errorf("%s: values differ from nibabel's", name)
	}
	if !equalValues(canonical.Data, want.CanonicalValues) {
		t.Errorf("%s: canonical values differ from nibabel's", name)
	}
	if m := affineOf(stored.Geometry); !near(m, times(want.Affine, unit), 1e-5*unit) {
		t.Errorf("%s: affine %v, nibabel has %v", name, m, want.Affine)
	}
	if m := affineOf(canonical.Geometry); !near(m, times(want.CanonicalAffine, unit), 1e-5*unit) {
		t.Errorf("%s: canonical affine %v, nibabel has %v", name, m, want.CanonicalAffine)
	}
}

func times(m Affine, factor float64) Affine {
	for w := range m {
		for c := range m[w] {
			m[w][c] *= factor
		}
	}
	return m
}

func equalValues(got []float32, want []float64) bool {
	return slices.EqualFunc(got, want, func(a float32, b float64) bool { return float64(a) == b })
}

// TestPeersRead writes every one of those files again, as float32 and as labels:
// both libraries must see the grid and voxels that they saw before.
func TestPeersRead(t *testing.T) {
	from, to := t.TempDir(), t.TempDir()
	before := peers(t, "make", from)
	frames := map[string]Frame{}
	var paths []string
	for name := range before {
		if strings.HasPrefix(name, "refused") {
			delete(before, name)
			continue
		}
		b, err := os.ReadFile(filepath.Join(from, name))
		if err != nil {
			t.Fatal(err)
		}
		v, f := mustRead(t, b, Options{})
		frames[name] = f
		for _, kind := range []string{"image", "labels"} {
			path := filepath.Join(to, name+"."+kind+".nii.gz")
			if err := os.WriteFile(path, rewritten(t, v, f, kind), 0o600); err != nil {
				t.Fatal(err)
			}
			paths = append(paths, path)
		}
	}
	after := peers(t, append([]string{"describe"}, paths...)...)
	for name, old := range before {
		image, labels := after[name+".image.nii.gz"], after[name+".labels.nii.gz"]
		checkRewritten(t, name, frames[name], old, image)
		if labels.Nibabel.DType != "uint8" || image.Nibabel.DType != "float32" {
			t.Errorf("%s: types %s and %s", name, image.Nibabel.DType, labels.Nibabel.DType)
		}
		for i, v := range old.Nibabel.Values {
			if labels.Nibabel.Values[i] != float64(labelOf(float32(v))) {
				t.Fatalf("%s: label %d is %g", name, i, labels.Nibabel.Values[i])
			}
		}
	}
}

func labelOf(v float32) uint8 { return uint8(math.Float32bits(v) >> 13) }

func rewritten(t *testing.T, v *volume.Volume, f Frame, kind string) []byte {
	t.Helper()
	var b bytes.Buffer
	var err error
	if kind == "image" {
		err = WriteVolume(&b, v, f, Float32)
	} else {
		l := &volume.Labels{Geometry: v.Geometry}
		for _, x := range v.Data {
			l.Data = append(l.Data, labelOf(x))
		}
		err = WriteLabels(&b, l, f)
	}
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func checkRewritten(t *testing.T, name string, f Frame, old, got described) {
	t.Helper()
	n := got.Nibabel
	if n.Codes != [2]int{1, 1} || n.Version != old.Nibabel.Version {
		t.Errorf("%s: codes %v, version %d", name, n.Codes, n.Version)
	}
	if !slices.Equal(n.Values, old.Nibabel.Values) {
		t.Errorf("%s: nibabel sees other values", name)
	}
	if f.Source == "sform" && n.Affine != old.Nibabel.Affine {
		t.Errorf("%s: nibabel sees affine %v, before %v", name, n.Affine, old.Nibabel.Affine)
	}
	if f.Source == "qform" && !near(n.Affine, old.Nibabel.Affine, 1e-4) {
		t.Errorf("%s: nibabel sees affine %v, before %v", name, n.Affine, old.Nibabel.Affine)
	}
	if !near(n.QForm, n.Affine, 5e-3) {
		t.Errorf("%s: qform %v, sform %v", name, n.QForm, n.Affine)
	}
	if old.ITK == nil {
		return
	}
	if got.ITK == nil {
		t.Errorf("%s: ITK refuses what we wrote", name)
		return
	}
	if got.ITK.Spacing != old.ITK.Spacing || !slices.Equal(got.ITK.Values, old.ITK.Values) {
		t.Errorf("%s: SimpleITK sees another array or spacing", name)
	}
	for w := range 3 {
		for c := range 3 {
			if math.Abs(got.ITK.Direction[w][c]-old.ITK.Direction[w][c]) > 2e-5 {
				t.Errorf("%s: SimpleITK sees direction %v, before %v", name, got.ITK.Direction, old.ITK.Direction)
			}
		}
		if math.Abs(got.ITK.Origin[w]-old.ITK.Origin[w]) > 1e-4*millimetres(f.Unit) {
			t.Errorf("%s: SimpleITK sees origin %v, before %v", name, got.ITK.Origin, old.ITK.Origin)
		}
	}
}
