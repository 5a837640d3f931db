// Package dicomtest makes small DICOM series for tests, sound ones to be spoilt.
package dicomtest

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"

	"github.com/klauspost/compress/flate"
	lib "github.com/suyashkumar/dicom"
	"github.com/suyashkumar/dicom/pkg/frame"
	"github.com/suyashkumar/dicom/pkg/tag"
	"github.com/suyashkumar/dicom/pkg/uid"
)

// Transfer syntaxes of compressed pixel data.
const (
	RLE  = "1.2.840.10008.1.2.5"
	JPEG = "1.2.840.10008.1.2.4.57" // lossless, with any predictor
	SV1  = "1.2.840.10008.1.2.4.70" // lossless, with predictor 1
)

// Series describes a CT series: axial slices of int16 unless said otherwise.
type Series struct {
	UID     string
	Shape   [3]int     // slices, rows, columns
	Spacing [3]float64 // mm, in the same order
	Origin  [3]float64 // LPS mm
	Axes    [6]float64 // LPS, ImageOrientationPatient; zero: axial
	Syntax  string     // transfer syntax; empty: explicit little endian
	Value   func(z, y, x int) int
}

// Slice is the elements of one file by tag: []string, []int, or bytes of pixels, which
// are little-endian words whatever the transfer syntax. A test changes or deletes them.
type Slice map[tag.Tag]any

// Slices returns the slices in the order of their positions.
func (s Series) Slices() []Slice {
	if s.Axes == [6]float64{} {
		s.Axes = [6]float64{1, 0, 0, 0, 1, 0}
	}
	if s.Syntax == "" {
		s.Syntax = uid.ExplicitVRLittleEndian
	}
	if s.Value == nil {
		s.Value = func(z, y, x int) int { return 100*z + 10*y + x }
	}
	a, b := s.Axes[:3], s.Axes[3:]
	normal := [3]float64{a[1]*b[2] - a[2]*b[1], a[2]*b[0] - a[0]*b[2], a[0]*b[1] - a[1]*b[0]}
	var list []Slice
	for z := range s.Shape[0] {
		var at [3]float64
		for c := range at {
			at[c] = s.Origin[c] + float64(z)*s.Spacing[0]*normal[c]
		}
		var pixels []byte
		for y := range s.Shape[1] {
			for x := range s.Shape[2] {
				pixels = binary.LittleEndian.AppendUint16(pixels, uint16(s.Value(z, y, x)))
			}
		}
		list = append(list, Slice{
			tag.TransferSyntaxUID:         []string{s.Syntax},
			tag.ImageType:                 []string{"ORIGINAL", "PRIMARY", "AXIAL"},
			tag.SOPClassUID:               []string{"1.2.840.10008.5.1.4.1.1.2"},
			tag.SOPInstanceUID:            []string{fmt.Sprintf("%s.%d", s.UID, z+1)},
			tag.Modality:                  []string{"CT"},
			tag.PatientName:               []string{"DOE^JANE"},
			tag.SliceThickness:            Numbers(s.Spacing[0]),
			tag.GantryDetectorTilt:        Numbers(0),
			tag.SeriesInstanceUID:         []string{s.UID},
			tag.InstanceNumber:            []string{fmt.Sprint(s.Shape[0] - z)}, // against the position
			tag.ImagePositionPatient:      Numbers(at[:]...),
			tag.ImageOrientationPatient:   Numbers(s.Axes[:]...),
			tag.FrameOfReferenceUID:       []string{s.UID + ".0"},
			tag.SamplesPerPixel:           []int{1},
			tag.PhotometricInterpretation: []string{"MONOCHROME2"},
			tag.Rows:                      []int{s.Shape[1]},
			tag.Columns:                   []int{s.Shape[2]},
			tag.PixelSpacing:              Numbers(s.Spacing[1:]...),
			tag.BitsAllocated:             []int{16},
			tag.BitsStored:                []int{16},
			tag.HighBit:                   []int{15},
			tag.PixelRepresentation:       []int{1},
			tag.RescaleIntercept:          Numbers(0),
			tag.RescaleSlope:              Numbers(1),
			tag.PixelData:                 pixels,
		})
	}
	return list
}

// Numbers writes numbers as decimal strings.
func Numbers(list ...float64) []string {
	texts := make([]string, len(list))
	for i, v := range list {
		texts[i] = fmt.Sprintf("%.10g", v)
	}
	return texts
}

