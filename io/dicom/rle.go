package dicom

import (
	"encoding/binary"
	"fmt"

	"github.com/suyashkumar/dicom/pkg/tag"
)

// unpackRLE decodes the encapsulated pixel data of one frame (PS3.5, annexes A.4 and
// G).
func unpackRLE(b []byte, h *header) ([]byte, error) {
	width := h.allocated / 8
	frame, err := fragments(b)
	if err != nil {
		return nil, err
	}
	if len(frame) < 64 {
		return nil, fmt.Errorf("%w: RLE data of %d bytes", ErrTruncated, len(frame))
	}
	le := binary.LittleEndian
	if count := le.Uint32(frame); count != uint32(width) {
		return nil, fmt.Errorf("%w: %d RLE segments for pixels of %d bytes", ErrHeader, count, width)
	}
	out := make([]byte, h.bytes())
	for s := range width { // the first segment holds the most significant bytes
		start, end := int64(le.Uint32(frame[4+4*s:])), int64(len(frame))
		if s+1 < width {
			end = int64(le.Uint32(frame[8+4*s:]))
		}
		if start < 64 || start > end || end > int64(len(frame)) {
			return nil, fmt.Errorf("%w: RLE segment %d from byte %d to %d of %d", ErrHeader, s+1, start, end, len(frame))
		}
		if err := unpackBits(out[width-1-s:], width, frame[start:end]); err != nil {
			return nil, fmt.Errorf("%w: RLE segment %d", err, s+1)
		}
	}
	return out, nil
}

// fragments joins the items of encapsulated pixel data, without the first, which is a
// table of offsets.
func fragments(b []byte) ([]byte, error) {
	var frame []byte
	for at, i := 0, 0; ; i++ {
		e, err := metaSyntax.next(b, at)
		switch {
		case err != nil:
			return nil, fmt.Errorf("%w: the compressed pixel data have no end", ErrTruncated)
		case e.tag == tag.SequenceDelimitationItem:
			return frame, nil
		case e.tag != tag.Item || e.hasNoLength:
			return nil, fmt.Errorf("%w: element %v in compressed pixel data", ErrHeader, e.tag)
		case e.end() > len(b):
			return nil, fmt.Errorf("%w: the compressed pixel data end early", ErrTruncated)
		case i == 1:
			frame = b[e.value:e.end()]
		case i > 1:
			frame = append(frame[:len(frame):len(frame)], b[e.value:e.end()]...)
		}
		at = e.end()
	}
}

// unpackBits decodes PackBits into every stride-th byte of dst, to its end.
func unpackBits(dst []byte, stride int, src []byte) error {
	at := 0
	for at < len(dst) {
		if len(src) < 2 {
			return fmt.Errorf("%w: it ends after %d of %d bytes", ErrTruncated, at/stride, (len(dst)+stride-1)/stride)
		}
		n := int(int8(src[0]))
		switch {
		case n == -128:
			src = src[1:]
		case n < 0: // one byte, 1-n times
			for range min(1-n, (len(dst)-at+stride-1)/stride) {
				dst[at] = src[1]
				at += stride
			}
			src = src[2:]
		default: // n+1 bytes as they are
			if len(src) < n+2 {
				return fmt.Errorf("%w: it ends within a run", ErrTruncated)
			}
			for _, v := range src[1:min(n+2, 1+(len(dst)-at+stride-1)/stride)] {
				dst[at] = v
				at += stride
			}
			src = src[n+2:]
		}
	}
	return nil
}
