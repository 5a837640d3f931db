package nifti

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/bits"
)

// DataType is a NIfTI datatype code.
type DataType uint16

// The types that are written. All real types up to 64 bits are read.
const (
	Uint8   DataType = 2
	Int16   DataType = 4
	Float32 DataType = 16
)

// voxelType says how one voxel lies in the file.
type voxelType struct {
	name   string
	bytes  int
	float  bool
	decode func(dst []float32, src []byte, s scaling) // src is little-endian

	short    func(dst []int16, src []byte) // as stored, where that takes at most 16 bits; else nil
	unsigned bool                          // short's bits are a uint16's
}

var voxelTypes = map[uint16]voxelType{
	2:    {"uint8", 1, false, decode8[uint8], short8[uint8], false},
	256:  {"int8", 1, false, decode8[int8], short8[int8], false},
	4:    {"int16", 2, false, decode16[int16], short16, false},
	512:  {"uint16", 2, false, decode16[uint16], short16, true},
	8:    {"int32", 4, false, decode32[int32], nil, false},
	768:  {"uint32", 4, false, decode32[uint32], nil, false},
	1024: {"int64", 8, false, decode64[int64], nil, false},
	1280: {"uint64", 8, false, decode64[uint64], nil, false},
	16:   {"float32", 4, true, decodeFloat32, nil, false},
	64:   {"float64", 8, true, decodeFloat64, nil, false},
}

// refusedTypes are the standard's other types, by name.
var refusedTypes = map[uint16]string{
	0:    "unknown",
	1:    "1-bit",
	32:   "complex64",
	128:  "RGB",
	1536: "float128",
	1792: "complex128",
	2048: "complex256",
	2304: "RGBA",
}

// setType looks the datatype up. bitpix repeats it and is ignored, as nibabel and
// ITK do: the size of the data tells when the two contradict each other.
func (h *header) setType(code uint16) error {
	t, ok := voxelTypes[code]
	if ok {
		h.typ = t
		return nil
	}
	if name, ok := refusedTypes[code]; ok {
		return fmt.Errorf("%w: voxels of type %s (datatype %d): convert them to int16 or float32", ErrUnsupported, name, code)
	}
	return fmt.Errorf("%w: datatype %d is not in the standard", ErrHeader, code)
}

// scaling is value*slope + inter. The explicit conversion below keeps the product
// from being fused, so that every machine gives the same bits.
type scaling struct{ slope, inter float64 }

func (s scaling) none() bool { return s.slope == 1 && s.inter == 0 }

func (s scaling) apply(v float64) float32 { return float32(float64(v*s.slope) + s.inter) }

func decode8[T int8 | uint8](dst []float32, src []byte, s scaling) {
	src = src[:len(dst)]
	if s.none() {
		for i, b := range src {
			dst[i] = float32(T(b))
		}
		return
	}
	for i, b := range src {
		dst[i] = s.apply(float64(T(b)))
	}
}

func decode16[T int16 | uint16](dst []float32, src []byte, s scaling) {
	if s.none() {
		for i := range dst {
			dst[i] = float32(T(binary.LittleEndian.Uint16(src[2*i:])))
		}
		return
	}
	for i := range dst {
		dst[i] = s.apply(float64(T(binary.LittleEndian.Uint16(src[2*i:]))))
	}
}

func short8[T int8 | uint8](dst []int16, src []byte) {
	for i, b := range src[:len(dst)] {
		dst[i] = int16(T(b))
	}
}

func short16(dst []int16, src []byte) {
	for i := range dst {
		dst[i] = int16(binary.LittleEndian.Uint16(src[2*i:]))
	}
}

func decode32[T int32 | uint32](dst []float32, src []byte, s scaling) {
	if s.none() {
		for i := range dst {
			dst[i] = float32(T(binary.LittleEndian.Uint32(src[4*i:])))
		}
		return
	}
	for i := range dst {
		dst[i] = s.apply(float64(T(binary.LittleEndian.Uint32(src[4*i:]))))
	}
}

func decode64[T int64 | uint64](dst []float32, src []byte, s scaling) {
	if s.none() {
		for i := range dst {
			dst[i] = float32(T(binary.LittleEndian.Uint64(src[8*i:])))
		}
		return
	}
	for i := range dst {
		dst[i] = s.apply(float64(T(binary.LittleEndian.Uint64(src[8*i:]))))
	}
}

func decodeFloat32(dst []float32, src []byte, s scaling) {
	if s.none() {
		for i := range dst {
			dst[i] = math.Float32frombits(binary.LittleEndian.Uint32(src[4*i:]))
		}
		return
	}
	for i := range dst {
		dst[i] = s.apply(float64(math.Float32frombits(binary.LittleEndian.Uint32(src[4*i:]))))
	}
}

func decodeFloat64(dst []float32, src []byte, s scaling) {
	if s.none() {
		for i := range dst {
			dst[i] = float32(math.Float64frombits(binary.LittleEndian.Uint64(src[8*i:])))
		}
		return
	}
	for i := range dst {
		dst[i] = s.apply(math.Float64frombits(binary.LittleEndian.Uint64(src[8*i:])))
	}
}

// swap turns big-endian words of n bytes into little-endian ones.
func swap(b []byte, n int) {
	le := binary.LittleEndian
	switch n {
	case 2:
		for i := 0; i+2 <= len(b); i += 2 {
			b[i], b[i+1] = b[i+1], b[i]
		}
	case 4:
		for i := 0; i+4 <= len(b); i += 4 {
			le.PutUint32(b[i:], bits.ReverseBytes32(le.Uint32(b[i:])))
		}
	case 8:
		for i := 0; i+8 <= len(b); i += 8 {
			le.PutUint64(b[i:], bits.ReverseBytes64(le.Uint64(b[i:])))
		}
	}
}
