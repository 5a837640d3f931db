package dicom

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/suyashkumar/dicom/pkg/tag"
	"github.com/suyashkumar/dicom/pkg/uid"

	"noisystudent/io/dicom/dicomtest"
)

// encapsulated is pixel data as they lie in a file.
func encapsulated(fragments ...[]byte) []byte {
	b := []byte{0xfe, 0xff, 0, 0xe0, 0, 0, 0, 0} // no offsets
	for _, f := range fragments {
		b = append(b, 0xfe, 0xff, 0, 0xe0)
		b = append(binary.LittleEndian.AppendUint32(b, uint32(len(f))), f...)
	}
	return append(b, 0xfe, 0xff, 0xdd, 0xe0, 0, 0, 0, 0)
}

func TestJPEG(t *testing.T) {
	const rows, columns = 13, 17
	r := rand.New(rand.NewPCG(1, 2))
	for predictor := 1; predictor <= 7; predictor++ {
		for _, precision := range []int{2, 8, 12, 16} {
			for _, restart := range []int{0, 1, 5} {
				for _, shift := range []int{0, 1} {
					h := &header{rows: rows, columns: columns, allocated: 16}
					if precision <= 8 {
						h.allocated = 8
					}
					b := make([]byte, h.bytes())
					for i := range rows * columns {
						v := r.IntN(1<<precision) &^ (1<<shift - 1)
						if h.allocated == 8 {
							b[i] = byte(v)
						} else {
							binary.LittleEndian.PutUint16(b[2*i:], uint16(v))
						}
					}
					o := dicomtest.JPEGOptions{Predictor: predictor, Precision: precision, Restart: restart, Shift: shift}
					packed := dicomtest.PackJPEG(b, rows, columns, o)
					got, err := unpackJPEG(encapsulated(packed[:40], packed[40:]), h)
					if err != nil || !bytes.Equal(got, b) {
						t.Errorf("%+v: %v", o, err)
					}
				}
			}
		}
	}
}

func TestBadJPEG(t *testing.T) {
	s := small()
	s.Syntax = dicomtest.SV1
	slice := s.Slices()[0]
	packed := dicomtest.PackJPEG(slice[tag.PixelData].([]byte), 5, 6, dicomtest.JPEGOptions{Predictor: 1, Precision: 16, Restart: 2})
	change := func(at int, v byte) []byte {
		b := slices.Clone(packed)
		b[at] = v
		return b
	}
	sof := bytes.Index(packed, []byte{0xff, 0xc3})
	sos := bytes.Index(packed, []byte{0xff, 0xda})
	restart := bytes.Index(packed, []byte{0xff, 0xd0})
	for name, c := range map[string]struct {
		data []byte
		want error
	}{
		"nothing":             {nil, ErrHeader},
		"no beginning":        {packed[2:], ErrHeader},
		"another process":     {change(sof+1, 0xc0), ErrSyntax},
		"other size":          {change(sof+6, 7), ErrMismatch},
		"precision 17":        {change(sof+4, 17), ErrHeader},
		"three components":    {change(sof+9, 3), ErrPixels},
		"no table":            {change(sos+6, 0x10), ErrHeader},
		"predictor 0":         {change(sos+7, 0), ErrHeader},
		"predictor 9":         {change(sos+7, 9), ErrHeader},
		"all shifted out":     {change(sos+9, 15), nil},
		"too many codes":      {change(8, 200), ErrHeader},
		"restart within rows": {change(sof+13+5, 11), ErrHeader},
		"restart lost":        {change(restart+1, 0xd8), ErrTruncated},
		"only an end":         {[]byte{0xff, 0xd8, 0xff, 0xd9, 0, 2}, ErrTruncated},
	} {
		slice[tag.PixelData] = dicomtest.Encapsulated(c.data)
		_, _, err := Read(t.Context(), put(t, []dicomtest.Slice{slice}), Options{})
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	for n := range len(packed) - 2 {
		slice[tag.PixelData] = dicomtest.Encapsulated(packed[:n])
		if _, _, err := Read(t.Context(), put(t, []dicomtest.Slice{slice}), Options{}); !errors.Is(err, ErrMalformed) {
			t.Fatalf("%d of %d bytes: %v", n, len(packed), err)
		}
	}
}

// A slice of half a megabyte; compare with the same without compression.
func BenchmarkSlice(b *testing.B) {
	for _, syntax := range []string{uid.ExplicitVRLittleEndian, dicomtest.RLE, dicomtest.SV1} {
		b.Run(syntax, func(b *testing.B) {
			r := rand.New(rand.NewPCG(1, 2))
			s := dicomtest.Series{UID: "1.2", Shape: [3]int{1, 512, 512}, Spacing: [3]float64{5, 1, 1}, Syntax: syntax}
			s.Value = func(_, y, x int) int { return y + x + r.IntN(30) }
			p := put(b, s.Slices())
			for b.Loop() {
				if _, _, err := Read(b.Context(), p, Options{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
