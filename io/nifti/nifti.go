// Package nifti reads and writes CT volumes and label maps as NIfTI files.
//
// It decodes single-file NIfTI-1 and NIfTI-2, plain or gzip (told by content,
// not by name), of either byte order and of every real integer or float type.
// A file's axes run in any of 48 orders, or obliquely. Read gives the canonical
// order (z, y, x) with axes nearest to superior, anterior and right, or the
// file's own order; the Frame that comes with it remembers what the file said,
// so that labels are written back on the file's own grid, bit for bit.
//
// World coordinates are RAS+ millimetres; spacing and indices are (z, y, x).
// Values are scaled by scl_slope and scl_inter in float64 and rounded once to
// float32, so integers beyond 2^24 lose their last bits.
//
// Nothing in a file is believed before it is checked: memory follows the bytes
// that really arrive. Where the field's tools disagree about a header the
// decision is in DESIGN.md beside this file.
//
// Standard: nifti1.h and nifti2.h, https://nifti.nimh.nih.gov.
package nifti

import (
	"fmt"
	"io"
	"math"

	"noisystudent/io/volume"
)

// Orientations of Options.
const (
	RAS    = "ras"    // axes (z, y, x) nearest to (superior, anterior, right)
	Stored = "stored" // the file's own axes, third first: SimpleITK's array
)

// Options say how to read. The zero value reads canonically, up to the largest
// volume that the package supports.
type Options struct {
	Orientation string // RAS (default) or Stored
	MaxVoxels   int64  // more is ErrTooLarge; 0: 2^31-1, which is also the most
}

const maxVoxels = math.MaxInt32

// limit returns the voxel limit in force, or an error for options that make no
// sense.
func (o Options) limit() (int64, error) {
	if o.Orientation != "" && o.Orientation != RAS && o.Orientation != Stored {
		return 0, fmt.Errorf("nifti: orientation %q is neither %q nor %q", o.Orientation, RAS, Stored)
	}
	if o.MaxVoxels <= 0 || o.MaxVoxels > maxVoxels {
		return maxVoxels, nil
	}
	return o.MaxVoxels, nil
}

// Read decodes an image. Every voxel of the result is finite: a file with others
// is refused with ErrNonFinite, their number and the place of the first.
func Read(r io.Reader, o Options) (*volume.Volume, Frame, error) {
	f, err := open(r, o)
	if err != nil {
		return nil, Frame{}, err
	}
	data, err := f.values()
	if err != nil {
		return nil, Frame{}, err
	}
	data = canonical(data, f.frame)
	return &volume.Volume{Geometry: f.frame.Geometry(), Data: data}, f.frame, nil
}

// ReadCompact is Read in the fewest bytes: stored values of at most 16 bits stay as
// they are.
func ReadCompact(r io.Reader, o Options) (*volume.Compact, Frame, error) {
	f, err := open(r, o)
	if err != nil {
		return nil, Frame{}, err
	}
	c := &volume.Compact{Geometry: f.frame.Geometry()}
	if f.frame.Short {
		c.Unsigned, c.Slope, c.Inter = f.header.typ.unsigned, f.header.slope, f.header.inter
		c.Short, err = f.short()
	} else {
		c.Float, err = f.values()
	}
	if err != nil {
		return nil, Frame{}, err
	}
	c.Short, c.Float = canonical(c.Short, f.frame), canonical(c.Float, f.frame)
	return c, f.frame, nil
}

// ReadLabels decodes a label map. A voxel that is not a whole number from 0 to
// 255 after scaling makes the file ErrLabels.
func ReadLabels(r io.Reader, o Options) (*volume.Labels, Frame, error) {
	f, err := open(r, o)
	if err != nil {
		return nil, Frame{}, err
	}
	data, err := f.labels()
	if err != nil {
		return nil, Frame{}, err
	}
	data = canonical(data, f.frame)
	return &volume.Labels{Geometry: f.frame.Geometry(), Data: data}, f.frame, nil
}

// ReadHeader decodes the header only: the grid that Read would return. Sizes are
// checked as far as the reader tells its own.
func ReadHeader(r io.Reader, o Options) (volume.Geometry, Frame, error) {
	f, err := open(r, o)
	if err != nil {
		return volume.Geometry{}, Frame{}, err
	}
	return f.frame.Geometry(), f.frame, nil
}

// file is an opened file with its header decoded and checked.
type file struct {
	*stream
	header header
	frame  Frame
}

func open(r io.Reader, o Options) (*file, error) {
	limit, err := o.limit()
	if err != nil {
		return nil, err
	}
	s, err := newStream(r)
	if err != nil {
		return nil, fmt.Errorf("nifti: open: %w", err)
	}
	h, err := readHeader(s)
	if err != nil {
		return nil, fmt.Errorf("nifti: read header: %w", err)
	}
	f := &file{stream: s, header: h}
	if f.frame, err = h.frame(limit); err != nil {
		return nil, fmt.Errorf("nifti: read header: %w", err)
	}
	f.frame.Short = h.typ.short != nil
	if o.Orientation != Stored {
		f.frame.Axes = volume.Nearest(f.frame.stored())
	}
	if err := s.checkSize(h.voxOffset, h.dataBytes()); err != nil {
		return nil, fmt.Errorf("nifti: read header: %w", err)
	}
	return f, nil
}

// canonical brings data from the file's order into the frame's, in place where
// the axes are only flipped, as they are in most scans.
func canonical[T any](data []T, f Frame) []T {
	if data == nil {
		return nil
	}
	if f.Axes.From == volume.Unmoved.From {
		volume.Flip(data, f.Shape, f.Axes.Flip)
		return data
	}
	return volume.Canonical(data, f.Shape, f.Axes)
}
