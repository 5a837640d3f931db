package nifti

import (
	"bytes"
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"noisystudent/io/volume"
)

// TestWhereItLies covers the decisions about qform, sform and pixdim. The
// expected affine is that of the stored voxels in millimetres.
func TestWhereItLies(t *testing.T) {
	sform := Affine{{-0.75, 0, 0, 100}, {0, -0.75, 0, 120}, {0, 0, 2.5, -300}}
	ras := Affine{{0.75, 0, 0, 10}, {0, 0.75, 0, 20}, {0, 0, 2.5, 30}}
	for _, c := range []struct {
		name   string
		set    func(r *raw)
		want   Affine
		source string
		note   string
	}{
		{"sform alone", func(r *raw) {}, sform, "sform", ""},
		{"qform alone", func(r *raw) { r.sform, r.qform, r.qoffset = 0, 1, [3]float64{10, 20, 30} }, ras, "qform", ""},
		{"qform half turn", func(r *raw) {
			r.sform, r.qform, r.quatern, r.qoffset = 0, 1, [3]float64{0, 0, 1}, [3]float64{100, 120, -300}
		}, sform, "qform", ""},
		{"qfac -1", func(r *raw) { r.sform, r.qform, r.pixdim[0] = 0, 1, -1 }, Affine{{0.75}, {0, 0.75}, {0, 0, -2.5}}, "qform", ""},
		{"qfac 0 counts as 1", func(r *raw) { r.sform, r.qform, r.pixdim[0] = 0, 1, 0 }, Affine{{0.75}, {0, 0.75}, {0, 0, 2.5}}, "qform", ""},
		{"both agree", func(r *raw) {
			r.qform, r.quatern, r.qoffset = 1, [3]float64{0, 0, 1}, [3]float64{100, 120, -300}
		}, sform, "sform", ""},
		{"both disagree", func(r *raw) { r.qform, r.qoffset = 1, [3]float64{10, 20, 30} }, sform, "sform", "different places"},
		{"disagree, aligned", func(r *raw) { r.qform, r.sform, r.qoffset = 1, 2, [3]float64{10, 20, 30} }, sform, "sform", "different places"},
		{"qform is no rotation", func(r *raw) { r.qform, r.quatern = 1, [3]float64{1, 1, 1} }, sform, "sform", "longer than 1"},
		{"qform nowhere", func(r *raw) { r.qform, r.qoffset = 1, [3]float64{math.NaN()} }, sform, "sform", "different places"},
		{"skewed sform", func(r *raw) { r.qform, r.qoffset, r.srow[0][1] = 1, [3]float64{10, 20, 30}, 0.3 }, ras, "qform", "right angles"},
		{"zero sform", func(r *raw) { r.qform, r.qoffset, r.srow = 1, [3]float64{10, 20, 30}, Affine{} }, ras, "qform", "length 0"},
		{"no codes", func(r *raw) { r.sform = 0 }, Affine{{-0.75}, {0, -0.75}, {0, 0, 2.5}}, "pixdim", "no orientation"},
		{"negative pixdim under an sform", func(r *raw) { r.pixdim[1] = -0.75 }, sform, "sform", ""},
		{"metres", func(r *raw) { r.unit, r.sform, r.qform = 1, 0, 1 }, Affine{{750}, {0, 750}, {0, 0, 2500}}, "qform", ""},
		{"microns and seconds", func(r *raw) { r.unit, r.sform, r.qform = 3|8, 0, 1 }, Affine{{0.00075}, {0, 0.00075}, {0, 0, 0.0025}}, "qform", ""},
		{"no unit", func(r *raw) { r.unit = 0 }, sform, "sform", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			everyKind(t, func(t *testing.T, r raw) {
				c.set(&r)
				g, f, err := ReadHeader(bytes.NewReader(r.bytes()), Options{Orientation: Stored})
				if err != nil {
					t.Fatal(err)
				}
				if !near(affineOf(g), c.want, 1e-6) || f.Source != c.source {
					t.Errorf("%s gives %v, want %s %v", f.Source, affineOf(g), c.source, c.want)
				}
				if (f.Note == "") != (c.note == "") || !strings.Contains(f.Note, c.note) {
					t.Errorf("note %q, want %q", f.Note, c.note)
				}
			})
		})
	}
}

// affineOf returns the transform from (i, j, k) to the world.
func affineOf(g volume.Geometry) Affine {
	var m Affine
	for w := range 3 {
		for c := range 3 {
			m[w][c] = g.Spacing[2-c] * g.Direction[2-c][w]
		}
		m[w][3] = g.Origin[w]
	}
	return m
}

func near(a, b Affine, tolerance float64) bool {
	for w := range 3 {
		for c := range 4 {
			if math.Abs(a[w][c]-b[w][c]) > tolerance {
				return false
			}
		}
	}
	return true
}

