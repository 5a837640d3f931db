package dicom

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/suyashkumar/dicom/pkg/tag"
	"github.com/suyashkumar/dicom/pkg/uid"

	"noisystudent/io/dicom/dicomtest"
	"noisystudent/io/nifti"
	"noisystudent/io/store"
	"noisystudent/io/volume"
)

// small is a sound series; the files of put lie in any order of names.
func small() dicomtest.Series {
	return dicomtest.Series{UID: "1.2.3", Shape: [3]int{4, 5, 6}, Spacing: [3]float64{2.5, 0.8, 0.7}, Origin: [3]float64{-10, -20, 30}}
}

// put stores slices in a bucket in memory and returns its address.
func put(t testing.TB, list []dicomtest.Slice) string {
	t.Helper()
	files := map[string][]byte{}
	for i, s := range list {
		files[fmt.Sprintf("IM%04d", i*7%11)] = s.Bytes()
	}
	return putFiles(t, files)
}

var buckets atomic.Int64

func putFiles(t testing.TB, files map[string][]byte) string {
	t.Helper()
	address := fmt.Sprintf("mem://dicom%d/series", buckets.Add(1))
	st, err := store.Open(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range files {
		if err := st.Write(t.Context(), name, b); err != nil {
			t.Fatal(err)
		}
	}
	return address
}

func TestRead(t *testing.T) {
	address := put(t, small().Slices())
	stored, frame, err := Read(t.Context(), address, Options{Orientation: nifti.Stored})
	if err != nil {
		t.Fatal(err)
	}
	want := volume.Geometry{
		Shape: [3]int{4, 5, 6}, Spacing: [3]float64{2.5, 0.8, 0.7}, Origin: [3]float64{10, 20, 30},
		Direction: [3][3]float64{{0, 0, 1}, {0, -1, 0}, {-1, 0, 0}},
	}
	if !stored.SameGrid(want, 1e-5) || frame.Note != "" {
		t.Errorf("%+v, note %q", stored.Geometry, frame.Note)
	}
	for i, v := range stored.Data {
		if z, y, x := i/30, i/6%5, i%6; v != float32(100*z+10*y+x) {
			t.Fatalf("voxel %d %d %d is %g", z, y, x, v)
		}
	}
	ras, frame, err := Read(t.Context(), address, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if !ras.SameGrid(stored.Canonical(volume.Nearest(stored.Geometry)), 1e-5) || ras.Data[0] != 45 {
		t.Errorf("%+v begins with %g", ras.Geometry, ras.Data[0])
	}
	g, again, err := ReadHeader(t.Context(), address, Options{})
	if err != nil || g != ras.Geometry || again != frame {
		t.Errorf("the header gives %+v, %v", g, err)
	}
}

// A series is one whatever its slices are called, turned by whatever angle.
func TestOblique(t *testing.T) {
	s := small()
	for _, turn := range []float64{0.1, 0.7, 1.3, 3} {
		c, n := math.Cos(turn), math.Sin(turn)
		s.Axes = [6]float64{c, n, 0, -n * c, c * c, n} // rows in the plane of L and P, columns out of it
		v, frame, err := Read(t.Context(), put(t, s.Slices()), Options{})
		if err != nil {
			t.Fatal(err)
		}
		if err := v.Check(); err != nil {
			t.Fatal(err)
		}
		// The first pixel of the first slice lies where its header says.
		stored := volume.Stored(v.Data, v.Shape, frame.Axes)
		g := v.Stored(frame.Axes)
		if stored[0] != 0 || math.Abs(g.Origin[0]-10)+math.Abs(g.Origin[1]-20)+math.Abs(g.Origin[2]-30) > 1e-4 {
			t.Errorf("turned by %g: %g at %v", turn, stored[0], g.Origin)
		}
		end := g.World([3]float64{0, 0, 1})
		if math.Abs(end[0]-(10-0.7*c)) > 1e-5 || math.Abs(end[1]-(20-0.7*n)) > 1e-5 {
			t.Errorf("turned by %g: the next pixel is at %v", turn, end)
		}
	}
}

func TestTransferSyntaxes(t *testing.T) {
	s := small()
	s.Value = func(z, y, x int) int { return 300*z - 200*(y%2) + x/3 }
	var want []float32
	for _, syntax := range []string{
		uid.ExplicitVRLittleEndian, uid.ImplicitVRLittleEndian, uid.ExplicitVRBigEndian, uid.DeflatedExplicitVRLittleEndian,
		dicomtest.RLE, dicomtest.JPEG, dicomtest.SV1,
	} {
		s.Syntax = syntax
		v, _, err := Read(t.Context(), put(t, s.Slices()), Options{})
		if err != nil {
			t.Errorf("%s: %v", syntax, err)
			continue
		}
		if want == nil {
			want = v.Data
		}
		if !slices.Equal(v.Data, want) {
			t.Errorf("%s gives other voxels", syntax)
		}
	}
}

func TestRefusedSyntaxes(t *testing.T) {
	for syntax, want := range map[string]string{
		"1.2.840.10008.1.2.4.50":  "lossy JPEG (1.2.840.10008.1.2.4.50)",
		"1.2.840.10008.1.2.4.51":  "dcmdjpeg",
		"1.2.840.10008.1.2.4.80":  "dcmdjpls",
		"1.2.840.10008.1.2.4.90":  "JPEG 2000",
		"1.2.840.10008.1.2.4.201": "high-throughput",
		"1.2.840.113619.5.2":      "unknown",
	} {
		list := small().Slices()
		for _, s := range list {
			s[tag.TransferSyntaxUID] = []string{syntax}
			s[tag.PixelData] = dicomtest.Encapsulated([]byte{0xff, 0xd8})
		}
		_, _, err := ReadHeader(t.Context(), put(t, list), Options{})
		if !errors.Is(err, ErrSyntax) || !strings.Contains(fmt.Sprint(err), want) {
			t.Errorf("%s: %v", syntax, err)
		}
	}
}

// sameCompact holds ReadCompact to what Read gives, and tells whether it takes 16 bits a voxel.
func sameCompact(t *testing.T, name, address string, o Options) bool {
	t.Helper()
	v, _, err := Read(t.Context(), address, o)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	c, frame, err := ReadCompact(t.Context(), address, o)
	if err != nil || c.Geometry != v.Geometry || !slices.Equal(c.Whole().Data, v.Data) || frame.Short != (c.Short != nil) {
		t.Errorf("%s: ReadCompact differs from Read: %v, short %v", name, err, frame.Short)
	}
	return frame.Short
}

// Values are scaled slice by slice, from the bits that are stored. Where all slices are
// alike, 16 bits keep them, but for those in long.
func TestValues(t *testing.T) {
	words := func(list ...int) (b []byte) {
		for _, v := range list {
			b = append(b, byte(v), byte(v>>8))
		}
		return b
	}
	long := map[string]bool{"32 bits": true, "padding where air is no value": true}
	for _, c := range []struct {
		name  string
		spoil func(s dicomtest.Slice)
		want  [4]float32
	}{
		{"signed", func(s dicomtest.Slice) {}, [4]float32{-2000, -1, 0, 4095}},
		{"unsigned", func(s dicomtest.Slice) { s[tag.PixelRepresentation] = []int{0} }, [4]float32{63536, 65535, 0, 4095}},
		{"slope and intercept", func(s dicomtest.Slice) {
			s[tag.RescaleSlope], s[tag.RescaleIntercept] = []string{"0.5"}, []string{"-1024"}
		}, [4]float32{-2024, -1024.5, -1024, 1023.5}},
		{"12 bits", func(s dicomtest.Slice) {
			s[tag.BitsStored], s[tag.HighBit], s[tag.PixelRepresentation] = []int{12}, []int{11}, []int{0}
		}, [4]float32{2096, 4095, 0, 4095}},
		{"12 signed bits", func(s dicomtest.Slice) { s[tag.BitsStored], s[tag.HighBit] = []int{12}, []int{11} }, [4]float32{-2000, -1, 0, -1}},
		{"upper bits", func(s dicomtest.Slice) { s[tag.BitsStored] = []int{12} }, [4]float32{-125, -1, 0, 255}},
		{"padding", func(s dicomtest.Slice) { s[tag.PixelPaddingValue] = []int{-2000} }, [4]float32{AirHU, -1, 0, 4095}},
		{"padding as US", func(s dicomtest.Slice) { s[tag.PixelPaddingValue] = []int{63536} }, [4]float32{AirHU, -1, 0, 4095}},
		{"padding where air is no value", func(s dicomtest.Slice) {
			s[tag.PixelRepresentation], s[tag.PixelPaddingValue] = []int{0}, []int{63536}
		}, [4]float32{AirHU, 65535, 0, 4095}},
		{"padding range", func(s dicomtest.Slice) {
			s[tag.PixelPaddingValue], s[tag.PixelPaddingRangeLimit] = []int{4096}, []int{4095}
		}, [4]float32{-2000, -1, 0, AirHU}},
		{"padding in bits that are not stored", func(s dicomtest.Slice) {
			s[tag.BitsStored], s[tag.HighBit], s[tag.PixelRepresentation] = []int{12}, []int{11}, []int{0}
			s[tag.PixelPaddingValue], s[tag.RescaleIntercept] = []int{63536}, []string{"-1024"}
		}, [4]float32{AirHU, 3071, -1024, 3071}},
		{"padding that could be water", func(s dicomtest.Slice) { s[tag.PixelPaddingValue] = []int{0} }, [4]float32{-2000, -1, 0, 4095}},
		{"no scale", func(s dicomtest.Slice) { delete(s, tag.RescaleSlope); delete(s, tag.RescaleIntercept) }, [4]float32{-2000, -1, 0, 4095}},
		{"8 bits", func(s dicomtest.Slice) {
			s[tag.BitsAllocated], s[tag.BitsStored], s[tag.HighBit], s[tag.PixelRepresentation] = []int{8}, []int{8}, []int{7}, []int{0}
			s[tag.PixelData] = []byte{1, 2, 3, 255}
		}, [4]float32{1, 2, 3, 255}},
		{"32 bits", func(s dicomtest.Slice) {
			s[tag.BitsAllocated], s[tag.BitsStored], s[tag.HighBit] = []int{32}, []int{32}, []int{31}
			s[tag.PixelData] = words(1, 0, -1, -1, 0, 1, -2, 0)
		}, [4]float32{1, -1, 65536, 65534}},
	} {
		series := dicomtest.Series{UID: "1.2", Shape: [3]int{2, 2, 2}, Spacing: [3]float64{1, 1, 1}}
		list := series.Slices()
		for _, s := range list {
			s[tag.PixelData] = words(-2000, -1, 0, 4095)
		}
		c.spoil(list[1])
		v, frame, err := Read(t.Context(), put(t, list), Options{Orientation: nifti.Stored})
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if got := [4]float32(v.Data[4:]); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
		if first := [4]float32(v.Data[:4]); first != [4]float32{-2000, -1, 0, 4095} {
			t.Errorf("%s: the other slice became %v", c.name, first)
		}
		sameCompact(t, c.name, put(t, list), Options{})
		c.spoil(list[0])
		if kept := sameCompact(t, c.name+" in all", put(t, list), Options{}); kept == long[c.name] {
			t.Errorf("%s in all slices: kept in 16 bits: %v", c.name, kept)
		}
		if noted := c.name == "no scale" || strings.Contains(c.name, "water"); noted != (frame.Note != "") {
			t.Errorf("%s: note %q", c.name, frame.Note)
		}
	}
}

func TestRefusals(t *testing.T) {
	all := func(f func(s dicomtest.Slice)) func([]dicomtest.Slice) []dicomtest.Slice {
		return func(list []dicomtest.Slice) []dicomtest.Slice {
			for _, s := range list {
				f(s)
			}
			return list
		}
	}
	one := func(f func(s dicomtest.Slice)) func([]dicomtest.Slice) []dicomtest.Slice {
		return func(list []dicomtest.Slice) []dicomtest.Slice { f(list[2]); return list }
	}
	set := func(t tag.Tag, v any) func(dicomtest.Slice) { return func(s dicomtest.Slice) { s[t] = v } }
	for _, c := range []struct {
		name  string
		want  error
		spoil func([]dicomtest.Slice) []dicomtest.Slice
	}{
		{"a slice missing", ErrMissing, func(l []dicomtest.Slice) []dicomtest.Slice { return slices.Delete(l, 1, 2) }},
		{"a slice twice", ErrDuplicate, func(l []dicomtest.Slice) []dicomtest.Slice { return append(l, l[1]) }},
		{"two phases", ErrDuplicate, func(l []dicomtest.Slice) []dicomtest.Slice { return append(l, l...) }},
		{"uneven steps", ErrMixed, one(set(tag.ImagePositionPatient, dicomtest.Numbers(-10, -20, 35.5)))},
		{"two spacings", ErrMixed, func(l []dicomtest.Slice) []dicomtest.Slice {
			for i, z := range []float64{0, 1, 3, 5} {
				l[i][tag.ImagePositionPatient] = dicomtest.Numbers(-10, -20, z)
			}
			return l
		}},
		{"a slice beside", ErrMixed, one(set(tag.ImagePositionPatient, dicomtest.Numbers(-12, -20, 35)))},
		{"gantry tilt", ErrTilt, all(func(s dicomtest.Slice) {
			s[tag.ImageOrientationPatient] = dicomtest.Numbers(1, 0, 0, 0, math.Cos(0.2), -math.Sin(0.2))
		})},
		{"two orientations", ErrMixed, one(set(tag.ImageOrientationPatient, dicomtest.Numbers(1, 0, 0, 0, 0, -1)))},
		{"two pixel spacings", ErrMixed, one(set(tag.PixelSpacing, dicomtest.Numbers(0.8, 0.8)))},
		{"two sizes", ErrMixed, one(func(s dicomtest.Slice) { s[tag.Rows], s[tag.PixelData] = []int{4}, make([]byte, 48) })},
		{"two frames of reference", ErrReferences, one(set(tag.FrameOfReferenceUID, []string{"9.9"}))},
		{"MR", ErrModality, all(set(tag.Modality, []string{"MR"}))},
		{"no modality", ErrModality, all(func(s dicomtest.Slice) { delete(s, tag.Modality) })},
		{"a localizer", ErrLocalizer, all(set(tag.ImageType, []string{"ORIGINAL", "PRIMARY", "LOCALIZER"}))},
		{"one localizer", ErrLocalizer, one(set(tag.ImageType, []string{"ORIGINAL", "PRIMARY", "LOCALIZER"}))},
		{"enhanced CT", ErrMultiFrame, all(set(tag.SOPClassUID, []string{"1.2.840.10008.5.1.4.1.1.2.1"}))},
		{"frames", ErrMultiFrame, all(set(tag.NumberOfFrames, []string{"3"}))},
		{"no pixel data", ErrNoPixels, all(func(s dicomtest.Slice) { delete(s, tag.PixelData) })},
		{"colour", ErrPixels, all(func(s dicomtest.Slice) { s[tag.SamplesPerPixel] = []int{3} })},
		{"12 bits allocated", ErrPixels, all(set(tag.BitsAllocated, []int{12}))},
		{"bytes in words of the other byte order", ErrPixels, all(func(s dicomtest.Slice) {
			s[tag.BitsAllocated], s[tag.BitsStored], s[tag.HighBit] = []int{8}, []int{8}, []int{7}
			s[tag.TransferSyntaxUID], s[tag.PixelData] = []string{uid.ExplicitVRBigEndian}, make([]byte, 30)
		})},
		{"bits beyond", ErrHeader, all(set(tag.BitsStored, []int{17}))},
		{"high bit below", ErrHeader, all(set(tag.HighBit, []int{3}))},
		{"no rows", ErrDimensions, all(set(tag.Rows, []int{0}))},
		{"rows that lie", ErrMismatch, all(set(tag.Rows, []int{65535}))},
		{"pixels that lie", ErrMismatch, one(set(tag.PixelData, make([]byte, 40)))},
		{"no position", ErrGeometry, one(func(s dicomtest.Slice) { delete(s, tag.ImagePositionPatient) })},
		{"NaN position", ErrGeometry, one(set(tag.ImagePositionPatient, []string{"NaN", "0", "0"}))},
		{"infinite spacing", ErrGeometry, all(set(tag.PixelSpacing, []string{"1e999", "1"}))},
		{"no spacing", ErrGeometry, all(func(s dicomtest.Slice) { delete(s, tag.PixelSpacing) })},
		{"spacing 0", ErrGeometry, all(set(tag.PixelSpacing, dicomtest.Numbers(0, 0)))},
		{"spacing of kilometres", ErrGeometry, all(set(tag.PixelSpacing, dicomtest.Numbers(1e7, 1e7)))},
		{"no orientation", ErrGeometry, all(func(s dicomtest.Slice) { delete(s, tag.ImageOrientationPatient) })},
		{"skewed", ErrGeometry, all(set(tag.ImageOrientationPatient, dicomtest.Numbers(1, 0, 0, 0.6, 0.8, 0)))},
		{"two numbers of three", ErrHeader, one(set(tag.ImagePositionPatient, dicomtest.Numbers(1, 2)))},
		{"a word for a number", ErrHeader, one(set(tag.RescaleSlope, []string{"one"}))},
		{"slope 0", ErrHeader, one(set(tag.RescaleSlope, []string{"0"}))},
		{"NaN intercept", ErrHeader, one(set(tag.RescaleIntercept, []string{"NaN"}))},
		{"a long value", ErrHeader, one(set(tag.ImageType, []string{strings.Repeat("A", maxValue+2)}))},
		{"an invalid series", ErrHeader, all(set(tag.SeriesInstanceUID, []string{"../../etc"}))},
		{"RLE without fragments", ErrHeader, all(func(s dicomtest.Slice) {
			s[tag.TransferSyntaxUID], s[tag.PixelData] = []string{dicomtest.RLE}, small().Slices()[0].Native()
		})},
		{"RLE cut short", ErrTruncated, all(func(s dicomtest.Slice) {
			b := dicomtest.PackRLE(s[tag.PixelData].([]byte), 2)
			s[tag.TransferSyntaxUID], s[tag.PixelData] = []string{dicomtest.RLE}, dicomtest.Encapsulated(b[:len(b)-8])
		})},
		{"RLE of other words", ErrHeader, all(func(s dicomtest.Slice) {
			s[tag.TransferSyntaxUID], s[tag.PixelData] = []string{dicomtest.RLE}, dicomtest.Encapsulated(dicomtest.PackRLE(s[tag.PixelData].([]byte), 1))
		})},
		{"RLE that lies", ErrTruncated, all(func(s dicomtest.Slice) {
			s[tag.TransferSyntaxUID], s[tag.Rows] = []string{dicomtest.RLE}, []int{65535}
		})},
	} {
		address := put(t, c.spoil(small().Slices()))
		_, _, err := Read(t.Context(), address, Options{})
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
		if strings.Contains(fmt.Sprint(err), "DOE") {
			t.Errorf("%s: the patient's name is told: %v", c.name, err)
		}
	}
}

// Rounding to a tenth of a millimetre, as some scanners do, is no fault.
func TestTolerances(t *testing.T) {
	list := small().Slices()
	for i, z := range []float64{0, 0.6, 1.3, 1.9} {
		list[i][tag.ImagePositionPatient] = dicomtest.Numbers(-10, -20, z)
		list[i][tag.ImageOrientationPatient] = dicomtest.Numbers(0.99999, 0, 0, 0, 1, 1e-5)
	}
	g, _, err := ReadHeader(t.Context(), put(t, list), Options{Orientation: nifti.Stored})
	if err != nil || math.Abs(g.Spacing[0]-1.9/3) > 1e-5 {
		t.Errorf("%v, %v", g, err)
	}
	g, frame, err := ReadHeader(t.Context(), put(t, small().Slices()[:1]), Options{})
	if err != nil || g.Spacing[0] != 2.5 || !strings.Contains(frame.Note, "one slice") {
		t.Errorf("one slice: %v, %q, %v", g, frame.Note, err)
	}
}

func TestTruncatedFiles(t *testing.T) {
	for _, syntax := range []string{uid.ExplicitVRLittleEndian, uid.ImplicitVRLittleEndian, uid.DeflatedExplicitVRLittleEndian, dicomtest.RLE, dicomtest.SV1} {
		s := small()
		s.Syntax = syntax
		list := s.Slices()
		whole := list[1].Bytes()
		files := map[string][]byte{"a.dcm": list[0].Bytes(), "c.dcm": list[2].Bytes(), "d.dcm": list[3].Bytes()}
		files["b.dcm"] = whole
		want, _, err := Read(t.Context(), putFiles(t, files), Options{})
		if err != nil {
			t.Fatal(err)
		}
		for n := range len(whole) {
			files["b.dcm"] = whole[:n]
			got, _, err := Read(t.Context(), putFiles(t, files), Options{})
			if err == nil && slices.Equal(got.Data, want.Data) && n == len(whole)-1 {
				continue // of deflated data the last byte may hold nothing but their end
			}
			if !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrNoPixels) {
				t.Fatalf("%s: %d of %d bytes: %v", syntax, n, len(whole), err)
			}
		}
	}
}

// Elements that some program passed on without knowing them are of representation UN.
func TestUnknownRepresentations(t *testing.T) {
	for _, syntax := range []string{uid.ExplicitVRLittleEndian, uid.ExplicitVRBigEndian} {
		s := small()
		s.Syntax = syntax
		files := map[string][]byte{}
		for i, slice := range s.Slices() {
			b := slice.Bytes()
			order := syntax != uid.ExplicitVRBigEndian
			for _, e := range []struct{ tag, vr string }{{"\x28\x00\x53\x10", "DS"}, {"\x28\x00\x10\x00", "US"}, {"\x20\x00\x0e\x00", "UI"}} {
				name := []byte(e.tag)
				if !order {
					name[0], name[1], name[2], name[3] = name[1], name[0], name[3], name[2]
				}
				at := bytes.Index(b, append(name, e.vr...))
				length := int(b[at+6]) + int(b[at+7]) // one of them is 0
				size := []byte{byte(length), 0, 0, 0}
				value := slices.Clone(b[at+8 : at+8+length])
				if !order {
					size = []byte{0, 0, 0, byte(length)}
					if e.vr == "US" {
						slices.Reverse(value)
					}
				}
				b = slices.Concat(b[:at+4], []byte("UN\x00\x00"), size, value, b[at+8+length:])
			}
			files[fmt.Sprint(i)] = b
		}
		v, _, err := Read(t.Context(), putFiles(t, files), Options{Orientation: nifti.Stored})
		if err != nil || v.Shape != [3]int{4, 5, 6} || v.Data[119] != 345 {
			t.Errorf("%s: %v", syntax, err)
		}
	}
}

func TestTooLarge(t *testing.T) {
	_, _, err := Read(t.Context(), put(t, small().Slices()), Options{MaxVoxels: 119})
	if !errors.Is(err, ErrTooLarge) {
		t.Error(err)
	}
	if _, _, err = Read(t.Context(), put(t, small().Slices()), Options{MaxVoxels: 120}); err != nil {
		t.Error(err)
	}
	if _, _, err = Read(t.Context(), put(t, small().Slices()), Options{Orientation: "lps"}); err == nil {
		t.Error("no orientation is called lps")
	}
}

// Several series in one folder, with what else lies there.
func TestSeries(t *testing.T) {
	files := map[string][]byte{"DICOMDIR": []byte("x"), "readme.txt": []byte("x"), "README": []byte("x"), ".hidden.dcm": []byte("x"), "a/preview.jpg": nil}
	for i, name := range []string{"1.2.10", "1.2.9"} {
		s := small()
		s.UID, s.Shape[0] = name, 3+i
		for z, slice := range s.Slices() {
			files[fmt.Sprintf("a/%d/%d.%d", z%2, i, z)] = slice.Bytes() // slices of one series in two folders
		}
	}
	address := putFiles(t, files)
	p, err := Open(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	list, err := p.Series(t.Context())
	if err != nil || !slices.Equal(list, []string{"1.2.10", "1.2.9"}) {
		t.Errorf("%v, %v", list, err)
	}
	for i, name := range list {
		g, _, err := ReadHeader(t.Context(), Address(address, name), Options{})
		if err != nil || g.Shape[0] != 3+i {
			t.Errorf("%s: %v, %v", name, g, err)
		}
	}
	if _, _, err := ReadHeader(t.Context(), address, Options{}); !errors.Is(err, ErrSeveral) {
		t.Errorf("no series was named: %v", err)
	}
	if _, _, err := ReadHeader(t.Context(), Address(address, "1.2"), Options{}); !errors.Is(err, ErrNone) {
		t.Errorf("a series that is not there: %v", err)
	}
	files["damaged.dcm"] = files["a/0/0.0"][:200] // nobody can say whose slice it is
	if _, _, err := ReadHeader(t.Context(), Address(putFiles(t, files), "1.2.9"), Options{}); !errors.Is(err, ErrTruncated) {
		t.Errorf("a damaged slice: %v", err)
	}
	delete(files, "damaged.dcm")
	files["done"] = nil // a mark, not a slice
	if _, _, err := ReadHeader(t.Context(), Address(putFiles(t, files), "1.2.9"), Options{}); err != nil {
		t.Error(err)
	}
	files["IM7"] = nil // a slice that was not copied
	if _, _, err := ReadHeader(t.Context(), Address(putFiles(t, files), "1.2.9"), Options{}); !errors.Is(err, ErrTruncated) {
		t.Errorf("an empty slice: %v", err)
	}
	for n := preambleSize; n < 200; n++ { // one file, cut within what comes before its data
		p, err := Open(t.Context(), putFiles(t, map[string][]byte{"IM": files["a/0/0.0"][:n]}))
		if err == nil {
			_, err = p.Series(t.Context())
		}
		if !errors.Is(err, ErrMalformed) {
			t.Fatalf("%d bytes: %v", n, err)
		}
	}
	if _, err := Open(t.Context(), "mem://dicom0/nothing"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("an empty folder: %v", err)
	}
	for _, names := range [][]string{{"a.dcm", "b.dcm"}, {"a", "b"}, {"a.ct", "b1"}} {
		p, err := Open(t.Context(), putFiles(t, map[string][]byte{names[0]: []byte("text"), names[1]: nil}))
		if err == nil {
			list, err = p.Series(t.Context())
		}
		if err != nil || len(list) != 0 {
			t.Errorf("text: %v, %v", list, err)
		}
	}
}

func TestInfo(t *testing.T) {
	files := map[string][]byte{}
	for i, s := range small().Slices() {
		files[fmt.Sprint(i)] = s.Bytes()
	}
	address := putFiles(t, files)
	info := func() store.Info {
		p, err := Open(context.Background(), address)
		if err != nil {
			t.Fatal(err)
		}
		return p.Info()
	}
	first := info()
	if first != info() || first.Size == 0 || first.Generation == 0 || first.ModTime.IsZero() {
		t.Errorf("%+v, then %+v", first, info())
	}
	st, err := store.Open(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	for what, change := range map[string]func() error{
		"the same slice again": func() error { return st.Write(t.Context(), "0", files["0"]) },
		"an empty slice":       func() error { return st.Write(t.Context(), "9", nil) },
		"one slice less":       func() error { return st.Remove(t.Context(), "1") },
	} {
		before := info()
		if err := change(); err != nil {
			t.Fatal(err)
		}
		if after := info(); after.Generation == before.Generation {
			t.Errorf("%s does not show: %+v", what, after)
		}
	}
}
