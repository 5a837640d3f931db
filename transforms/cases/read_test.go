package cases

import (
	"context"
	"encoding/binary"
	"errors"
	"math"
	"strings"
	"testing"

	"noisystudent/io/iotest"
	"noisystudent/io/nifti"
	"noisystudent/io/store"
	"noisystudent/io/volume"
)

// grid is a small canonical grid.
func grid() volume.Geometry {
	return volume.Geometry{
		Shape: [3]int{4, 5, 6}, Spacing: [3]float64{2.5, 0.8, 0.8}, Origin: [3]float64{-10, 20, 30},
		Direction: [3][3]float64{{0, 0, 1}, {0, 1, 0}, {1, 0, 0}},
	}
}

// plain is an uncompressed NIfTI-1 image of the grid whose header a test spoils.
func plain(spoil func(header []byte)) []byte {
	g := grid()
	b := make([]byte, 352+4*g.Voxels())
	le := binary.LittleEndian
	le.PutUint32(b, 348)
	for i, n := range []int{3, g.Shape[2], g.Shape[1], g.Shape[0], 1, 1, 1, 1} {
		le.PutUint16(b[40+2*i:], uint16(n))
	}
	le.PutUint16(b[70:], 16) // float32
	le.PutUint16(b[72:], 32)
	for i, v := range []float32{1, 0.8, 0.8, 2.5} {
		le.PutUint32(b[76+4*i:], math.Float32bits(v))
	}
	le.PutUint32(b[108:], math.Float32bits(352))
	b[123] = 2 // mm
	copy(b[344:], "n+1\x00")
	for i := range g.Voxels() {
		le.PutUint32(b[352+4*i:], math.Float32bits(float32(i)))
	}
	spoil(b)
	return b
}

func memory(t *testing.T, name string, objects map[string][]byte) *store.Store {
	t.Helper()
	st, err := store.Open(context.Background(), "mem://"+name)
	if err != nil {
		t.Fatal(err)
	}
	for key, data := range objects {
		if err := st.Write(context.Background(), key, data); err != nil {
			t.Fatal(err)
		}
	}
	return st
}

func TestReadFaults(t *testing.T) {
	good := iotest.Image(t, grid(), nifti.Float32, func(i int) float32 { return float32(i) - 60 })
	moved := grid()
	moved.Origin[2] += 2.5
	nudged := grid()
	nudged.Origin[2] += 0.05
	taller := grid()
	taller.Shape[0]++
	zeros := func(int) uint8 { return 0 }
	ramp := func(i int) uint8 { return uint8(i % 3) }
	fine := iotest.Labels(t, grid(), ramp)
	st := memory(t, "cases-read", map[string][]byte{
		"good.nii.gz":      good,
		"short.nii.gz":     good[:len(good)-20],
		"plainshort.nii":   plain(func([]byte) {})[:400],
		"garbage.nii.gz":   []byte(strings.Repeat("not a scan ", 100)),
		"empty.nii":        {},
		"nan.nii":          plain(func(b []byte) { copy(b[352:], []byte{0, 0, 0xc0, 0x7f}) }),
		"zero.nii.gz":      iotest.Image(t, grid(), nifti.Float32, func(int) float32 { return 0 }),
		"dims.nii":         plain(func(b []byte) { b[42], b[43] = 0, 0 }),
		"flat.nii":         plain(func(b []byte) { copy(b[80:], []byte{0, 0, 0, 0}) }),
		"complex.nii":      plain(func(b []byte) { b[70] = 32; b[72] = 64 }),
		"absurd.nii":       plain(func(b []byte) { copy(b[42:], []byte{0, 0x7f, 0, 0x7f, 0, 0x7f}) }),
		"huge.nii":         plain(func(b []byte) { copy(b[42:], []byte{0, 4, 0, 4, 0, 4}) }),
		"fine-seg.nii.gz":  fine,
		"none-seg.nii.gz":  iotest.Labels(t, grid(), zeros),
		"extra-seg.nii.gz": iotest.Labels(t, grid(), func(i int) uint8 { return uint8(i % 5) }),
		"ignore-seg.nii":   iotest.Labels(t, grid(), func(i int) uint8 { return uint8(i % 4) }),
		"moved-seg.nii.gz": iotest.Labels(t, moved, ramp),
		"nudge-seg.nii.gz": iotest.Labels(t, nudged, ramp),
		"tall-seg.nii.gz":  iotest.Labels(t, taller, ramp),
		"half-seg.nii.gz":  iotest.Image(t, grid(), nifti.Float32, func(i int) float32 { return 0.5 }),
		"bad-seg.nii.gz":   fine[:len(fine)/2],
	})
	for _, c := range []struct {
		image, labels string
		ignore        int
		budget        int64
		want          Kind
	}{
		{"good.nii.gz", "fine-seg.nii.gz", -1, 0, ""},
		{"good.nii.gz", "none-seg.nii.gz", -1, 4 * 120, ""},
		{"good.nii.gz", "ignore-seg.nii", 3, 0, ""},
		{"good.nii.gz", "nudge-seg.nii.gz", -1, 0, ""},
		{"good.nii.gz", "ignore-seg.nii", -1, 0, UnknownLabel},
		{"good.nii.gz", "extra-seg.nii.gz", 3, 0, UnknownLabel},
		{"good.nii.gz", "half-seg.nii.gz", -1, 0, UnknownLabel},
		{"good.nii.gz", "moved-seg.nii.gz", -1, 0, GridMismatch},
		{"good.nii.gz", "tall-seg.nii.gz", -1, 0, GridMismatch},
		{"good.nii.gz", "bad-seg.nii.gz", -1, 0, Truncated},
		{"good.nii.gz", "absent.nii.gz", -1, 0, Missing},
		{"good.nii.gz", "", -1, 0, Missing},
		{"absent.nii.gz", "fine-seg.nii.gz", -1, 0, Missing},
		{"good.nii.gz", "fine-seg.nii.gz", -1, 4*120 - 1, TooLarge},
		{"huge.nii", "fine-seg.nii.gz", -1, 1 << 30, TooLarge},
		{"absurd.nii", "fine-seg.nii.gz", -1, 0, BadDimensions},
		{"short.nii.gz", "fine-seg.nii.gz", -1, 0, Truncated},
		{"plainshort.nii", "fine-seg.nii.gz", -1, 0, Truncated},
		{"empty.nii", "fine-seg.nii.gz", -1, 0, Truncated},
		{"garbage.nii.gz", "fine-seg.nii.gz", -1, 0, UnsupportedType},
		{"nan.nii", "fine-seg.nii.gz", -1, 0, NonFinite},
		{"zero.nii.gz", "fine-seg.nii.gz", -1, 0, Empty},
		{"dims.nii", "fine-seg.nii.gz", -1, 0, BadDimensions},
		{"flat.nii", "fine-seg.nii.gz", -1, 0, BadGeometry},
		{"complex.nii", "fine-seg.nii.gz", -1, 0, UnsupportedType},
	} {
		for _, orientation := range []string{"ras", "stored"} {
			k := Case{ID: "x", Image: st.Address(c.image)}
			if c.labels != "" {
				k.Labels = st.Address(c.labels)
			}
			image, labels, _, err := ReadPair(context.Background(), k, Scheme{Classes: 3, Ignore: c.ignore}, orientation, c.budget)
			r, isFault := Reject("x", "test", err)
			switch {
			case c.want == "" && (err != nil || len(image.Data) != 120 || len(labels.Data) != 120):
				t.Errorf("%s with %s: %v", c.image, c.labels, err)
			case c.want != "" && (!isFault || r.Reason != c.want || r.File == "" || !strings.Contains(r.Message, "; ")):
				t.Errorf("%s with %s: %v, want %s with file and remedy", c.image, c.labels, err, c.want)
			}
		}
	}
	g, err := ReadGeometry(context.Background(), Case{Image: st.Address("good.nii.gz")}, "ras")
	if err != nil || !g.SameGrid(grid(), 1e-4) {
		t.Errorf("geometry %v, %v", g, err)
	}
}

