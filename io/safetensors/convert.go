package safetensors

import (
	"encoding/binary"
	"fmt"
	"math"
)

// width returns the bytes of one element, 0 for a type that is not read.
func width(dtype string) int {
	switch dtype {
	case "U8", "I8":
		return 1
	case "F16", "BF16", "I16":
		return 2
	case "F32", "I32":
		return 4
	case "F64", "I64":
		return 8
	}
	return 0
}

// widen turns the stored elements into float32.
func widen(dtype string, data []byte) ([]float32, error) {
	values := make([]float32, len(data)/width(dtype))
	le := binary.LittleEndian
	switch dtype {
	case "F32":
		for i := range values {
			values[i] = math.Float32frombits(le.Uint32(data[4*i:]))
		}
	case "BF16":
		for i := range values {
			values[i] = math.Float32frombits(uint32(le.Uint16(data[2*i:])) << 16)
		}
	case "F16":
		for i := range values {
			values[i] = fromHalf(le.Uint16(data[2*i:]))
		}
	case "F64":
		return values, each(values, func(i int) (float32, bool) {
			v := math.Float64frombits(le.Uint64(data[8*i:]))
			f := float32(v)
			return f, !math.IsInf(float64(f), 0) || math.IsInf(v, 0)
		})
	case "U8":
		for i := range values {
			values[i] = float32(data[i])
		}
	case "I8":
		for i := range values {
			values[i] = float32(int8(data[i]))
		}
	case "I16":
		for i := range values {
			values[i] = float32(int16(le.Uint16(data[2*i:])))
		}
	case "I32":
		return values, each(values, func(i int) (float32, bool) { return exact(int64(int32(le.Uint32(data[4*i:])))) })
	case "I64":
		return values, each(values, func(i int) (float32, bool) { return exact(int64(le.Uint64(data[8*i:]))) })
	}
	return values, nil
}

func each(values []float32, value func(i int) (float32, bool)) error {
	for i := range values {
		v, ok := value(i)
		if !ok {
			return fmt.Errorf("%w: float32 cannot hold element %d", ErrUnsupported, i)
		}
		values[i] = v
	}
	return nil
}

// exact reports whether float32 holds the integer. Integers close to 2^63 round up to it, which is no int64 to compare with.
func exact(v int64) (float32, bool) {
	f := float32(v)
	return f, f < 1<<63 && int64(f) == v
}

// fromHalf widens an IEEE 754 binary16, whose values are all float32 values; a NaN keeps its payload.
func fromHalf(h uint16) float32 {
	sign := uint32(h>>15) << 31
	exponent := uint32(h>>10) & 31
	fraction := uint32(h) & 1023
	switch exponent {
	case 0: // zero or subnormal: fraction * 2^-24
		return math.Float32frombits(sign | math.Float32bits(float32(fraction)*0x1p-24))
	case 31: // infinity or NaN
		return math.Float32frombits(sign | 255<<23 | fraction<<13)
	}
	return math.Float32frombits(sign | (exponent+127-15)<<23 | fraction<<13)
}
