package nifti

import (
	"bytes"
	"errors"
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"

	"noisystudent/io/volume"
)

func phantom() *volume.Volume {
	v := &volume.Volume{Geometry: volume.Geometry{
		Shape: [3]int{2, 3, 4}, Spacing: [3]float64{2.5, 0.8, 0.7}, Origin: [3]float64{-100.3, 50, 7},
		Direction: [3][3]float64{{0, 0, 1}, {0, 1, 0}, {1, 0, 0}},
	}}
	for i := range 24 {
		v.Data = append(v.Data, float32(100*i-1024))
	}
	return v
}

func TestWriteVolumeOriented(t *testing.T) {
	v := phantom()
	for _, axes := range []string{"RAS", "LPS", "LAS", "SAR", "PIR", "ILP"} {
		for _, typ := range []DataType{Int16, Float32} {
			f, err := NewFrameOriented(v.Geometry, axes)
			if err != nil {
				t.Fatal(err)
			}
			var b bytes.Buffer
			if err := WriteVolume(&b, v, f, typ); err != nil {
				t.Fatal(err)
			}
			got, _ := mustRead(t, b.Bytes(), Options{})
			if diff := cmp.Diff(v.Data, got.Data); diff != "" || !v.SameGrid(got.Geometry, 1e-4) {
				t.Errorf("%s: %v became %v, data (-want +got):\n%s", axes, v.Geometry, got.Geometry, diff)
			}
			if got.Geometry != f.Geometry() {
				t.Errorf("%s: the frame says %v, the file %v", axes, f.Geometry(), got.Geometry)
			}
			checkLetters(t, b.Bytes(), axes)
		}
	}
}

// checkLetters reads which way the file's own axes run.
func checkLetters(t *testing.T, b []byte, want string) {
	t.Helper()
	_, f := mustRead(t, b, Options{Orientation: Stored})
	got := ""
	for c := range 3 {
		for w, letters := range []string{"RL", "AP", "SI"} {
			if f.Affine[w][c] > 0 {
				got += letters[:1]
			} else if f.Affine[w][c] < 0 {
				got += letters[1:]
			}
		}
	}
	if got != want {
		t.Errorf("the file's axes are %s, want %s", got, want)
	}
}

func TestNewFrameOrientedOfAnyVolume(t *testing.T) {
	v := phantom()
	for _, m := range []volume.Axes{{From: [3]int{1, 2, 0}, Flip: [3]bool{true, false, true}}, {From: [3]int{2, 1, 0}}} {
		u := &volume.Volume{Geometry: v.Canonical(m), Data: volume.Canonical(v.Data, v.Shape, m)}
		f, err := NewFrameOriented(u.Geometry, "LPS")
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		if err := WriteVolume(&b, u, f, Int16); err != nil {
			t.Fatal(err)
		}
		checkLetters(t, b.Bytes(), "LPS")
		if got, _ := mustRead(t, b.Bytes(), Options{}); !cmp.Equal(got.Data, v.Data) || !got.SameGrid(v.Geometry, 1e-4) {
			t.Errorf("%v: got %v", m, got)
		}
	}
}

func TestNewFrameOrientedRefuses(t *testing.T) {
	for _, axes := range []string{"", "RA", "RAR", "RLS", "ras", "RASS", "XYZ"} {
		if _, err := NewFrameOriented(phantom().Geometry, axes); err == nil {
			t.Errorf("%q is accepted", axes)
		}
	}
}

func TestNewFrameOfLongAxis(t *testing.T) {
	g := phantom().Geometry
	g.Shape = [3]int{1, 1, 40000}
	l := &volume.Labels{Geometry: g, Data: make([]uint8, 40000)}
	l.Data[39999] = 7
	var b bytes.Buffer
	if err := WriteLabels(&b, l, NewFrame(g)); err != nil {
		t.Fatal(err)
	}
	got, f, err := ReadLabels(&b, Options{})
	if err != nil || f.Version != 2 || got.Data[39999] != 7 || got.Geometry != g {
		t.Errorf("version %d, %v, %v", f.Version, got.Geometry, err)
	}
}