// Bytes writes the slice as a file. It panics where the library cannot.
func (s Slice) Bytes() []byte {
	syntax := s[tag.TransferSyntaxUID].([]string)[0]
	var meta, file, body bytes.Buffer
	write(&meta, uid.ExplicitVRLittleEndian, tag.TransferSyntaxUID, []string{syntax})
	file.Write(make([]byte, 128))
	file.WriteString("DICM")
	write(&file, uid.ExplicitVRLittleEndian, tag.FileMetaInformationGroupLength, []int{meta.Len()})
	file.Write(meta.Bytes())
	for _, t := range slices.SortedFunc(maps.Keys(s), func(a, b tag.Tag) int { return a.Compare(b) }) {
		if t == tag.PixelData {
			write(&body, syntax, t, s.pixels(syntax))
		} else if t.Group != tag.MetadataGroup {
			write(&body, syntax, t, s[t])
		}
	}
	if syntax != uid.DeflatedExplicitVRLittleEndian {
		file.Write(body.Bytes())
		return file.Bytes()
	}
	w, err := flate.NewWriter(&file, flate.DefaultCompression)
	must(err)
	_, err = w.Write(body.Bytes())
	must(err)
	must(w.Close())
	return file.Bytes()
}

// write appends one element.
func write(to *bytes.Buffer, syntax string, t tag.Tag, value any) {
	e, err := lib.NewElement(t, value)
	must(err)
	if info, ok := value.(lib.PixelDataInfo); ok && info.IsEncapsulated {
		e.ValueLength = tag.VLUndefinedLength
		e.RawValueRepresentation = "OB"
	}
	w, err := lib.NewWriter(to, lib.SkipVRVerification())
	must(err)
	order, implicit, err := uid.ParseTransferSyntaxUID(syntax)
	if err != nil {
		order, implicit = binary.LittleEndian, false
	}
	w.SetTransferSyntax(order, implicit)
	must(w.WriteElement(e))
}

// pixels brings the pixel data into the form of a transfer syntax.
func (s Slice) pixels(syntax string) lib.PixelDataInfo {
	b, ok := s[tag.PixelData].([]byte)
	if !ok {
		return s[tag.PixelData].(lib.PixelDataInfo)
	}
	width := s[tag.BitsAllocated].([]int)[0] / 8
	switch syntax {
	case RLE:
		return Encapsulated(PackRLE(b, width))
	case JPEG, SV1:
		rows, columns, bits := s[tag.Rows].([]int)[0], s[tag.Columns].([]int)[0], s[tag.BitsStored].([]int)[0]
		return Encapsulated(PackJPEG(b, rows, columns, JPEGOptions{Predictor: 1, Precision: bits}))
	case uid.ExplicitVRBigEndian:
		swapped := slices.Clone(b)
		for i := 0; i+width <= len(b); i += width {
			slices.Reverse(swapped[i : i+width])
		}
		b = swapped
	}
	return lib.PixelDataInfo{IntentionallyUnprocessed: true, UnprocessedValueData: b}
}

// Encapsulated is compressed pixel data in fragments, each filled up to an even length.
func Encapsulated(fragments ...[]byte) lib.PixelDataInfo {
	info := lib.PixelDataInfo{IsEncapsulated: true}
	for _, b := range fragments {
		if len(b)%2 == 1 {
			b = append(slices.Clone(b), 0)
		}
		info.Frames = append(info.Frames, &frame.Frame{Encapsulated: true, EncapsulatedData: frame.EncapsulatedFrame{Data: b}})
	}
	return info
}

// PackRLE is one frame of words of width bytes in run-length coding: runs where they
// are, and else literal bytes.
func PackRLE(b []byte, width int) []byte {
	out := binary.LittleEndian.AppendUint32(nil, uint32(width))
	out = append(out, make([]byte, 60)...)
	for s := range width {
		binary.LittleEndian.PutUint32(out[4+4*s:], uint32(len(out)))
		var plane []byte
		for i := width - 1 - s; i < len(b); i += width {
			plane = append(plane, b[i])
		}
		for len(plane) > 0 {
			run := 1
			for run < len(plane) && run < 128 && plane[run] == plane[0] {
				run++
			}
			if run > 1 {
				out = append(out, byte(1-run), plane[0])
			} else {
				out = append(out, 0, plane[0])
			}
			plane = plane[run:]
		}
		if len(out)%2 == 1 {
			out = append(out, 0x80) // does nothing
		}
	}
	return out
}

// Zip packs files by name.
func Zip(files map[string][]byte) []byte {
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		f, err := w.Create(name)
		must(err)
		_, err = f.Write(files[name])
		must(err)
	}
	must(w.Close())
	return b.Bytes()
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

// Native is the slice's pixel data without compression, whatever its transfer syntax.
func (s Slice) Native() lib.PixelDataInfo {
	return lib.PixelDataInfo{IntentionallyUnprocessed: true, UnprocessedValueData: s[tag.PixelData].([]byte)}
}
