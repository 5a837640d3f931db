package nifti

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"noisystudent/io/volume"
)

func TestReadStored(t *testing.T) {
	everyKind(t, func(t *testing.T, r raw) {
		for name, b := range map[string][]byte{"plain": r.bytes(), "gzip": gzipped(r.bytes())} {
			v, f := mustRead(t, b, Options{Orientation: Stored})
			want := volume.Geometry{
				Shape: [3]int{2, 3, 4}, Spacing: [3]float64{2.5, 0.75, 0.75}, Origin: [3]float64{100, 120, -300},
				Direction: [3][3]float64{{0, 0, 1}, {0, -1, 0}, {-1, 0, 0}},
			}
			if diff := cmp.Diff(want, v.Geometry); diff != "" {
				t.Errorf("%s: geometry (-want +got):\n%s", name, diff)
			}
			for i, x := range v.Data {
				if x != float32(i) {
					t.Fatalf("%s: voxel %d is %g", name, i, x)
				}
			}
			if f.Version != r.version || f.Source != "sform" || f.Note != "" {
				t.Errorf("%s: frame %+v", name, f)
			}
		}
	})
}

func TestReadCanonical(t *testing.T) {
	everyKind(t, func(t *testing.T, r raw) {
		v, _ := mustRead(t, r.bytes(), Options{})
		want := volume.Geometry{
			Shape: [3]int{2, 3, 4}, Spacing: [3]float64{2.5, 0.75, 0.75},
			Origin:    [3]float64{100 - 3*0.75, 120 - 2*0.75, -300},
			Direction: [3][3]float64{{0, 0, 1}, {0, 1, 0}, {1, 0, 0}},
		}
		if diff := cmp.Diff(want, v.Geometry); diff != "" {
			t.Errorf("geometry (-want +got):\n%s", diff)
		}
		wantData := []float32{11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0, 23, 22, 21, 20, 19, 18, 17, 16, 15, 14, 13, 12}
		if diff := cmp.Diff(wantData, v.Data); diff != "" {
			t.Errorf("data (-want +got):\n%s", diff)
		}
		g, _, err := ReadHeader(bytes.NewReader(r.bytes()), Options{})
		if err != nil || g != v.Geometry {
			t.Errorf("ReadHeader: %v, %v", g, err)
		}
	})
}

