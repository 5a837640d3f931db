package nifti

import (
	"encoding/binary"
	"math"
)

// encode returns header and empty extender, little-endian, qform = sform, code 1.
func (f Frame) encode(t DataType) []byte {
	if f.Version == 2 {
		return f.encode2(t)
	}
	return f.encode1(t)
}

const writer = "noisystudent"

var le = binary.LittleEndian

func (f Frame) encode1(t DataType) []byte {
	b := make([]byte, offset1)
	f32 := func(at int, v float64) { le.PutUint32(b[at:], math.Float32bits(float32(v))) }
	le.PutUint32(b, size1)
	for i, d := range f.dim() {
		le.PutUint16(b[40+2*i:], uint16(d))
	}
	le.PutUint16(b[70:], uint16(t))
	le.PutUint16(b[72:], bitpix(t))
	for i, p := range f.pixdim() {
		f32(76+4*i, p)
	}
	f32(108, offset1)
	f32(112, 1) // scl_slope
	b[123] = f.Unit
	copy(b[148:228], writer)
	le.PutUint16(b[252:], 1)
	le.PutUint16(b[254:], 1)
	for i := range 3 {
		f32(256+4*i, f.QForm.Quatern[i])
		f32(268+4*i, f.QForm.Offset[i])
		for j := range 4 {
			f32(280+16*i+4*j, f.Affine[i][j])
		}
	}
	copy(b[344:], "n+1\x00")
	return b
}

func (f Frame) encode2(t DataType) []byte {
	b := make([]byte, offset2)
	f64 := func(at int, v float64) { le.PutUint64(b[at:], math.Float64bits(v)) }
	le.PutUint32(b, size2)
	copy(b[4:], "n+2\x00\r\n\x1a\n")
	le.PutUint16(b[12:], uint16(t))
	le.PutUint16(b[14:], bitpix(t))
	for i, d := range f.dim() {
		le.PutUint64(b[16+8*i:], uint64(d))
	}
	for i, p := range f.pixdim() {
		f64(104+8*i, p)
	}
	le.PutUint64(b[168:], offset2)
	f64(176, 1) // scl_slope
	copy(b[240:320], writer)
	le.PutUint32(b[344:], 1)
	le.PutUint32(b[348:], 1)
	for i := range 3 {
		f64(352+8*i, f.QForm.Quatern[i])
		f64(376+8*i, f.QForm.Offset[i])
		for j := range 4 {
			f64(400+32*i+8*j, f.Affine[i][j])
		}
	}
	le.PutUint32(b[500:], uint32(f.Unit))
	return b
}

func (f Frame) dim() [8]int {
	return [8]int{3, f.Shape[2], f.Shape[1], f.Shape[0], 1, 1, 1, 1}
}

func (f Frame) pixdim() [8]float64 {
	return [8]float64{f.QForm.Factor, f.Pixdim[0], f.Pixdim[1], f.Pixdim[2]}
}

func bitpix(t DataType) uint16 { return uint16(8 * voxelTypes[uint16(t)].bytes) }
