package dicom

import (
	"bytes"
	"encoding/binary"
	"fmt"
)

// Markers of ISO/IEC 10918-1, annex B, after the byte 0xff.
const (
	markerSOF3 = 0xc3 // frame of a lossless, Huffman-coded image
	markerDHT  = 0xc4
	markerRST0 = 0xd0
	markerSOI  = 0xd8
	markerEOI  = 0xd9
	markerSOS  = 0xda
	markerDRI  = 0xdd
)

// lossless decodes one grey image in lossless JPEG, process 14 with any predictor.
type lossless struct {
	rows, columns, precision int
	tables                   [4]*huffman
	table                    *huffman // of the scan
	predictor, shift         int
	interval                 int // samples between restarts, 0: none
	bits                     bitReader
}

// unpackJPEG decodes the encapsulated pixel data of one frame (PS3.5, annex A.4.1).
func unpackJPEG(b []byte, h *header) ([]byte, error) {
	frame, err := fragments(b)
	if err != nil {
		return nil, err
	}
	var j lossless
	if err := j.parse(frame); err != nil {
		return nil, err
	}
	width := h.allocated / 8
	if j.rows != h.rows || j.columns != h.columns || j.precision > h.allocated || width > 2 {
		return nil, fmt.Errorf("%w: a JPEG of %dx%d pixels with %d bits for %dx%d of %d", ErrMismatch, j.columns, j.rows, j.precision, h.columns, h.rows, h.allocated)
	}
	out := make([]byte, h.bytes())
	err = j.decode(func(at int, v uint16) {
		if width == 1 {
			out[at] = byte(v)
			return
		}
		binary.LittleEndian.PutUint16(out[2*at:], v)
	})
	return out, err
}

// parse reads the segments before the scan's data.
func (j *lossless) parse(b []byte) error {
	if len(b) < 2 || b[0] != 0xff || b[1] != markerSOI {
		return fmt.Errorf("%w: JPEG data without a beginning", ErrHeader)
	}
	for b = b[2:]; ; {
		for len(b) > 1 && b[0] == 0xff && b[1] == 0xff { // fill bytes
			b = b[1:]
		}
		if len(b) < 4 || len(b) < 2+int(binary.BigEndian.Uint16(b[2:])) {
			return fmt.Errorf("%w: JPEG data end before the image", ErrTruncated)
		}
		length := int(binary.BigEndian.Uint16(b[2:]))
		if b[0] != 0xff || length < 2 {
			return fmt.Errorf("%w: JPEG data without a marker", ErrHeader)
		}
		marker, body := b[1], b[4:2+length]
		b = b[2+length:]
		if err := j.segment(marker, body); err != nil {
			return err
		}
		if marker == markerSOS {
			j.bits.b = b
			return nil
		}
	}
}

func (j *lossless) segment(marker byte, b []byte) error {
	short := fmt.Errorf("%w: a JPEG segment %#x of %d bytes", ErrHeader, marker, len(b))
	switch {
	case marker == markerDHT:
		return j.readTables(b)
	case marker == markerDRI:
		if len(b) != 2 {
			return short
		}
		j.interval = int(binary.BigEndian.Uint16(b))
	case marker == markerSOF3:
		if len(b) != 9 || b[5] != 1 {
			return fmt.Errorf("%w: a JPEG of several components", ErrPixels)
		}
		j.precision, j.rows, j.columns = int(b[0]), int(binary.BigEndian.Uint16(b[1:])), int(binary.BigEndian.Uint16(b[3:]))
		if j.precision < 2 || j.precision > 16 || j.rows == 0 || j.columns == 0 {
			return short
		}
	case marker == markerSOS:
		if len(b) != 6 || b[0] != 1 || j.rows == 0 {
			return short
		}
		j.table = j.tables[b[2]>>4&3]
		j.predictor, j.shift = int(b[3]), int(b[5]&15)
		if j.table == nil || j.predictor < 1 || j.predictor > 7 || j.shift >= j.precision || j.interval%j.columns != 0 {
			return fmt.Errorf("%w: a JPEG scan by predictor %d with restarts each %d samples", ErrHeader, j.predictor, j.interval)
		}
	case marker >= 0xc0 && marker <= 0xcf:
		return fmt.Errorf("%w: JPEG data of another process (marker %#x)", ErrSyntax, marker)
	case marker == markerEOI:
		return fmt.Errorf("%w: JPEG data without an image", ErrTruncated)
	}
	return nil
}

// huffman is a canonical code: for each length the first code, how many there are,
// and where their values begin.
type huffman struct {
	first, count, at [17]int
	values           []byte
}

