package dicom

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"

	lib "github.com/suyashkumar/dicom"
	"github.com/suyashkumar/dicom/pkg/tag"
	"github.com/suyashkumar/dicom/pkg/uid"
)

// wanted are the elements that are decoded. No other leaves scan, names of patients
// least of all.
var wanted = map[tag.Tag]bool{
	tag.SOPClassUID: true, tag.Modality: true, tag.ImageType: true,
	tag.SeriesInstanceUID: true, tag.FrameOfReferenceUID: true,
	tag.ImagePositionPatient: true, tag.ImageOrientationPatient: true, tag.PixelSpacing: true, tag.SliceThickness: true,
	tag.GantryDetectorTilt: true,
	tag.Rows:               true, tag.Columns: true, tag.NumberOfFrames: true, tag.SamplesPerPixel: true,
	tag.BitsAllocated: true, tag.BitsStored: true, tag.HighBit: true, tag.PixelRepresentation: true,
	tag.PixelPaddingValue: true, tag.PixelPaddingRangeLimit: true,
	tag.RescaleSlope: true, tag.RescaleIntercept: true,
}

// decode lets the library decode elements: it gets a file of nothing else.
func (h *header) decode(s syntax, elements []byte) error {
	var b bytes.Buffer
	b.Write(make([]byte, preambleSize-4))
	b.WriteString("DICM")
	name := uid.ExplicitVRLittleEndian
	if s.implicit {
		name = uid.ImplicitVRLittleEndian
	} else if s.order == binary.BigEndian {
		name = uid.ExplicitVRBigEndian
	}
	name += strings.Repeat("\x00", len(name)%2)
	for _, e := range []struct {
		element uint16
		vr      string
		value   []byte
	}{
		{0, "UL", binary.LittleEndian.AppendUint32(nil, uint32(8+len(name)))},
		{0x10, "UI", []byte(name)},
	} {
		b.Write([]byte{2, 0, byte(e.element), 0, e.vr[0], e.vr[1], byte(len(e.value)), 0})
		b.Write(e.value)
	}
	b.Write(elements)
	data, err := lib.Parse(&b, int64(b.Len()), nil)
	if err != nil {
		err = fmt.Errorf("%w: %w", ErrHeader, err)
	}
	d := decoder{data: data, err: err}
	h.take(&d)
	return d.err
}

// take fills the header from decoded elements.
func (h *header) take(d *decoder) {
	h.class, h.series = d.text(tag.SOPClassUID), d.text(tag.SeriesInstanceUID)
	h.modality, h.reference = d.text(tag.Modality), d.text(tag.FrameOfReferenceUID)
	h.imageType = strings.Join(d.texts(tag.ImageType), `\`)
	h.placed = d.has(tag.ImagePositionPatient)
	d.numbers(tag.ImagePositionPatient, h.position[:])
	var axes [6]float64
	d.numbers(tag.ImageOrientationPatient, axes[:])
	h.axes = [2][3]float64{[3]float64(axes[:3]), [3]float64(axes[3:])}
	d.numbers(tag.PixelSpacing, h.spacing[:])
	h.thickness, h.tilt = d.number(tag.SliceThickness, 0), d.number(tag.GantryDetectorTilt, 0)
	h.rows, h.columns = d.whole(tag.Rows, 0), d.whole(tag.Columns, 0)
	h.frames, h.samples = d.whole(tag.NumberOfFrames, 1), d.whole(tag.SamplesPerPixel, 1)
	h.allocated = d.whole(tag.BitsAllocated, 0)
	h.stored = d.whole(tag.BitsStored, h.allocated)
	h.high = d.whole(tag.HighBit, h.stored-1)
	h.signed = d.whole(tag.PixelRepresentation, 0) == 1
	h.unscaled = !d.has(tag.RescaleSlope) && !d.has(tag.RescaleIntercept)
	h.slope, h.inter = d.number(tag.RescaleSlope, 1), d.number(tag.RescaleIntercept, 0)
	if h.padded = d.has(tag.PixelPaddingValue); h.padded {
		value := h.pattern(d.whole(tag.PixelPaddingValue, 0))
		limit := h.pattern(d.whole(tag.PixelPaddingRangeLimit, value))
		h.padding = [2]int{min(value, limit), max(value, limit)}
	}
}

// pattern reads a padding value, which files give as US or SS at will, as the pixels
// are read: signed or not.
func (h *header) pattern(v int) int {
	switch {
	case h.signed && h.allocated == 16:
		return int(int16(v))
	case h.signed && h.allocated == 8:
		return int(int8(v))
	case h.allocated == 16:
		return int(uint16(v))
	}
	return v
}

// decoder takes values out of the library's data set and keeps the first error.
type decoder struct {
	data lib.Dataset
	err  error
}

func (d *decoder) has(t tag.Tag) bool {
	e, err := d.data.FindElementByTag(t)
	return err == nil && e.ValueLength > 0
}

// texts returns an element's values, or nothing where it is missing or empty.
func (d *decoder) texts(t tag.Tag) []string {
	e, err := d.data.FindElementByTag(t)
	if err != nil || e.ValueLength == 0 {
		return nil
	}
	var list []string
	switch v := e.Value.GetValue().(type) {
	case []string:
		list = v
	case []int:
		for _, n := range v {
			list = append(list, strconv.Itoa(n))
		}
	default:
		d.fail(t, "its value is a %T", v)
	}
	for i := range list {
		list[i] = strings.Trim(list[i], " \x00")
	}
	return list
}

func (d *decoder) fail(t tag.Tag, format string, args ...any) {
	if d.err == nil {
		d.err = fmt.Errorf("%w: element %v: %s", ErrHeader, t, fmt.Sprintf(format, args...))
	}
}

func (d *decoder) text(t tag.Tag) string {
	list := d.texts(t)
	if len(list) == 0 {
		return ""
	}
	return list[0]
}

// numbers fills dst where the element is there; it must have as many values.
func (d *decoder) numbers(t tag.Tag, dst []float64) {
	list := d.texts(t)
	if len(list) == 0 {
		return
	}
	if len(list) != len(dst) {
		d.fail(t, "%d values, not %d", len(list), len(dst))
		return
	}
	for i, text := range list {
		v, err := strconv.ParseFloat(text, 64)
		if errors.Is(err, strconv.ErrSyntax) {
			d.fail(t, "%.20q is no number", text)
		}
		dst[i] = v
	}
}

func (d *decoder) number(t tag.Tag, missing float64) float64 {
	v := [1]float64{missing}
	d.numbers(t, v[:])
	return v[0]
}

func (d *decoder) whole(t tag.Tag, missing int) int {
	text := d.text(t)
	if text == "" {
		return missing
	}
	v, err := strconv.Atoi(text)
	if err != nil {
		d.fail(t, "%.20q is no whole number", text)
	}
	return v
}