// TestRefusals names the error of each way in which a header can be wrong, and a
// part of the text that a person needs.
func TestRefusals(t *testing.T) {
	for _, c := range []struct {
		name  string
		spoil func(r *raw)
		want  error
		text  string
	}{
		{"zero dimension", func(r *raw) { r.dim[2] = 0 }, ErrDimensions, "dim[2] is 0"},
		{"negative dimension", func(r *raw) { r.dim[1] = -4 }, ErrDimensions, "dim[1] is -4"},
		{"no dimensions", func(r *raw) { r.dim[0] = 0 }, ErrDimensions, "dim[0] is 0"},
		{"eight dimensions", func(r *raw) { r.dim[0] = 8 }, ErrDimensions, "dim[0] is 8"},
		{"two dimensions", func(r *raw) { r.dim = []int64{2, 6, 4} }, ErrDimensions, "2 dimensions"},
		{"huge", func(r *raw) { r.dim = []int64{3, 32767, 32767, 32767} }, ErrDimensions, "32767"},
		{"four-dimensional", func(r *raw) { r.dim = []int64{4, 4, 3, 1, 2} }, ErrUnsupported, "dim[4] is 2"},
		{"negative fourth", func(r *raw) { r.dim = []int64{4, 4, 3, 2, -1} }, ErrDimensions, "dim[4] is -1"},
		{"pair", func(r *raw) { r.magic = map[int]string{1: "ni1\x00", 2: "ni2\x00\r\n\x1a\n"}[r.version] }, ErrUnsupported, "nibabel.save"},
		{"wrong magic", func(r *raw) { r.magic = "n+7\x00" }, ErrFormat, "magic"},
		{"newlines changed", func(r *raw) { r.magic = "n+2\x00\n\n\x1a\n" }, ErrFormat, "magic"},
		{"complex", func(r *raw) { r.datatype = 32 }, ErrUnsupported, "complex64"},
		{"RGB", func(r *raw) { r.datatype = 128 }, ErrUnsupported, "RGB"},
		{"float128", func(r *raw) { r.datatype = 1536 }, ErrUnsupported, "float128"},
		{"unheard of", func(r *raw) { r.datatype = 77 }, ErrHeader, "77"},
		{"vox_offset in the header", func(r *raw) { r.offset = 348 }, ErrHeader, "vox_offset is 348"},
		{"vox_offset 0", func(r *raw) { r.offset = 0 }, ErrHeader, "vox_offset is 0"},
		{"vox_offset absurd", func(r *raw) { r.offset = 1 << 40 }, ErrHeader, "vox_offset"},
		{"vox_offset negative", func(r *raw) { r.offset = -352 }, ErrHeader, "vox_offset"},
		{"bytes after the voxels", func(r *raw) { r.tail = []byte{0} }, ErrMismatch, "disagree"},
		{"cut short", func(r *raw) { r.data = r.data[:47] }, ErrTruncated, "cut short"},
		{"no voxels", func(r *raw) { r.data = nil }, ErrTruncated, "cut short"},
		{"scl_inter", func(r *raw) { r.slope, r.inter = 2, math.Inf(1) }, ErrHeader, "scl_inter"},
	} {
		t.Run(c.name, func(t *testing.T) {
			everyKind(t, func(t *testing.T, r raw) {
				c.spoil(&r)
				checkRefused(t, r.bytes(), c.want, c.text)
			})
		})
	}
}

// checkRefused reads b in every way and expects one error, typed and explained.
func checkRefused(t *testing.T, b []byte, want error, text string) {
	t.Helper()
	for name, r := range map[string]io.Reader{
		"sized":   bytes.NewReader(b),
		"unsized": io.MultiReader(bytes.NewReader(b)),
		"gzip":    bytes.NewReader(gzipped(b)),
	} {
		v, _, err := Read(r, Options{MaxVoxels: 1 << 20})
		if v != nil || !errors.Is(err, want) {
			t.Errorf("%s: got %v, want %v", name, err, want)
			continue
		}
		if !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrUnsupported) && !errors.Is(err, ErrTooLarge) {
			t.Errorf("%s: %v has no root", name, err)
		}
		if !strings.Contains(err.Error(), text) || !strings.HasPrefix(err.Error(), "nifti: ") {
			t.Errorf("%s: %q does not say %q", name, err, text)
		}
	}
	if c, _, err := ReadCompact(bytes.NewReader(b), Options{MaxVoxels: 1 << 20}); c != nil || !errors.Is(err, want) || !strings.Contains(err.Error(), text) {
		t.Errorf("ReadCompact: got %v, want %v", err, want)
	}
}

func TestOtherFormats(t *testing.T) {
	for _, c := range []struct {
		first, text string
		want        error
	}{
		{"NRRD0004\ntype: short\n", "NRRD", ErrUnsupported},
		{"ObjectType = Image\nNDims = 3\n", "MetaImage", ErrUnsupported},
		{"NDims = 3\n", "MetaImage", ErrUnsupported},
		{"II*\x00\x08\x00\x00\x00", "TIFF", ErrUnsupported},
		{"MM\x00*\x00\x00\x00\x08", "TIFF", ErrUnsupported},
		{strings.Repeat("\x00", 128) + "DICM" + "\x02\x00", "dcm2niix", ErrUnsupported},
		{"not an image at all", "begins with", ErrFormat},
		{"", "cut short", ErrTruncated},
		{"\x5c\x01", "cut short", ErrTruncated},
	} {
		checkRefused(t, []byte(c.first), c.want, c.text)
	}
	analyze := make([]byte, 348)
	le.PutUint32(analyze, 348)
	checkRefused(t, analyze, ErrUnsupported, "ANALYZE")
}

