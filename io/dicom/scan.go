package dicom

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/suyashkumar/dicom/pkg/tag"
)

// The library takes lengths on their word, follows nested sequences as deep as they
// go and decodes pixels one by one. So the elements are found here, within the bytes
// that are there, and it is given the few that matter (see decode).

const (
	undefined    = 1<<32 - 1
	maxNesting   = 32
	maxValue     = 1 << 14 // bytes of an element that is decoded; real ones have under a hundred
	preambleSize = 132     // 128 bytes and "DICM"
)

// errShort is the error for bytes that end within the header: more may follow.
var errShort = errors.New("the header goes on")

// element is where one lies in a file's bytes.
type element struct {
	tag         tag.Tag
	vr          string // empty in implicit syntaxes
	start       int    // of the tag
	value       int    // of the value
	length      uint32
	hasNoLength bool // sequences and compressed pixels end with a delimiter
}

func (e element) end() int { return e.value + int(e.length) }

// syntax is how elements are written.
type syntax struct {
	order    binary.ByteOrder
	implicit bool
}

var metaSyntax = syntax{order: binary.LittleEndian}

// next reads the element at an offset of b, without its value. errShort tells that b
// ends before the value begins.
func (s syntax) next(b []byte, at int) (element, error) {
	e := element{start: at}
	if len(b)-at < 8 {
		return e, errShort
	}
	e.tag = tag.Tag{Group: s.order.Uint16(b[at:]), Element: s.order.Uint16(b[at+2:])}
	switch {
	case s.implicit || e.tag.Group == delimiters:
		e.value, e.length = at+8, s.order.Uint32(b[at+4:])
	default:
		e.vr = string(b[at+4 : at+6])
		if !letters(e.vr) {
			return e, fmt.Errorf("%w: element %v at byte %d has no value representation", ErrHeader, e.tag, at)
		}
		if !long[e.vr] {
			e.value, e.length = at+8, uint32(s.order.Uint16(b[at+6:]))
			return e, nil
		}
		if len(b)-at < 12 {
			return e, errShort
		}
		e.value, e.length = at+12, s.order.Uint32(b[at+8:])
	}
	e.hasNoLength = e.length == undefined
	return e, nil
}

// delimiters is the group of items and of their ends.
const delimiters = 0xfffe

// long are the value representations with a length of 32 bits.
var long = map[string]bool{
	"OB": true, "OD": true, "OF": true, "OL": true, "OV": true, "OW": true, "SQ": true, "SV": true,
	"UC": true, "UN": true, "UR": true, "UT": true, "UV": true,
}

func letters(vr string) bool {
	return len(vr) == 2 && vr[0] >= 'A' && vr[0] <= 'Z' && vr[1] >= 'A' && vr[1] <= 'Z'
}

// skip returns where the next element begins. Nested content is walked only where it
// has no length.
func (s syntax) skip(b []byte, e element) (int, error) {
	if !e.hasNoLength {
		return e.end(), nil
	}
	open := []syntax{s.inside(e)} // one for each sequence or item that has no length
	for at := e.value; ; {
		now := open[len(open)-1]
		inner, err := now.next(b, at)
		if err != nil {
			return 0, err
		}
		at = inner.value
		switch {
		case inner.tag == tag.ItemDelimitationItem || inner.tag == tag.SequenceDelimitationItem:
			if open = open[:len(open)-1]; len(open) == 0 {
				return at, nil
			}
		case !inner.hasNoLength:
			at = inner.end()
		case len(open) == maxNesting:
			return 0, fmt.Errorf("%w: sequences are nested deeper than %d", ErrHeader, maxNesting)
		default:
			open = append(open, now.inside(inner))
		}
	}
}

// inside gives the syntax of what is nested in an element: UN without a length is
// always implicit (PS3.5, 6.2.2 note 2).
func (s syntax) inside(e element) syntax {
	if e.vr == "UN" {
		return syntax{binary.LittleEndian, true}
	}
	return s
}

// scanned is what a walk through a header finds.
type scanned struct {
	wanted []byte  // the elements that matter, one after the other
	pixels element // the pixel data, whose start is 0 where there are none
}

// scan walks from an offset of b to the pixel data of a file of size bytes. Where it
// fails it also returns what it has found till then.
func (s syntax) scan(b []byte, at int, size int64) (scanned, error) {
	var found scanned
	for int64(at) < size {
		e, err := s.next(b, at)
		if err != nil {
			return found, err
		}
		if pixelTags[e.tag] {
			found.pixels = e
			return found, nil
		}
		if !e.hasNoLength && int64(e.value)+int64(e.length) > size {
			return found, fmt.Errorf("%w: element %v needs %d bytes at %d of %d", ErrTruncated, e.tag, e.length, e.value, size)
		}
		if at, err = s.skip(b, e); err != nil {
			return found, err
		}
		if !wanted[e.tag] {
			continue
		}
		if e.length > maxValue || e.vr != "" && e.vr != "UN" && !plain[e.vr] {
			return found, fmt.Errorf("%w: element %v with %d bytes of %s", ErrHeader, e.tag, e.length, e.vr)
		}
		if at > len(b) {
			return found, errShort
		}
		if e.vr == "UN" { // written by who did not know the element
			found.wanted = append(found.wanted, s.represented(b, e)...)
			continue
		}
		found.wanted = append(found.wanted, b[e.start:at]...)
	}
	return found, nil
}

// represented writes an element of unknown representation with the dictionary's. Its
// value is little-endian in every syntax, which for text makes no difference.
func (s syntax) represented(b []byte, e element) []byte {
	info, err := tag.Find(e.tag)
	if err != nil {
		return nil
	}
	out := slices.Concat(b[e.start:e.start+4], []byte(info.VRs[0]), []byte{0, 0}, b[e.value:e.end()])
	s.order.PutUint16(out[6:], uint16(e.length))
	if s.order == binary.BigEndian && info.VRs[0] == "US" {
		for i := 8; i+1 < len(out); i += 2 {
			out[i], out[i+1] = out[i+1], out[i]
		}
	}
	return out
}

// pixelTags end the header: the pixel data, and those of floating point images.
var pixelTags = map[tag.Tag]bool{
	tag.PixelData: true, tag.FloatPixelData: true, tag.DoubleFloatPixelData: true,
}

// plain are value representations of text and small numbers.
var plain = map[string]bool{
	"AE": true, "AS": true, "CS": true, "DA": true, "DS": true, "IS": true, "LO": true, "SH": true,
	"TM": true, "UI": true, "UL": true, "US": true, "SL": true, "SS": true,
}
