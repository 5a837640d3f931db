package nifti

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// everyType writes its extremes and small values as the file does.
var everyType = []struct {
	code   int
	values []float64 // exact in the type
	put    func(o byteOrder, b []byte, v float64) []byte
}{
	{2, []float64{0, 1, 127, 128, 255}, func(_ byteOrder, b []byte, v float64) []byte { return append(b, uint8(v)) }},
	{256, []float64{0, -1, 127, -128}, func(_ byteOrder, b []byte, v float64) []byte { return append(b, uint8(int8(v))) }},
	{4, []float64{0, -1, 258, math.MinInt16, math.MaxInt16}, func(o byteOrder, b []byte, v float64) []byte {
		return o.AppendUint16(b, uint16(int16(v)))
	}},
	{512, []float64{0, 258, math.MaxInt16 + 1, math.MaxUint16}, func(o byteOrder, b []byte, v float64) []byte {
		return o.AppendUint16(b, uint16(v))
	}},
	{8, []float64{0, -1, 66051, math.MinInt32, math.MaxInt32}, func(o byteOrder, b []byte, v float64) []byte {
		return o.AppendUint32(b, uint32(int32(v)))
	}},
	{768, []float64{0, 66051, math.MaxInt32 + 1, math.MaxUint32}, func(o byteOrder, b []byte, v float64) []byte {
		return o.AppendUint32(b, uint32(v))
	}},
	{1024, []float64{0, -1, 1 << 40, math.MinInt64}, func(o byteOrder, b []byte, v float64) []byte {
		return o.AppendUint64(b, uint64(int64(v)))
	}},
	{1280, []float64{0, 1 << 40, 1 << 63}, func(o byteOrder, b []byte, v float64) []byte {
		return o.AppendUint64(b, uint64(v))
	}},
	{16, []float64{0, -1.5, math.MaxFloat32, math.SmallestNonzeroFloat32}, func(o byteOrder, b []byte, v float64) []byte {
		return o.AppendUint32(b, math.Float32bits(float32(v)))
	}},
	{64, []float64{0, -1.5, 0.1, math.Pi * 1e30}, func(o byteOrder, b []byte, v float64) []byte {
		return o.AppendUint64(b, math.Float64bits(v))
	}},
}

func TestEveryType(t *testing.T) {
	for _, c := range everyType {
		everyKind(t, func(t *testing.T, r raw) {
			for _, s := range []struct{ slope, inter, a, b float64 }{
				{1, 0, 1, 0},
				{0, 7, 1, 0}, // slope 0: no scaling at all
				{math.NaN(), 7, 1, 0},
				{math.Inf(1), 7, 1, 0},
				{0.5, -1024, 0.5, -1024},
				{1, -1024, 1, -1024},
				{-2, 0, -2, 0},
			} {
				r.datatype, r.slope, r.inter, r.data = c.code, s.slope, s.inter, nil
				r.dim = []int64{3, int64(len(c.values)), 1, 1}
				for _, v := range c.values {
					r.data = c.put(r.order(), r.data, v)
				}
				if c.code == 16 && s.a == -2 {
					continue // the largest float32 doubled is not finite, rightly
				}
				v, _ := mustRead(t, r.bytes(), Options{Orientation: Stored})
				for i, x := range c.values {
					if want := float32(x*s.a + s.b); v.Data[i] != want {
						t.Errorf("type %d slope %g inter %g: %g became %g, want %g", c.code, s.slope, s.inter, x, v.Data[i], want)
					}
				}
			}
		})
	}
}

func TestScaleIsRoundedOnce(t *testing.T) {
	r := plain(2, false)
	r.datatype, r.slope, r.inter, r.dim, r.data = 8, 0.001, 0.1, []int64{3, 1, 1, 1}, nil
	const odd = 1<<24 + 1 // not a float32
	r.data = le.AppendUint32(r.data, odd)
	v, _ := mustRead(t, r.bytes(), Options{})
	slope, inter := 0.001, 0.1
	if want := float32(float64(odd*slope) + inter); v.Data[0] != want {
		t.Errorf("got %v, want %v", v.Data[0], want)
	}
}

func BenchmarkRead(b *testing.B) {
	r := plain(1, false)
	r.dim, r.data = []int64{3, 512, 512, 32}, nil
	rng := rand.New(rand.NewPCG(1, 1))
	for i := range 512 * 512 * 32 {
		// Noisy soft tissue inside a body, air outside, as a scan compresses.
		x, y := i%512-256, i/512%512-256
		v := -1024
		if x*x+2*y*y < 200*200 {
			v = 40 + int(12*rng.NormFloat64())
		}
		r.data = le.AppendUint16(r.data, uint16(int16(v)))
	}
	for name, file := range map[string][]byte{"gzip": gzipped(r.bytes()), "plain": r.bytes()} {
		for _, o := range []string{RAS, Stored} {
			b.Run(fmt.Sprintf("%s/%s", name, o), func(b *testing.B) {
				b.SetBytes(int64(len(r.data)))
				for b.Loop() {
					if _, _, err := Read(bytes.NewReader(file), Options{Orientation: o}); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
	b.Run("gzip-alone", func(b *testing.B) {
		file := gzipped(r.bytes())
		b.SetBytes(int64(len(r.data)))
		for b.Loop() {
			s, err := newStream(bytes.NewReader(file))
			if err == nil {
				err = s.skip(int64(len(r.data)))
			}
			if err != nil {
				b.Fatal(err)
			}
		}
	})
}