func TestUnusableGeometry(t *testing.T) {
	for _, c := range []struct {
		name string
		set  func(r *raw)
		text string
	}{
		{"skewed sform alone", func(r *raw) { r.srow[0][1] = 0.01 }, "right angles"},
		{"zero sform alone", func(r *raw) { r.srow = Affine{} }, "length 0"},
		{"NaN in sform", func(r *raw) { r.srow[1][1] = math.NaN() }, "NaN"},
		{"NaN origin", func(r *raw) { r.srow[1][3] = math.NaN() }, "origin"},
		{"infinite sform", func(r *raw) { r.srow[1][1] = math.Inf(1) }, "Inf"},
		{"pixdim contradicts sform", func(r *raw) { r.pixdim[2] = 1 }, "pixdim[2] is 1"},
		{"pixdim 0 under sform", func(r *raw) { r.pixdim[3] = 0 }, "pixdim[3] is 0"},
		{"pixdim 0", func(r *raw) { r.sform, r.pixdim[1] = 0, 0 }, "pixdim[1] is 0"},
		{"pixdim negative", func(r *raw) { r.sform, r.qform, r.pixdim[1] = 0, 1, -0.75 }, "pixdim[1] is -0.75"},
		{"pixdim NaN", func(r *raw) { r.sform, r.pixdim[1] = 0, math.NaN() }, "pixdim[1] is NaN"},
		{"pixdim infinite", func(r *raw) { r.sform, r.qform, r.pixdim[3] = 0, 1, math.Inf(1) }, "pixdim[3] is +Inf"},
		{"no rotation", func(r *raw) { r.sform, r.qform, r.quatern = 0, 1, [3]float64{1, 1, 1} }, "longer than 1"},
		{"NaN rotation", func(r *raw) { r.sform, r.qform, r.quatern = 0, 1, [3]float64{math.NaN()} }, "longer than 1"},
		{"code 99", func(r *raw) { r.sform = 99 }, "from 0 to 5"},
		{"code -1", func(r *raw) { r.qform = -1 }, "from 0 to 5"},
		{"unit 5", func(r *raw) { r.unit = 5 }, "unit"},
	} {
		t.Run(c.name, func(t *testing.T) {
			everyKind(t, func(t *testing.T, r raw) {
				c.set(&r)
				checkRefused(t, r.bytes(), ErrGeometry, c.text)
			})
		})
	}
}

// TestSpacingIsPixdim: rounding in an oblique sform must not reach the spacing,
// which nnU-Net's plans take from pixdim.
func TestSpacingIsPixdim(t *testing.T) {
	r := plain(1, false)
	s, c := math.Sincos(0.3)
	r.pixdim = [4]float64{1, 0.7, 0.7, 5}
	r.srow = Affine{{0.7 * c, -0.7 * s, 0, 0}, {0.7 * s, 0.7 * c, 0, 0}, {0, 0, 5, 0}}
	g, _, err := ReadHeader(bytes.NewReader(r.bytes()), Options{})
	if want := float64(float32(0.7)); err != nil || g.Spacing != [3]float64{5, want, want} {
		t.Errorf("spacing %v, want %v in plane, %v", g.Spacing, want, err)
	}
	r.pixdim[3] = 5.01 // an honest difference: the sform is what places voxels
	g, f, err := ReadHeader(bytes.NewReader(r.bytes()), Options{})
	if err != nil || g.Spacing[0] != 5 || !strings.Contains(f.Note, "pixdim[3] is 5.01") {
		t.Errorf("spacing %v, want 5; note %q, %v", g.Spacing, f.Note, err)
	}
}

// TestQuaternionInvertsRotation at half turns too, where the real part is 0.
func TestQuaternionInvertsRotation(t *testing.T) {
	for _, m := range everyAffine([3]float64{0.7, 0.8, 2.5}) {
		q := m.qform()
		back, err := q.affine([3]float64{0.7, 0.8, 2.5})
		if err != nil || !near(m, back, 1e-6) {
			t.Errorf("%v became %v by %+v, %v", m, back, q, err)
		}
		if v := q.Quatern; v[0]*v[0]+v[1]*v[1]+v[2]*v[2] > 1 {
			t.Errorf("%v is longer than 1", v)
		}
	}
}

func TestFrameSurvivesJSON(t *testing.T) {
	r := plain(1, false)
	r.pixdim[1], r.srow[0][0] = 0.7, -0.7
	_, f := mustRead(t, r.bytes(), Options{})
	f.Short = false // is about the file's voxels
	if diff := cmp.Diff(f, throughJSON(t, f)); diff != "" {
		t.Errorf("frame (-want +got):\n%s", diff)
	}
	if _, _, err := ReadHeader(bytes.NewReader(nil), Options{}); !errors.Is(err, ErrTruncated) {
		t.Errorf("empty file: %v", err)
	}
}
