// Package dicom reads CT series, one slice a DICOM file, as volumes.
//
// A series lies in a folder with all below it, under a bucket's prefix, or in a zip
// archive; several series in one place are told apart by SeriesInstanceUID, and the
// address PLACE#UID names one. Files are recognised by content. Slices are sorted by
// position along the normal of their common orientation, never by number or name, and
// scaled to HU slice by slice. Voxels, order of axes and Frame come as io/nifti gives
// them for the file that SimpleITK would write from the series: world coordinates are
// RAS+ millimetres here too, LPS stays inside.
//
// Nothing in a file is believed before it is checked: headers are read by ranges that
// grow as needed, and voxels get memory once the sizes of all files agree with them.
// Series that cannot be one volume are refused by name (see the errors). README.md
// beside this file says what is read, what is refused, and with which tolerances.
//
// The library suyashkumar/dicom decodes the values of elements; where elements lie,
// and the pixels, is found here, because the library takes lengths on their word.
// Only the elements listed in values.go are decoded: nothing about the patient.
//
// Standard: DICOM PS3.3 (C.7.6.2, C.8.2.1), PS3.5, PS3.10.
package dicom

import (
	"context"
	"fmt"
	"math"

	"noisystudent/io/nifti"
	"noisystudent/io/volume"
)

// Options say how to read. The zero value reads canonically, up to the largest volume
// that is supported, with air for padding.
type Options struct {
	Orientation string // nifti.RAS (default) or nifti.Stored: slice, row, column
	MaxVoxels   int64  // more is ErrTooLarge; 0: 2^31-1, which is also the most
	KeepPadding bool   // padding stays as it is scaled; otherwise it is AirHU
}

// ReadHeader reads the headers of a series' slices only: the grid that Read would
// return. The address names a place of one series, or PLACE#UID.
func ReadHeader(ctx context.Context, address string, o Options) (volume.Geometry, nifti.Frame, error) {
	_, frame, err := open(ctx, address, o)
	if err != nil {
		return volume.Geometry{}, nifti.Frame{}, fmt.Errorf("dicom: read header: %w", err)
	}
	return frame.Geometry(), frame, nil
}

// Read decodes a series. The frame is that of a NIfTI file with the same grid: labels
// written by it lie on the series' voxels.
func Read(ctx context.Context, address string, o Options) (*volume.Volume, nifti.Frame, error) {
	list, frame, err := open(ctx, address, o)
	if err != nil {
		return nil, nifti.Frame{}, fmt.Errorf("dicom: read header: %w", err)
	}
	data, err := voxels(list, frame, func(h *header, dst []float32) error {
		return decode(ctx, h, dst, o.KeepPadding, scaled[float32]{h.scale, AirHU})
	})
	if err != nil {
		return nil, nifti.Frame{}, err
	}
	return &volume.Volume{Geometry: frame.Geometry(), Data: data}, frame, nil
}

// ReadCompact is Read in the fewest bytes: where all slices are scaled alike, stored values
// of at most 16 bits stay as they are, and padding is the stored value of air.
func ReadCompact(ctx context.Context, address string, o Options) (*volume.Compact, nifti.Frame, error) {
	list, frame, err := open(ctx, address, o)
	if err != nil {
		return nil, nifti.Frame{}, fmt.Errorf("dicom: read header: %w", err)
	}
	if !frame.Short {
		v, frame, err := Read(ctx, address, o)
		if err != nil {
			return nil, nifti.Frame{}, err
		}
		return &volume.Compact{Geometry: v.Geometry, Float: v.Data}, frame, nil
	}
	c := &volume.Compact{Geometry: frame.Geometry(), Unsigned: !list[0].signed, Slope: list[0].slope, Inter: list[0].inter}
	c.Short, err = voxels(list, frame, func(h *header, dst []int16) error {
		air, _ := h.air()
		return decode(ctx, h, dst, o.KeepPadding, scaled[int16]{func(v int) int16 { return int16(v) }, int16(air)})
	})
	if err != nil {
		return nil, nifti.Frame{}, err
	}
	return c, frame, nil
}

// voxels decodes the slices of a series and puts them in the frame's order.
func voxels[T float32 | int16](list []*header, frame nifti.Frame, one func(h *header, dst []T) error) ([]T, error) {
	data := make([]T, len(list)*list[0].rows*list[0].columns)
	plane := len(data) / len(list)
	err := each(len(list), sliceReaders, func(i int) error { return one(list[i], data[i*plane:(i+1)*plane]) })
	if err != nil {
		return nil, fmt.Errorf("dicom: read voxels: %w", err)
	}
	if frame.Axes.From != volume.Unmoved.From {
		return volume.Canonical(data, frame.Shape, frame.Axes), nil
	}
	volume.Flip(data, frame.Shape, frame.Axes.Flip)
	return data, nil
}

// sliceReaders is how many slices are read and decoded at once.
const sliceReaders = 8

// open reads and checks the headers of a series and sorts them.
func open(ctx context.Context, address string, o Options) ([]*header, nifti.Frame, error) {
	if o.Orientation != "" && o.Orientation != nifti.RAS && o.Orientation != nifti.Stored {
		return nil, nifti.Frame{}, fmt.Errorf("orientation %q is neither %q nor %q", o.Orientation, nifti.RAS, nifti.Stored)
	}
	p, err := Open(ctx, address)
	if err != nil {
		return nil, nifti.Frame{}, err
	}
	_, series, _ := Cut(address)
	return p.open(ctx, series, o)
}

func (p *Place) open(ctx context.Context, series string, o Options) ([]*header, nifti.Frame, error) {
	list, err := p.series(ctx, series)
	if err != nil {
		return nil, nifti.Frame{}, err
	}
	for _, h := range list {
		if err := h.check(); err != nil {
			return nil, nifti.Frame{}, err
		}
	}
	g, err := grid(list)
	if err != nil {
		return nil, nifti.Frame{}, err
	}
	if err := fits(g.Shape, o.MaxVoxels); err != nil {
		return nil, nifti.Frame{}, err
	}
	frame := nifti.NewFrame(g)
	if o.Orientation != nifti.Stored {
		frame.Axes = volume.Nearest(frame.Geometry())
	}
	frame.Source, frame.Note, frame.Short = "dicom", note(list), short(list, o.KeepPadding)
	return list, frame, nil
}

func fits(shape [3]int, limit int64) error {
	if limit <= 0 || limit > math.MaxInt32 {
		limit = math.MaxInt32
	}
	plane := int64(shape[1]) * int64(shape[2]) // at most 2^32
	if plane > limit/int64(shape[0]) {
		return fmt.Errorf("%w: %d x %d x %d voxels, the limit is %d", ErrTooLarge, shape[2], shape[1], shape[0], limit)
	}
	return nil
}

// note is what a person should know about a series.
func note(list []*header) string {
	for _, h := range list {
		_, _, pads := h.pad()
		switch {
		case h.unscaled:
			return "slices without rescale slope and intercept: stored values are taken as HU"
		case h.padded && !pads:
			return fmt.Sprintf("the declared padding would be %g HU, which may be tissue: it is left as it is", h.scale(h.padding[0]))
		}
	}
	if len(list) == 1 {
		return "a series of one slice: its thickness is taken for the spacing"
	}
	return ""
}
