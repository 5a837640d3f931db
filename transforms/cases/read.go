package cases

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"noisystudent/io/dicom"
	"noisystudent/io/nifti"
	"noisystudent/io/store"
	"noisystudent/io/volume"
)

// Scheme is what the voxels of a label file may say.
type Scheme struct {
	Classes int `json:"classes"` // 0, the background, to Classes-1
	Ignore  int `json:"ignore"`  // value of the ignore label, or -1
}

// Scheme returns what the dataset's label files may hold.
func (d Dataset) Scheme() Scheme { return Scheme{Classes: d.Classes(), Ignore: d.Ignore} }

// ReadGeometry reads the grid of a case's image from its header, which is enough
// to predict the memory that the case takes.
func ReadGeometry(ctx context.Context, c Case, orientation string) (volume.Geometry, error) {
	g, _, err := ReadHeader(ctx, c, orientation)
	return g, err
}

// ReadHeader is ReadGeometry with the frame, which says what a person should know.
func ReadHeader(ctx context.Context, c Case, orientation string) (g volume.Geometry, frame nifti.Frame, err error) {
	if isSeries(c.Image) {
		err = attempt(ctx, c.Image, orientation, func() (err error) {
			g, frame, err = dicom.ReadHeader(ctx, c.Image, dicom.Options{Orientation: orientation})
			return err
		})
		return g, frame, err
	}
	err = read(ctx, c.Image, orientation, func(r io.Reader) (err error) {
		g, frame, err = nifti.ReadHeader(r, nifti.Options{Orientation: orientation})
		return err
	})
	return g, frame, err
}

// ReadImage reads a case's image in the orientation "ras" or "stored". Its voxels
// are finite and not all zero. budgetBytes bounds the voxels as float32 (0: no
// bound) and is checked before memory is taken. What is wrong with the file is
// a *Fault; any other error is not the case's.
func ReadImage(ctx context.Context, c Case, orientation string, budgetBytes int64) (*volume.Volume, nifti.Frame, error) {
	v, frame, err := readVoxels(ctx, c, orientation, voxels(budgetBytes, 4))
	if err != nil {
		return nil, frame, err
	}
	if _, ok := NonZero(v); !ok {
		return nil, frame, &Fault{Kind: Empty, File: c.Image, Remedy: "every voxel is zero; export the scan again"}
	}
	return v, frame, nil
}

// ReadCompact is ReadImage in the fewest bytes, and gives the box of what is not zero.
func ReadCompact(ctx context.Context, c Case, orientation string) (v *volume.Compact, box volume.Box, frame nifti.Frame, err error) {
	if isSeries(c.Image) {
		err = attempt(ctx, c.Image, orientation, func() (err error) {
			v, frame, err = dicom.ReadCompact(ctx, c.Image, dicom.Options{Orientation: orientation})
			return err
		})
	} else {
		err = read(ctx, c.Image, orientation, func(r io.Reader) (err error) {
			v, frame, err = nifti.ReadCompact(r, nifti.Options{Orientation: orientation})
			return err
		})
	}
	if err != nil {
		return nil, box, frame, err
	}
	box, ok := NonZeroCompact(v)
	if !ok {
		return nil, box, frame, &Fault{Kind: Empty, File: c.Image, Remedy: "every voxel is zero; export the scan again"}
	}
	return v, box, frame, nil
}

func readVoxels(ctx context.Context, c Case, orientation string, limit int64) (v *volume.Volume, frame nifti.Frame, err error) {
	if isSeries(c.Image) {
		err = attempt(ctx, c.Image, orientation, func() (err error) {
			v, frame, err = dicom.Read(ctx, c.Image, dicom.Options{Orientation: orientation, MaxVoxels: limit})
			return err
		})
		return v, frame, err
	}
	err = read(ctx, c.Image, orientation, func(r io.Reader) (err error) {
		v, frame, err = nifti.Read(r, nifti.Options{Orientation: orientation, MaxVoxels: limit})
		return err
	})
	return v, frame, err
}

// ReadLabels reads a case's labels, which hold nothing but the scheme's values.
func ReadLabels(ctx context.Context, c Case, s Scheme, orientation string, budgetBytes int64) (*volume.Labels, nifti.Frame, error) {
	var l *volume.Labels
	var frame nifti.Frame
	if c.Labels == "" {
		return nil, frame, &Fault{Kind: Missing, File: c.Image, Remedy: "the case has no labels; add them to the label folder"}
	}
	err := read(ctx, c.Labels, orientation, func(r io.Reader) (err error) {
		l, frame, err = nifti.ReadLabels(r, nifti.Options{Orientation: orientation, MaxVoxels: voxels(budgetBytes, 1)})
		return err
	})
	if err != nil {
		return nil, frame, err
	}
	if err := s.check(l.Data); err != nil {
		return nil, frame, &Fault{Kind: UnknownLabel, File: c.Labels, Remedy: "correct the labels, or list the value in dataset.json", Err: err}
	}
	return l, frame, nil
}

// ReadPair reads a labelled case: image and labels on one grid. The frame is the
// image's.
func ReadPair(ctx context.Context, c Case, s Scheme, orientation string, budgetBytes int64) (*volume.Volume, *volume.Labels, nifti.Frame, error) {
	image, frame, err := ReadImage(ctx, c, orientation, budgetBytes)
	if err != nil {
		return nil, nil, frame, err
	}
	labels, _, err := ReadLabels(ctx, c, s, orientation, budgetBytes)
	if err != nil {
		return nil, nil, frame, err
	}
	if !image.SameGrid(labels.Geometry, toleranceMM(image.Geometry)) {
		return nil, nil, frame, &Fault{
			Kind: GridMismatch, File: c.Labels, Remedy: "resample the labels onto the image's grid, or correct their header",
			Err: fmt.Errorf("labels: %v from %.4g; image: %v from %.4g", labels.Geometry, labels.Origin, image.Geometry, image.Origin),
		}
	}
	return image, labels, frame, nil
}

