package dicom

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"

	"github.com/klauspost/compress/flate"
	"github.com/suyashkumar/dicom/pkg/tag"
	"github.com/suyashkumar/dicom/pkg/uid"
)

// A slice's header is read in growing pieces from the beginning of its file. A CT
// header has 2 to 8 kB, with private fields of the maker some tens.
const (
	firstBytes = 16 << 10
	maxHeader  = 16 << 20
)

// header is what one slice says about itself.
type header struct {
	file     file
	transfer string // transfer syntax
	order    binary.ByteOrder
	pixels   element
	begun    bool  // the file begins as DICOM files do
	fault    error // why the rest could not be read

	class, series, modality        string
	imageType, reference           string
	placed                         bool          // the position is declared
	position                       [3]float64    // LPS mm, of the first pixel's centre
	axes                           [2][3]float64 // LPS, along a row and down a column
	spacing                        [2]float64    // mm, between rows and between columns
	thickness, tilt                float64       // mm, degrees; 0 where not said
	rows, columns, frames, samples int
	allocated, stored, high        int // bits
	signed                         bool
	padding                        [2]int // lowest and highest stored value
	padded                         bool   // padding is declared
	slope, inter                   float64
	unscaled                       bool // no slope and intercept
}

// errNotDICOM marks a file that does not begin as DICOM files do.
var errNotDICOM = errors.New("not a DICOM file")

// readHeader reads no more of a file than its header needs. What is wrong with the
// slice is the header's fault; errNotDICOM and errors of the place are returned.
func readHeader(ctx context.Context, f file) (*header, error) {
	var b []byte
	for n := min(firstBytes, f.size); ; n = min(8*n, f.size) {
		more, err := f.read(ctx, int64(len(b)), n-int64(len(b)))
		if err != nil {
			return nil, err
		}
		b = append(b, more...)
		h, err := parse(b, f)
		switch {
		case err == nil:
			return h, nil
		case errors.Is(err, errNotDICOM):
			return nil, err
		case !errors.Is(err, errShort):
			h.fault = fmt.Errorf("%s: %w", f.name, err)
			return h, nil
		case n == f.size:
			h.fault = fmt.Errorf("%s: %w: the file ends within its header", f.name, ErrTruncated)
			return h, nil
		case n >= maxHeader:
			h.fault = fmt.Errorf("%s: %w: no pixel data within %d bytes", f.name, ErrHeader, n)
			return h, nil
		}
	}
}

// parse decodes the header at the beginning of b. With an error it returns what
// could be decoded all the same, so that the slice's series may be known.
func parse(b []byte, f file) (*header, error) {
	h := &header{file: f}
	if len(b) < preambleSize || string(b[preambleSize-4:preambleSize]) != "DICM" {
		return nil, errNotDICOM
	}
	h.begun = true
	at, err := h.parseMeta(b)
	if err != nil {
		return h, err
	}
	s := syntax{h.order, h.transfer == uid.ImplicitVRLittleEndian}
	var found scanned
	if h.transfer == uid.DeflatedExplicitVRLittleEndian {
		found, err = s.scanDeflated(b[at:])
	} else {
		found, err = s.scan(b, at, f.size)
	}
	h.pixels = found.pixels
	if e := h.decode(s, found.wanted); e != nil && err == nil {
		err = e
	}
	return h, err
}

// scanDeflated scans the compressed data set at the beginning of b, of which it
// decompresses no more than it needs, by and by.
func (s syntax) scanDeflated(b []byte) (scanned, error) {
	for limit := int64(firstBytes); ; limit *= 8 {
		data, err := inflate(b, limit)
		size := int64(len(data))
		if errors.Is(err, io.ErrUnexpectedEOF) {
			size, err = math.MaxInt64, nil // more may come
		}
		if err != nil {
			return scanned{}, err
		}
		found, err := s.scan(data, 0, size)
		if !errors.Is(err, errShort) || int64(len(data)) < limit || limit >= maxHeader {
			return found, err
		}
	}
}

// parseMeta finds the transfer syntax and where the data set begins.
func (h *header) parseMeta(b []byte) (int, error) {
	at := preambleSize
	for {
		e, err := metaSyntax.next(b, at)
		if err != nil && h.transfer == "" {
			return 0, err
		}
		if err != nil || e.tag.Group != 2 {
			break
		}
		if e.hasNoLength || e.end() > len(b) {
			return 0, errShort
		}
		if e.tag == tag.TransferSyntaxUID {
			h.transfer = strings.Trim(string(b[e.value:e.end()]), " \x00")
		}
		at = e.end()
	}
	if h.transfer == "" {
		return 0, fmt.Errorf("%w: the file names no transfer syntax", ErrHeader)
	}
	h.order = binary.LittleEndian
	if order, _, err := uid.ParseTransferSyntaxUID(h.transfer); err == nil {
		h.order = order
	}
	return at, nil
}

// inflate decompresses up to limit bytes. io.ErrUnexpectedEOF tells that there are
// more, in b or after it.
func inflate(b []byte, limit int64) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(b)), limit))
	var corrupt flate.CorruptInputError
	switch {
	case errors.As(err, &corrupt):
		return nil, fmt.Errorf("%w: %w", ErrTruncated, err)
	case err == nil && int64(len(data)) == limit:
		return data, io.ErrUnexpectedEOF
	}
	return data, err
}
