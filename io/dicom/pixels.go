package dicom

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"

	"github.com/suyashkumar/dicom/pkg/uid"
)

// AirHU is what padding becomes: pixels outside of the scanner's field of view, which
// hold a value of their own such as -2000, are air.
const AirHU = -1000

// Padding is believed where it lies outside of what tissue, metal and air measure; a
// header that declares 0 HU as padding would turn water into air.
const lowestHU, highestHU = -1024, 3071

// pad returns the stored values that are padding; false where there are none, or
// where they could be tissue.
func (h *header) pad() (lo, hi int, ok bool) {
	if !h.padded {
		return 0, 0, false
	}
	a, b := h.scale(h.padding[0]), h.scale(h.padding[1])
	a, b = min(a, b), max(a, b)
	return h.padding[0], h.padding[1], b <= lowestHU || a > highestHU
}

// scale is value*slope + inter, rounded once. The explicit conversion keeps the
// product from being fused, so that every machine gives the same bits.
func (h *header) scale(v int) float32 { return float32(float64(float64(v)*h.slope) + h.inter) }

// air is the stored value of air; false where none of 16 bits is just that.
func (h *header) air() (stored int, ok bool) {
	v := math.Round((AirHU - h.inter) / h.slope)
	lo, hi := 0.0, float64(math.MaxUint16)
	if h.signed {
		lo, hi = math.MinInt16, math.MaxInt16
	}
	if !(v >= lo && v <= hi) {
		return 0, false
	}
	return int(v), h.scale(int(v)) == AirHU
}

// short tells whether the voxels of a series fit into 16 bits each, stored as they are, with
// one scale for all.
func short(list []*header, keepPadding bool) bool {
	first := list[0]
	for _, h := range list {
		_, _, padded := h.pad()
		_, air := h.air()
		if h.stored > 16 || h.signed != first.signed || h.slope != first.slope || h.inter != first.inter || padded && !keepPadding && !air {
			return false
		}
	}
	return true
}

// scaled is what becomes of a stored value, and of padding.
type scaled[T any] struct {
	value func(v int) T
	air   T
}

// decode fills dst, rows x columns, with the values of a slice.
func decode[T float32 | int16](ctx context.Context, h *header, dst []T, keepPadding bool, to scaled[T]) error {
	b, order, err := h.unpacked(ctx)
	if err != nil {
		return fmt.Errorf("%s: %w", h.file.name, err)
	}
	lo, hi, padded := h.pad()
	padded = padded && !keepPadding
	drop, width := uint(32-h.high-1), uint(32-h.stored)
	for i := range dst {
		var raw uint32
		switch h.allocated {
		case 8:
			raw = uint32(b[i])
		case 16:
			raw = uint32(order.Uint16(b[2*i:]))
		default:
			raw = order.Uint32(b[4*i:])
		}
		v := int(raw << drop >> width)
		if h.signed {
			v = int(int32(raw<<drop) >> width)
		}
		if padded && (v >= lo && v <= hi || h.word(raw) >= lo && h.word(raw) <= hi) {
			dst[i] = to.air
			continue
		}
		dst[i] = to.value(v)
	}
	return nil
}

// word reads all bits allocated, where padding may lie outside of those stored.
func (h *header) word(raw uint32) int {
	if unused := uint(32 - h.allocated); h.signed {
		return int(int32(raw<<unused) >> unused)
	}
	return int(raw)
}

// unpacked returns the slice's pixels as plain words of an order.
func (h *header) unpacked(ctx context.Context) ([]byte, binary.ByteOrder, error) {
	at, n := int64(h.pixels.value), int64(h.bytes())
	switch {
	case h.compressed():
		b, err := h.file.read(ctx, at, h.file.size-at)
		if err != nil {
			return nil, nil, err
		}
		b, err = unpackers[h.transfer](b, h)
		return b, binary.LittleEndian, err
	case h.transfer == uid.DeflatedExplicitVRLittleEndian:
		b, err := h.file.read(ctx, 0, h.file.size)
		if err != nil {
			return nil, nil, err
		}
		start, err := (&header{}).parseMeta(b)
		if err != nil {
			return nil, nil, err
		}
		if b, err = inflate(b[start:], at+n); b == nil {
			return nil, nil, err
		}
		if int64(len(b)) < at+n {
			return nil, nil, fmt.Errorf("%w: %d bytes of the declared %d of pixel data", ErrTruncated, int64(len(b))-at, n)
		}
		return b[at:], h.order, nil
	}
	b, err := h.file.read(ctx, at, n)
	return b, h.order, err
}
