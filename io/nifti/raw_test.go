package nifti

import (
	"bytes"
	"encoding/binary"
	"math"
	"slices"
	"testing"

	"github.com/klauspost/compress/gzip"

	"noisystudent/io/volume"
)

// raw is a NIfTI file field by field, right or wrong: the tests' own encoder,
// which shares nothing with the package's.
type raw struct {
	version      int
	big          bool
	magic        string // "": of a single file
	dim          []int64
	datatype     int
	pixdim       [4]float64 // qfac first
	offset       float64
	slope, inter float64
	qform, sform int
	quatern      [3]float64
	qoffset      [3]float64
	srow         [3][4]float64
	unit         byte
	data, tail   []byte
}

// plain returns a valid file of 4x3x2 int16 voxels 0, 1, 2, ... that the tests
// then spoil.
func plain(version int, big bool) raw {
	r := raw{
		version: version, big: big, dim: []int64{3, 4, 3, 2}, datatype: 4,
		pixdim: [4]float64{1, 0.75, 0.75, 2.5}, slope: 1, unit: 2, sform: 1,
		srow:   [3][4]float64{{-0.75, 0, 0, 100}, {0, -0.75, 0, 120}, {0, 0, 2.5, -300}},
		offset: map[int]float64{1: 352, 2: 544}[version],
	}
	for i := range 24 {
		r.data = r.order().AppendUint16(r.data, uint16(i))
	}
	return r
}

type byteOrder interface {
	binary.ByteOrder
	binary.AppendByteOrder
}

func (r raw) order() byteOrder {
	if r.big {
		return binary.BigEndian
	}
	return binary.LittleEndian
}

func (r raw) bytes() []byte {
	header := r.header1
	if r.version == 2 {
		header = r.header2
	}
	b := header()
	if n := int(r.offset); n >= len(b) && n < 1<<20 {
		b = append(b, make([]byte, n-len(b))...)
	}
	return append(append(b, r.data...), r.tail...)
}

func (r raw) header1() []byte {
	b, o := make([]byte, 348), r.order()
	f32 := func(at int, v float64) { o.PutUint32(b[at:], math.Float32bits(float32(v))) }
	o.PutUint32(b, 348)
	for i, d := range r.dim {
		o.PutUint16(b[40+2*i:], uint16(d))
	}
	o.PutUint16(b[70:], uint16(r.datatype))
	for i, p := range r.pixdim {
		f32(76+4*i, p)
	}
	f32(108, r.offset)
	f32(112, r.slope)
	f32(116, r.inter)
	b[123] = r.unit
	o.PutUint16(b[252:], uint16(r.qform))
	o.PutUint16(b[254:], uint16(r.sform))
	for i := range 3 {
		f32(256+4*i, r.quatern[i])
		f32(268+4*i, r.qoffset[i])
		for j := range 4 {
			f32(280+16*i+4*j, r.srow[i][j])
		}
	}
	copy(b[344:], "n+1\x00")
	if r.magic != "" {
		copy(b[344:348], r.magic)
	}
	return b
}

func (r raw) header2() []byte {
	b, o := make([]byte, 540), r.order()
	f64 := func(at int, v float64) { o.PutUint64(b[at:], math.Float64bits(v)) }
	o.PutUint32(b, 540)
	copy(b[4:], "n+2\x00\r\n\x1a\n")
	if r.magic != "" {
		copy(b[4:12], r.magic)
	}
	o.PutUint16(b[12:], uint16(r.datatype))
	for i, d := range r.dim {
		o.PutUint64(b[16+8*i:], uint64(d))
	}
	for i, p := range r.pixdim {
		f64(104+8*i, p)
	}
	o.PutUint64(b[168:], uint64(int64(r.offset)))
	f64(176, r.slope)
	f64(184, r.inter)
	o.PutUint32(b[344:], uint32(r.qform))
	o.PutUint32(b[348:], uint32(r.sform))
	for i := range 3 {
		f64(352+8*i, r.quatern[i])
		f64(376+8*i, r.qoffset[i])
		for j := range 4 {
			f64(400+32*i+8*j, r.srow[i][j])
		}
	}
	o.PutUint32(b[500:], uint32(r.unit))
	return b
}

func gzipped(b []byte) []byte {
	var buf bytes.Buffer
	z := gzip.NewWriter(&buf)
	z.Write(b) // a bytes.Buffer does not fail
	z.Close()
	return buf.Bytes()
}

// mustRead decodes b, which the test knows to be good.
func mustRead(t *testing.T, b []byte, o Options) (*volume.Volume, Frame) {
	t.Helper()
	v, f, err := Read(bytes.NewReader(b), o)
	if err != nil {
		t.Fatal(err)
	}
	c, g, err := ReadCompact(bytes.NewReader(b), o)
	if err != nil {
		t.Fatal(err)
	}
	if whole := c.Whole(); g != f || whole.Geometry != v.Geometry || !slices.Equal(whole.Data, v.Data) || (c.Short != nil) != f.Short {
		t.Errorf("ReadCompact differs from Read: short %v, %v", f.Short, whole.Data)
	}
	return v, f
}

// everyKind calls f with the valid file in both versions and byte orders.
func everyKind(t *testing.T, f func(t *testing.T, r raw)) {
	for _, kind := range []struct {
		name    string
		version int
		big     bool
	}{{"nifti1-little", 1, false}, {"nifti1-big", 1, true}, {"nifti2-little", 2, false}, {"nifti2-big", 2, true}} {
		t.Run(kind.name, func(t *testing.T) { f(t, plain(kind.version, kind.big)) })
	}
}
