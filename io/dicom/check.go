package dicom

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/suyashkumar/dicom/pkg/tag"
	"github.com/suyashkumar/dicom/pkg/uid"
)

// unpackers decode compressed pixel data of one frame to little-endian words.
var unpackers = map[string]func(b []byte, h *header) ([]byte, error){
	"1.2.840.10008.1.2.5":    unpackRLE,
	"1.2.840.10008.1.2.4.57": unpackJPEG,
	"1.2.840.10008.1.2.4.70": unpackJPEG,
}

// compressed reports whether the pixel data are, in a way that is decoded here.
func (h *header) compressed() bool { return unpackers[h.transfer] != nil }

// maxRatio is more than RLE and lossless JPEG can reach: 128 bytes from 2.
const maxRatio = 64

// refusedSyntaxes are compressed ones by name, and what turns them into plain ones.
var refusedSyntaxes = []struct{ prefix, name, remedy string }{
	{"1.2.840.10008.1.2.4.80", "JPEG-LS", "dcmdjpls OLD NEW"},
	{"1.2.840.10008.1.2.4.81", "JPEG-LS, lossy", "dcmdjpls OLD NEW"},
	{"1.2.840.10008.1.2.4.9", "JPEG 2000", "gdcmconv --raw OLD NEW"},
	{"1.2.840.10008.1.2.4.20", "high-throughput JPEG 2000", "gdcmconv --raw OLD NEW"},
	{"1.2.840.10008.1.2.4.10", "video", "nothing: it is no CT"},
	{"1.2.840.10008.1.2.4.", "lossy JPEG", "dcmdjpeg OLD NEW"},
	{"", "unknown", "gdcmconv --raw OLD NEW"},
}

// plainSyntaxes are those whose pixels are numbers as they are.
var plainSyntaxes = []string{
	uid.ImplicitVRLittleEndian, uid.ExplicitVRLittleEndian, uid.ExplicitVRBigEndian, uid.DeflatedExplicitVRLittleEndian,
}

// Classes of objects that hold a whole volume in one file.
var multiFrame = map[string]string{
	"1.2.840.10008.5.1.4.1.1.2.1": "Enhanced CT",
	"1.2.840.10008.5.1.4.1.1.2.2": "Legacy Converted Enhanced CT",
}

// check returns what makes a slice unfit to be read, whatever the others are.
func (h *header) check() error {
	err := h.checkKind()
	if err == nil {
		err = h.checkPixels()
	}
	if err == nil {
		err = h.checkNumbers()
	}
	if err != nil {
		return fmt.Errorf("%s: %w", h.file.name, err)
	}
	return nil
}

func (h *header) checkKind() error {
	switch {
	case h.modality != "CT":
		return fmt.Errorf("%w: the modality is %.16q", ErrModality, h.modality)
	case multiFrame[h.class] != "" || h.frames > 1:
		name := multiFrame[h.class]
		if name == "" {
			name = fmt.Sprintf("%d frames", h.frames)
		}
		return fmt.Errorf("%w: %s: take it apart into slices, for example with dcm4che's emf2sf, or convert it with dcm2niix", ErrMultiFrame, name)
	case strings.Contains(h.imageType, "LOCALIZER"):
		return fmt.Errorf("%w: ImageType is %.60q", ErrLocalizer, h.imageType)
	case h.pixels.start == 0:
		return ErrNoPixels
	case h.pixels.tag != tag.PixelData:
		return fmt.Errorf("%w: floating point", ErrPixels)
	case slices.Contains(plainSyntaxes, h.transfer) || h.compressed():
		return nil
	}
	for _, s := range refusedSyntaxes {
		if strings.HasPrefix(h.transfer, s.prefix) {
			return fmt.Errorf("%w: %s (%.64s) is not decoded here: convert each slice first: %s", ErrSyntax, s.name, h.transfer, s.remedy)
		}
	}
	return nil
}

// checkPixels holds the declared sizes against each other and against the file's.
func (h *header) checkPixels() error {
	n := int64(h.bytes())
	held := h.file.size - int64(h.pixels.value)
	if h.transfer == uid.DeflatedExplicitVRLittleEndian {
		held = h.file.size * maxExpansion
	}
	switch {
	case h.rows < 1 || h.columns < 1:
		return fmt.Errorf("%w: %d rows of %d pixels", ErrDimensions, h.rows, h.columns)
	case h.samples != 1:
		return fmt.Errorf("%w: %d samples a pixel", ErrPixels, h.samples)
	case h.allocated != 8 && h.allocated != 16 && h.allocated != 32:
		return fmt.Errorf("%w: %d bits allocated", ErrPixels, h.allocated)
	case h.allocated == 8 && h.order == binary.BigEndian && h.pixels.vr == "OW":
		return fmt.Errorf("%w: bytes in words of the other byte order", ErrPixels)
	case h.stored < 1 || h.stored > h.allocated || h.high < h.stored-1 || h.high >= h.allocated:
		return fmt.Errorf("%w: %d bits stored up to bit %d of %d", ErrHeader, h.stored, h.high, h.allocated)
	case h.compressed() != h.pixels.hasNoLength:
		return fmt.Errorf("%w: the transfer syntax %s does not go with the pixel data", ErrHeader, h.transfer)
	case h.compressed() && n > held*maxRatio:
		return fmt.Errorf("%w: %d bytes cannot hold %dx%d pixels", ErrTruncated, held, h.columns, h.rows)
	case h.compressed():
		return nil
	case int64(h.pixels.length) != n+n%2 && int64(h.pixels.length) != n:
		return fmt.Errorf("%w: %d bytes of pixel data for %dx%d pixels of %d bits", ErrMismatch, h.pixels.length, h.columns, h.rows, h.allocated)
	case n > held:
		return fmt.Errorf("%w: the file has %d bytes of the declared %d of pixel data", ErrTruncated, held, n)
	}
	return nil
}

func (h *header) checkNumbers() error {
	if !h.placed {
		return fmt.Errorf("%w: there is no ImagePositionPatient", ErrGeometry)
	}
	for _, list := range [][]float64{h.position[:], h.axes[0][:], h.axes[1][:], h.spacing[:], {h.thickness}} {
		for _, v := range list {
			if math.IsNaN(v) || math.IsInf(v, 0) {
				return fmt.Errorf("%w: %g among position, orientation or spacing", ErrGeometry, v)
			}
		}
	}
	if h.slope == 0 || math.IsNaN(h.slope-h.slope) || math.IsNaN(h.inter-h.inter) {
		return fmt.Errorf("%w: rescale slope %g, intercept %g", ErrHeader, h.slope, h.inter)
	}
	return nil
}

// bytes is the size of the slice's pixels, unpacked.
func (h *header) bytes() int { return h.rows * h.columns * h.allocated / 8 }
