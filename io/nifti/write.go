package nifti

import (
	"encoding/binary"
	"fmt"
	"io"
	"iter"
	"math"

	"github.com/klauspost/compress/gzip"

	"noisystudent/io/volume"
)

// sameGridMM is how far labels may lie from the frame they are written on.
const sameGridMM = 0.01

// WriteLabels writes a label map as .nii.gz of uint8 on the file's own grid: the
// inverse of Read's reordering, with the file's own affine in both qform and
// sform, code 1. Equal input gives equal bytes. l must lie on f.Geometry().
func WriteLabels(w io.Writer, l *volume.Labels, f Frame) error {
	if err := f.fits(l.Geometry, len(l.Data)); err != nil {
		return fmt.Errorf("nifti: write labels: %w", err)
	}
	if err := write(w, f, Uint8, l.Data, encodeUint8); err != nil {
		return fmt.Errorf("nifti: write labels: %w", err)
	}
	return nil
}

// WriteVolume writes an image as .nii.gz, like WriteLabels. As Int16, values are
// rounded to the nearest whole number and must then be in range; NaN and
// infinities are ErrNonFinite in either type.
func WriteVolume(w io.Writer, v *volume.Volume, f Frame, t DataType) error {
	encode := map[DataType]encoder[float32]{Int16: encodeInt16, Float32: encodeFloat32}[t]
	if encode == nil {
		return fmt.Errorf("nifti: write volume: %w: datatype %d, not int16 or float32", ErrUnsupported, t)
	}
	if err := f.fits(v.Geometry, len(v.Data)); err != nil {
		return fmt.Errorf("nifti: write volume: %w", err)
	}
	if err := write(w, f, t, v.Data, encode); err != nil {
		return fmt.Errorf("nifti: write volume: %w", err)
	}
	return nil
}

// fits checks a frame, which may come from a file, and that data lie on it.
func (f Frame) fits(g volume.Geometry, n int) error {
	if !f.Axes.Valid() || f.Version != 1 && f.Version != 2 || f.Unit > 3 {
		return fmt.Errorf("frame is not usable: version %d, axes %v, unit %d", f.Version, f.Axes, f.Unit)
	}
	own := f.Geometry()
	if err := own.Check(); err != nil {
		return err
	}
	if f.Version == 1 && max(own.Shape[0], own.Shape[1], own.Shape[2]) > math.MaxInt16 {
		return fmt.Errorf("%v do not fit NIfTI-1", own)
	}
	if n != g.Voxels() || !g.SameGrid(own, sameGridMM) {
		return fmt.Errorf("%d values on %v are not on the file's grid of %v", n, g, own)
	}
	return nil
}

// encoder turns values into little-endian bytes appended to dst.
type encoder[T any] func(dst []byte, values []T) ([]byte, error)

// write takes data as they are in memory.
func write[T any](w io.Writer, f Frame, t DataType, data []T, encode encoder[T]) error {
	z := gzip.NewWriter(w)
	if _, err := z.Write(f.encode(t)); err != nil {
		return err
	}
	var buf []byte
	for plane := range storedPlanes(data, f) {
		for len(plane) > 0 {
			piece := plane[:min(len(plane), pieceBytes/4)]
			plane = plane[len(piece):]
			var err error
			if buf, err = encode(buf[:0], piece); err != nil {
				return err
			}
			if _, err := z.Write(buf); err != nil {
				return err
			}
		}
	}
	return z.Close()
}

// storedPlanes gives data in the file's order plane by plane; data themselves stay as
// they are. Only axes that are permuted take a second volume.
func storedPlanes[T any](data []T, f Frame) iter.Seq[[]T] {
	flip := f.Axes.Flip
	if f.Axes.From != volume.Unmoved.From {
		data, flip = volume.Stored(data, f.Axes.Canonical(f.Shape), f.Axes), volume.Unmoved.Flip
	}
	size := f.Shape[1] * f.Shape[2]
	return func(yield func([]T) bool) {
		turned := make([]T, size)
		for k := range f.Shape[0] {
			z := k
			if flip[0] {
				z = f.Shape[0] - 1 - k
			}
			copy(turned, data[z*size:(z+1)*size])
			volume.Flip(turned, [3]int{1, f.Shape[1], f.Shape[2]}, [3]bool{false, flip[1], flip[2]})
			if !yield(turned) {
				return
			}
		}
	}
}

func encodeUint8(_ []byte, values []uint8) ([]byte, error) { return values, nil }

func encodeInt16(dst []byte, values []float32) ([]byte, error) {
	for _, v := range values {
		if v-v != 0 {
			return nil, fmt.Errorf("%w: %g", ErrNonFinite, v)
		}
		whole := math.RoundToEven(float64(v))
		if whole < math.MinInt16 || whole > math.MaxInt16 {
			return nil, fmt.Errorf("value %g does not fit int16", v)
		}
		dst = binary.LittleEndian.AppendUint16(dst, uint16(int16(whole)))
	}
	return dst, nil
}

func encodeFloat32(dst []byte, values []float32) ([]byte, error) {
	for _, v := range values {
		if v-v != 0 {
			return nil, fmt.Errorf("%w: %g", ErrNonFinite, v)
		}
		dst = binary.LittleEndian.AppendUint32(dst, math.Float32bits(v))
	}
	return dst, nil
}