func TestTrailingOnesAreAccepted(t *testing.T) {
	everyKind(t, func(t *testing.T, r raw) {
		for _, dim := range [][]int64{{4, 4, 3, 2, 1}, {5, 4, 3, 2, 1, 1}, {7, 4, 3, 2, 1, 1, 1, 1}, {3, 4, 3, 2, 9}} {
			r.dim = dim
			if v, _ := mustRead(t, r.bytes(), Options{}); v.Shape != [3]int{2, 3, 4} {
				t.Errorf("dim %v gives %v", dim, v.Shape)
			}
		}
	})
}

func TestExtensionsAreSkipped(t *testing.T) {
	everyKind(t, func(t *testing.T, r raw) {
		r.offset += 64
		v, _ := mustRead(t, r.bytes(), Options{Orientation: Stored})
		if v.Data[23] != 23 {
			t.Errorf("last voxel is %g", v.Data[23])
		}
	})
}

func TestMaxVoxels(t *testing.T) {
	b := plain(1, false).bytes()
	for limit, want := range map[int64]error{23: ErrTooLarge, 24: nil, 0: nil} {
		if _, _, err := Read(bytes.NewReader(b), Options{MaxVoxels: limit}); !errors.Is(err, want) {
			t.Errorf("limit %d: %v", limit, err)
		}
	}
}

func TestUnknownOrientation(t *testing.T) {
	b := plain(1, false).bytes()
	if _, _, err := Read(bytes.NewReader(b), Options{Orientation: "lps"}); err == nil {
		t.Error("accepted")
	}
}

func TestNonFinite(t *testing.T) {
	everyKind(t, func(t *testing.T, r raw) {
		for _, bad := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
			r.datatype, r.data = 16, nil
			for i := range 24 {
				v := float32(i)
				if i == 17 || i == 20 {
					v = float32(bad)
				}
				r.data = r.order().AppendUint32(r.data, math.Float32bits(v))
			}
			// 17 is (i, j, k) = (1, 1, 1) of 4x3x2.
			checkRefused(t, r.bytes(), ErrNonFinite, "2 voxels, the first at (i, j, k) = (1, 1, 1)")
		}
	})
}

func TestScaledBeyondFloat32IsNonFinite(t *testing.T) {
	r := plain(2, false)
	r.slope = 1e300
	checkRefused(t, r.bytes(), ErrNonFinite, "(1, 0, 0)")
}

func TestReadLabels(t *testing.T) {
	everyKind(t, func(t *testing.T, r raw) {
		l, _, err := ReadLabels(bytes.NewReader(r.bytes()), Options{Orientation: Stored})
		if err != nil {
			t.Fatal(err)
		}
		for i, v := range l.Data {
			if int(v) != i {
				t.Fatalf("voxel %d is %d", i, v)
			}
		}
		for _, c := range []struct {
			slope, inter float64
			text         string
		}{
			{1, 240, "8 voxels are not whole numbers from 0 to 255, the first is 256 at (i, j, k) = (0, 1, 1)"},
			{0.5, 0, "the first is 0.5 at (i, j, k) = (1, 0, 0)"},
			{1, -1, "1 voxels are not whole numbers from 0 to 255, the first is -1"},
		} {
			r.slope, r.inter = c.slope, c.inter
			_, _, err := ReadLabels(bytes.NewReader(r.bytes()), Options{})
			if !errors.Is(err, ErrLabels) || !strings.Contains(fmt.Sprint(err), c.text) {
				t.Errorf("slope %g inter %g: %v, want %q", c.slope, c.inter, err, c.text)
			}
		}
	})
}
