package nifti

import (
	"encoding/binary"
	"fmt"
	"math"
)

const (
	size1, size2     = 348, 540             // sizeof_hdr
	offset1, offset2 = size1 + 4, size2 + 4 // least vox_offset: header and extender

	// maxOffset bounds header extensions, which are skipped: 256 MiB.
	maxOffset = 1 << 28
)

// header holds the fields that matter, in the order of the NIfTI-2 struct; both
// versions decode into it.
type header struct {
	version      int
	order        binary.ByteOrder
	typ          voxelType
	dim          [8]int64
	pixdim       [8]float64
	voxOffset    int64
	slope, inter float64
	qformCode    int
	sformCode    int
	quatern      [3]float64
	qoffset      [3]float64
	srow         [3][4]float64
	unit         uint8 // spatial part of xyzt_units
}

// readHeader decodes the header and leaves s at the first voxel.
func readHeader(s *stream) (header, error) {
	first := make([]byte, size2)
	if err := s.read(first[:4]); err != nil {
		return header{}, err
	}
	version, order := recognise(first)
	if version == 0 {
		// What follows may be short: it only serves to name the format.
		n := 4
		for n < 132 && s.read(first[n:n+1]) == nil {
			n++
		}
		return header{}, refuse(first[:n])
	}
	size := map[int]int{1: size1, 2: size2}[version]
	if err := s.read(first[4:size]); err != nil {
		return header{}, err
	}
	h, err := decodeHeader(first[:size], version, order)
	if err != nil {
		return header{}, err
	}
	return h, s.skip(h.voxOffset - int64(size))
}

// recognise tells version and byte order from sizeof_hdr.
func recognise(first []byte) (int, binary.ByteOrder) {
	for _, order := range []binary.ByteOrder{binary.LittleEndian, binary.BigEndian} {
		switch order.Uint32(first) {
		case size1:
			return 1, order
		case size2:
			return 2, order
		}
	}
	return 0, nil
}

func decodeHeader(b []byte, version int, order binary.ByteOrder) (header, error) {
	decode := decode1
	if version == 2 {
		decode = decode2
	}
	h := header{version: version, order: order}
	if err := decode(&fields{b: b, order: order}, &h); err != nil {
		return header{}, err
	}
	h.unit &= 7
	if !(math.Abs(h.slope) > 0) || math.IsInf(h.slope, 0) {
		h.slope, h.inter = 1, 0 // the standard: slope 0 means no scaling
	}
	if math.IsNaN(h.inter) || math.IsInf(h.inter, 0) {
		return header{}, fmt.Errorf("%w: scl_slope is %g but scl_inter is %g", ErrHeader, h.slope, h.inter)
	}
	return h, nil
}

func decode1(f *fields, h *header) error {
	if err := checkMagic(string(f.b[344:348]), "n+1\x00", "ni1\x00"); err != nil {
		return err
	}
	for i := range h.dim {
		h.dim[i] = int64(int16(f.u16(40 + 2*i)))
		h.pixdim[i] = f.f32(76 + 4*i)
	}
	offset := f.f32(108)
	if err := h.setOffset(offset, offset1); err != nil {
		return err
	}
	h.slope, h.inter, h.unit = f.f32(112), f.f32(116), f.b[123]
	h.qformCode, h.sformCode = int(int16(f.u16(252))), int(int16(f.u16(254)))
	for i := range 3 {
		h.quatern[i], h.qoffset[i] = f.f32(256+4*i), f.f32(268+4*i)
		for j := range 4 {
			h.srow[i][j] = f.f32(280 + 16*i + 4*j)
		}
	}
	return h.setType(f.u16(70))
}

func decode2(f *fields, h *header) error {
	if err := checkMagic(string(f.b[4:12]), "n+2\x00\r\n\x1a\n", "ni2\x00\r\n\x1a\n"); err != nil {
		return err
	}
	for i := range h.dim {
		h.dim[i] = int64(f.u64(16 + 8*i))
		h.pixdim[i] = f.f64(104 + 8*i)
	}
	if err := h.setOffset(float64(int64(f.u64(168))), offset2); err != nil {
		return err
	}
	h.slope, h.inter, h.unit = f.f64(176), f.f64(184), uint8(f.u32(500))
	h.qformCode, h.sformCode = int(int32(f.u32(344))), int(int32(f.u32(348)))
	for i := range 3 {
		h.quatern[i], h.qoffset[i] = f.f64(352+8*i), f.f64(376+8*i)
		for j := range 4 {
			h.srow[i][j] = f.f64(400 + 32*i + 8*j)
		}
	}
	return h.setType(f.u16(12))
}

// checkMagic tells a single file from the header of a pair and from ANALYZE 7.5,
// which has the same size and no magic.
func checkMagic(magic, single, pair string) error {
	switch magic {
	case single:
		return nil
	case pair:
		return refusePair("a pair of .hdr and .img files (" + pair[:3] + ")")
	case "\x00\x00\x00\x00":
		return refusePair("an ANALYZE 7.5 header, or a pair without magic")
	}
	return fmt.Errorf("%w: the magic is %q", ErrFormat, magic)
}

// setOffset checks vox_offset. Values below the header's end are refused, not
// guessed: nibabel would read header bytes as voxels, ITK starts at byte 348.
func (h *header) setOffset(v float64, least int64) error {
	if !(v >= float64(least) && v <= maxOffset) || v != math.Trunc(v) {
		return fmt.Errorf("%w: vox_offset is %g, not a whole number from %d to %d", ErrHeader, v, least, int64(maxOffset))
	}
	h.voxOffset = int64(v)
	return nil
}

// dataBytes returns the declared size of the voxels; frame has checked dim.
func (h header) dataBytes() int64 {
	return h.dim[1] * h.dim[2] * h.dim[3] * int64(h.typ.bytes)
}

// fields reads numbers at byte offsets.
type fields struct {
	b     []byte
	order binary.ByteOrder
}

func (f *fields) u16(at int) uint16  { return f.order.Uint16(f.b[at:]) }
func (f *fields) u32(at int) uint32  { return f.order.Uint32(f.b[at:]) }
func (f *fields) u64(at int) uint64  { return f.order.Uint64(f.b[at:]) }
func (f *fields) f32(at int) float64 { return float64(math.Float32frombits(f.u32(at))) }
func (f *fields) f64(at int) float64 { return math.Float64frombits(f.u64(at)) }
