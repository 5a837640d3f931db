package safetensors

import (
	"encoding/binary"
	"errors"
	"math"
	"testing"
)

func TestWiden(t *testing.T) {
	le := binary.LittleEndian
	i32 := func(v int32) []byte { return le.AppendUint32(nil, uint32(v)) }
	i64 := func(v int64) []byte { return le.AppendUint64(nil, uint64(v)) }
	f64 := func(v float64) []byte { return le.AppendUint64(nil, math.Float64bits(v)) }
	inf := float32(math.Inf(1))
	for _, test := range []struct {
		dtype string
		data  []byte
		want  float32
		err   bool
	}{
		{"U8", []byte{255}, 255, false},
		{"I8", []byte{0x80}, -128, false},
		{"I16", []byte{0, 0x80}, -32768, false},
		{"I32", i32(1 << 24), 1 << 24, false},
		{"I32", i32(1<<24 + 1), 0, true},
		{"I32", i32(1<<24 + 2), 1<<24 + 2, false},
		{"I32", i32(math.MinInt32), math.MinInt32, false},
		{"I32", i32(math.MaxInt32), 0, true},
		{"I64", i64(math.MinInt64), math.MinInt64, false},
		{"I64", i64(math.MaxInt64), 0, true},
		{"I64", i64(-1<<40 - 1), 0, true},
		{"I64", i64(1 << 62), 1 << 62, false},
		{"F64", f64(0.1), 0.1, false},
		{"F64", f64(math.Inf(1)), inf, false},
		{"F64", f64(1e-300), 0, false},
		{"F64", f64(1e300), 0, true},
		{"F64", f64(math.MaxFloat32), math.MaxFloat32, false},
		{"F64", f64(-2 * math.MaxFloat32), 0, true},
		{"BF16", []byte{0x80, 0x3f}, 1, false},
		{"BF16", []byte{0x80, 0xff}, -inf, false},
		{"F16", []byte{0, 0x3c}, 1, false},
		{"F16", []byte{0xff, 0x7b}, 65504, false},
		{"F16", []byte{1, 0}, 0x1p-24, false},
		{"F16", []byte{0xff, 0x83}, -1023 * 0x1p-24, false},
		{"F16", []byte{0, 0x7c}, inf, false},
		{"F32", []byte{1, 0, 0, 0}, math.SmallestNonzeroFloat32, false},
	} {
		got, err := widen(test.dtype, test.data)
		switch {
		case test.err && !errors.Is(err, ErrUnsupported):
			t.Errorf("%s %x: %v, error %v", test.dtype, test.data, got, err)
		case !test.err && (err != nil || len(got) != 1 || got[0] != test.want):
			t.Errorf("%s %x: %v, %v, want %v", test.dtype, test.data, got, err, test.want)
		}
	}
}

// Every binary16 there is, against its definition: (-1)^s * 2^(e-25) * (1024 + f), or 2^-24 * f where e is 0.
func TestEveryHalf(t *testing.T) {
	for h := range 1 << 16 {
		sign, e, f := 1-2*float64(h>>15), h>>10&31, float64(h&1023)
		want := sign * math.Ldexp(1024+f, e-25)
		switch e {
		case 0:
			want = sign * math.Ldexp(f, -24)
		case 31:
			want = sign * math.Inf(1)
			if f != 0 {
				want = math.NaN()
			}
		}
		got := float64(fromHalf(uint16(h)))
		if got != want && (got == got || want == want) || math.Signbit(got) != (h>>15 == 1) {
			t.Fatalf("%04x: %v, want %v", h, got, want)
		}
	}
}