func TestWriteIsDeterministicAndLeavesItsInput(t *testing.T) {
	v := phantom()
	f, err := NewFrameOriented(v.Geometry, "PIR")
	if err != nil {
		t.Fatal(err)
	}
	var a, b bytes.Buffer
	for _, w := range []*bytes.Buffer{&a, &b} {
		if err := WriteVolume(w, v, f, Float32); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(a.Bytes(), b.Bytes()) {
		t.Error("two writes differ")
	}
	if diff := cmp.Diff(phantom(), v); diff != "" {
		t.Errorf("input (-want +got):\n%s", diff)
	}
}

func TestWriteRefuses(t *testing.T) {
	good := phantom()
	for _, c := range []struct {
		name  string
		spoil func(v *volume.Volume, f *Frame)
		typ   DataType
		want  error
	}{
		{"NaN", func(v *volume.Volume, _ *Frame) { v.Data[3] = float32(math.NaN()) }, Float32, ErrNonFinite},
		{"infinite", func(v *volume.Volume, _ *Frame) { v.Data[3] = float32(math.Inf(1)) }, Int16, ErrNonFinite},
		{"out of range", func(v *volume.Volume, _ *Frame) { v.Data[3] = 32768 }, Int16, nil},
		{"uint8", func(*volume.Volume, *Frame) {}, Uint8, ErrUnsupported},
		{"too few", func(v *volume.Volume, _ *Frame) { v.Data = v.Data[1:] }, Int16, nil},
		{"other shape", func(v *volume.Volume, _ *Frame) { v.Shape = [3]int{3, 2, 4} }, Int16, nil},
		{"other place", func(v *volume.Volume, _ *Frame) { v.Origin[0]++ }, Int16, nil},
		{"empty frame", func(_ *volume.Volume, f *Frame) { *f = Frame{} }, Int16, nil},
		{"axes twice", func(_ *volume.Volume, f *Frame) { f.Axes.From = [3]int{0, 0, 1} }, Int16, nil},
		{"version", func(_ *volume.Volume, f *Frame) { f.Version = 3 }, Int16, nil},
		{"NaN affine", func(_ *volume.Volume, f *Frame) { f.Affine[0][0] = math.NaN() }, Int16, volume.ErrGeometry},
	} {
		v := &volume.Volume{Geometry: good.Geometry, Data: append([]float32(nil), good.Data...)}
		f := NewFrame(v.Geometry)
		c.spoil(v, &f)
		err := WriteVolume(&bytes.Buffer{}, v, f, c.typ)
		if err == nil || c.want != nil && !errors.Is(err, c.want) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestInt16RoundsToNearest(t *testing.T) {
	v := phantom()
	v.Data[0], v.Data[1], v.Data[2] = 0.5, 1.5, -32768.4
	var b bytes.Buffer
	if err := WriteVolume(&b, v, NewFrame(v.Geometry), Int16); err != nil {
		t.Fatal(err)
	}
	got, _ := mustRead(t, b.Bytes(), Options{})
	if diff := cmp.Diff([]float32{0, 2, -32768}, got.Data[:3]); diff != "" {
		t.Errorf("data (-want +got):\n%s", diff)
	}
}

// failing refuses everything after n bytes, as a full disk does.
type failing struct{ n int }

var errFull = errors.New("no space left on device")

func (f *failing) Write(b []byte) (int, error) {
	if f.n -= len(b); f.n < 0 {
		return 0, errFull
	}
	return len(b), nil
}

func TestWriteReportsFullDisk(t *testing.T) {
	v := phantom()
	for n := range 60 {
		if err := WriteVolume(&failing{n}, v, NewFrame(v.Geometry), Int16); !errors.Is(err, errFull) {
			t.Fatalf("after %d bytes: %v", n, err)
		}
	}
}