func TestUnreadableFile(t *testing.T) {
	root := t.TempDir()
	put(t, root, "x.nii.gz/inner", "a folder of the scan's name")
	_, _, err := ReadImage(context.Background(), Case{Image: root + "/x.nii.gz"}, "ras", 0)
	if _, isFault := Reject("x", "test", err); !isFault {
		t.Errorf("error %v, want a fault", err)
	}
}

func TestUnknownOrientationIsNoFault(t *testing.T) {
	_, _, err := ReadImage(context.Background(), Case{Image: "x.nii"}, "lps", 0)
	if _, isFault := Reject("x", "test", err); err == nil || isFault {
		t.Errorf("error %v, want one that is no fault", err)
	}
}

func TestStoppedRunIsNoFault(t *testing.T) {
	st := memory(t, "cases-stop", map[string][]byte{"good.nii.gz": iotest.Image(t, grid(), nifti.Float32, func(i int) float32 { return 1 })})
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, _, err := ReadImage(ctx, Case{Image: st.Address("good.nii.gz")}, "ras", 0)
	if _, isFault := Reject("x", "test", err); isFault || !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want context.Canceled and no fault", err)
	}
}

func TestNonZero(t *testing.T) {
	for _, c := range []struct {
		at   [][3]int
		want volume.Box
		ok   bool
	}{
		{nil, volume.Box{}, false},
		{[][3]int{{0, 0, 0}}, volume.Box{Hi: [3]int{1, 1, 1}}, true},
		{[][3]int{{3, 4, 5}}, volume.Box{Lo: [3]int{3, 4, 5}, Hi: [3]int{4, 5, 6}}, true},
		{[][3]int{{1, 4, 2}, {2, 0, 3}}, volume.Box{Lo: [3]int{1, 0, 2}, Hi: [3]int{3, 5, 4}}, true},
		{[][3]int{{1, 1, 1}, {1, 1, 5}, {1, 3, 3}}, volume.Box{Lo: [3]int{1, 1, 1}, Hi: [3]int{2, 4, 6}}, true},
	} {
		v := &volume.Volume{Geometry: grid(), Data: make([]float32, grid().Voxels())}
		for _, i := range c.at {
			v.Data[(i[0]*5+i[1])*6+i[2]] = -1000
		}
		if got, ok := NonZero(v); got != c.want || ok != c.ok {
			t.Errorf("%v: box %v %v, want %v %v", c.at, got, ok, c.want, c.ok)
		}
	}
}
