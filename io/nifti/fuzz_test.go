package nifti

import (
	"bytes"
	"errors"
	"math"
	"testing"
)

// FuzzRead: whatever the bytes, Read gives a typed error or a volume that a
// write and a second read keep.
func FuzzRead(f *testing.F) {
	for _, r := range []raw{plain(1, false), plain(1, true), plain(2, false), plain(2, true)} {
		f.Add(r.bytes())
		f.Add(gzipped(r.bytes()))
		r.sform, r.qform, r.quatern = 0, 1, [3]float64{0.5, 0.5, 0.5}
		f.Add(r.bytes())
		r.qform, r.datatype, r.slope, r.dim[3] = 0, 16, 2, 1
		f.Add(r.bytes())
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > 1<<14 {
			return
		}
		o := Options{MaxVoxels: 1 << 12}
		if _, _, err := ReadLabels(bytes.NewReader(b), o); err != nil {
			checkTyped(t, err)
		}
		v, frame, err := Read(bytes.NewReader(b), o)
		if err != nil {
			checkTyped(t, err)
			return
		}
		if len(v.Data) != v.Voxels() || v.Check() != nil {
			t.Fatalf("%d values on %v: %v", len(v.Data), v.Geometry, v.Check())
		}
		var out bytes.Buffer
		if err := WriteVolume(&out, v, frame, Float32); err != nil {
			t.Fatal(err)
		}
		again, _, err := Read(&out, o)
		if err != nil {
			t.Fatal(err)
		}
		for i, x := range v.Data {
			if math.Float32bits(x) != math.Float32bits(again.Data[i]) {
				t.Fatalf("voxel %d: %g became %g", i, x, again.Data[i])
			}
		}
	})
}

func checkTyped(t *testing.T, err error) {
	t.Helper()
	if !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrUnsupported) && !errors.Is(err, ErrTooLarge) {
		t.Fatalf("not typed: %v", err)
	}
}