// toleranceMM is how far corners of image and labels may lie apart: a tenth of
// the finest spacing. Headers that were rounded on the way stay well below it, a
// shift by a voxel does not.
func toleranceMM(g volume.Geometry) float64 {
	return 0.1 * min(g.Spacing[0], g.Spacing[1], g.Spacing[2])
}

// check finds values that are not in the scheme.
func (s Scheme) check(data []uint8) error {
	var found [256]bool // not how often: to count the same value again and again is slow
	for _, v := range data {
		found[v] = true
	}
	for v, there := range found {
		if there && v >= s.Classes && v != s.Ignore {
			return fmt.Errorf("the value %d, in %d voxels, is not in dataset.json, which lists 0 to %d", v, bytes.Count(data, []byte{byte(v)}), s.Classes-1)
		}
	}
	return nil
}

// voxels is how many voxels a budget allows; 0 is no bound.
func voxels(budgetBytes, each int64) int64 {
	if budgetBytes <= 0 {
		return 0
	}
	return max(budgetBytes/each, 1)
}

// read opens an address, decodes it and names what is wrong with it.
func read(ctx context.Context, address, orientation string, decode func(io.Reader) error) error {
	return attempt(ctx, address, orientation, func() error {
		r, err := store.OpenAddress(ctx, address)
		if err != nil {
			return err
		}
		defer r.Close()
		return decode(r)
	})
}

// attempt reads what is at an address and names what is wrong with it.
func attempt(ctx context.Context, address, orientation string, read func() error) error {
	if orientation != nifti.RAS && orientation != nifti.Stored { // no file's fault
		return fmt.Errorf("cases: read %s: orientation %q; want %s or %s", address, orientation, nifti.RAS, nifti.Stored)
	}
	err := read()
	if ctx.Err() != nil {
		return ctx.Err() // a run that was stopped is not the file's fault
	}
	if err != nil && !store.Systemic(err) {
		return FaultOf(address, err)
	}
	return err
}

// causes maps errors of the decoder and the store to what is told to people; the first that matches counts.
var causes = []struct {
	err    error
	kind   Kind
	remedy string
}{
	{fs.ErrNotExist, Missing, "put the file back, or remove the case from the dataset"},
	{nifti.ErrTooLarge, TooLarge, "allow more memory, or crop or split the scan"},
	{nifti.ErrTruncated, Truncated, "copy or export the file again"},
	{nifti.ErrMismatch, HeaderMismatch, "export the file again"},
	{nifti.ErrHeader, HeaderMismatch, "export the file again"},
	{nifti.ErrDimensions, BadDimensions, "a file must hold one 3-D volume; split a series"},
	{nifti.ErrGeometry, BadGeometry, "correct spacing and directions in the header"},
	{nifti.ErrNonFinite, NonFinite, "replace the NaN or infinite voxels by a value in HU"},
	{nifti.ErrLabels, UnknownLabel, "save the labels as whole numbers from 0 to 255"},
	{nifti.ErrFormat, UnsupportedType, "convert the file to NIfTI, .nii.gz"},
	{nifti.ErrUnsupported, UnsupportedType, "convert the file to a 3-D NIfTI of real numbers, .nii.gz"},
	{nifti.ErrMalformed, HeaderMismatch, "export the file again"},

	{dicom.ErrTooLarge, TooLarge, "allow more memory, or crop or split the scan"},
	{dicom.ErrTilt, GantryTilt, "give a reconstruction without tilt, or convert the series with dcm2niix, which corrects it"},
	{dicom.ErrMissing, MissingSlices, "copy or export the whole series again"},
	{dicom.ErrDuplicate, DuplicateSlices, "keep one slice a position; split phases and reconstructions into folders"},
	{dicom.ErrMixed, MixedSlices, "split the series into volumes of one size, orientation and spacing"},
	{dicom.ErrReferences, SeveralReferences, "split the series by FrameOfReferenceUID"},
	{dicom.ErrModality, OtherModality, "remove it, or give the CT series of the study"},
	{dicom.ErrLocalizer, Localizer, "remove it, or give the CT series of the study"},
	{dicom.ErrNoPixels, NoPixelData, "remove it, or export the images of the series"},
	{dicom.ErrMultiFrame, MultiFrame, "split the file into slices"},
	{dicom.ErrSyntax, TransferSyntax, "decompress the slices"},
	{dicom.ErrArchive, BadArchive, "pack the slices again, or give them as a folder"},
	{dicom.ErrTruncated, Truncated, "copy or export the series again"},
	{dicom.ErrDimensions, BadDimensions, "export the series again"},
	{dicom.ErrGeometry, BadGeometry, "correct positions, orientation and spacing in the headers"},
	{dicom.ErrNone, UnsupportedType, "give a place of DICOM slices, or NIfTI, .nii.gz"},
	{dicom.ErrUnsupported, UnsupportedType, "give a CT series of grey slices"},
	{dicom.ErrMalformed, HeaderMismatch, "export the series again"},
}

// FaultOf names what an error of opening, reading or decoding says about a file.
func FaultOf(address string, err error) *Fault {
	for _, c := range causes {
		if errors.Is(err, c.err) {
			return &Fault{Kind: c.kind, File: address, Remedy: c.remedy, Err: err}
		}
	}
	return &Fault{Kind: Unreadable, File: address, Remedy: "check the file, its permissions and the connection, then run the command again", Err: err}
}