func (j *lossless) readTables(b []byte) error {
	for len(b) > 0 {
		if len(b) < 17 || b[0] > 3 {
			return fmt.Errorf("%w: a JPEG Huffman table", ErrHeader)
		}
		t, code, n := &huffman{}, 0, 0
		for length := 1; length <= 16; length++ {
			t.first[length], t.count[length], t.at[length] = code, int(b[length]), n
			n += t.count[length]
			code = (code + t.count[length]) << 1
			if code > 2<<length {
				return fmt.Errorf("%w: a JPEG Huffman table with too many codes", ErrHeader)
			}
		}
		if len(b) < 17+n {
			return fmt.Errorf("%w: a JPEG Huffman table", ErrHeader)
		}
		t.values = b[17 : 17+n]
		j.tables[b[0]] = t
		b = b[17+n:]
	}
	return nil
}

// decode gives all samples in order (annex H).
func (j *lossless) decode(put func(at int, v uint16)) error {
	above, row := make([]int, j.columns), make([]int, j.columns)
	first := 1 << (j.precision - j.shift - 1)
	for y := range j.rows {
		at := y * j.columns
		fresh := y == 0
		if j.interval > 0 && y > 0 && at%j.interval == 0 {
			if err := j.bits.restart(); err != nil {
				return err
			}
			fresh = true
		}
		for x := range row {
			d, err := j.difference()
			if err != nil {
				return fmt.Errorf("%w in row %d of %d", err, y, j.rows)
			}
			switch {
			case x == 0 && fresh:
				d += first
			case x == 0:
				d += above[0]
			case fresh:
				d += row[x-1]
			default:
				d += predict(j.predictor, row[x-1], above[x], above[x-1])
			}
			row[x] = d & 0xffff
			put(at+x, uint16(row[x]<<j.shift))
		}
		above, row = row, above
	}
	if !bytes.HasPrefix(j.bits.b, []byte{0xff, markerEOI}) {
		return fmt.Errorf("%w: JPEG data without an end", ErrTruncated)
	}
	return nil
}

// predict is the table of predictors: a to the left, b above, c above a.
func predict(predictor, a, b, c int) int {
	switch predictor {
	case 1:
		return a
	case 2:
		return b
	case 3:
		return c
	case 4:
		return a + b - c
	case 5:
		return a + (b-c)>>1
	case 6:
		return b + (a-c)>>1
	}
	return (a + b) >> 1
}

// difference reads one coded difference.
func (j *lossless) difference() (int, error) {
	code := 0
	for length := 1; length <= 16; length++ {
		bit, err := j.bits.take(1)
		if err != nil {
			return 0, err
		}
		code = code<<1 | bit
		if i := code - j.table.first[length]; i >= 0 && i < j.table.count[length] {
			return j.magnitude(int(j.table.values[j.table.at[length]+i]))
		}
	}
	return 0, fmt.Errorf("%w: a code that the JPEG tables do not know", ErrTruncated)
}

func (j *lossless) magnitude(bits int) (int, error) {
	switch {
	case bits == 0:
		return 0, nil
	case bits == 16:
		return 1 << 15, nil
	case bits > 16:
		return 0, fmt.Errorf("%w: a JPEG difference of %d bits", ErrTruncated, bits)
	}
	v, err := j.bits.take(bits)
	if v < 1<<(bits-1) {
		v += 1 - 1<<bits
	}
	return v, err
}

// bitReader takes bits from entropy-coded data, in which a byte 0xff is followed by 0.
type bitReader struct {
	b    []byte
	held uint32
	n    int // bits held
}

func (r *bitReader) take(n int) (int, error) {
	for r.n < n {
		if len(r.b) == 0 || r.b[0] == 0xff && (len(r.b) < 2 || r.b[1] != 0) {
			return 0, fmt.Errorf("%w: JPEG data end", ErrTruncated)
		}
		v := r.b[0]
		r.b = r.b[1:]
		if v == 0xff {
			r.b = r.b[1:]
		}
		r.held, r.n = r.held<<8|uint32(v), r.n+8
	}
	r.n -= n
	return int(r.held >> r.n & (1<<n - 1)), nil
}

// restart goes on behind a restart marker, where codes begin at a whole byte.
func (r *bitReader) restart() error {
	if len(r.b) < 2 || r.b[0] != 0xff || r.b[1]&^7 != markerRST0 {
		return fmt.Errorf("%w: a JPEG restart marker is missing", ErrTruncated)
	}
	r.b, r.n = r.b[2:], 0
	return nil
}
