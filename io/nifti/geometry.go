package nifti

import (
	"fmt"
	"math"

	"noisystudent/io/volume"
)

// Tolerances on pixdim against the column lengths of an sform, as a part of the
// length. Within rounding the spacing is pixdim itself, the number that nibabel's
// zooms and ITK report; up to contradiction it is the sform's; beyond, the two
// families of tools would see different voxels, and the file is refused.
const (
	rounding      = 1e-5
	contradiction = 0.01
)

// frame checks everything that the header says about the grid.
func (h header) frame(limit int64) (Frame, error) {
	f := Frame{Version: h.version, Axes: volume.Unmoved, Unit: h.unit}
	if err := h.checkShape(limit); err != nil {
		return Frame{}, err
	}
	f.Shape = [3]int{int(h.dim[3]), int(h.dim[2]), int(h.dim[1])}
	if h.unit > 3 {
		return Frame{}, fmt.Errorf("%w: spatial unit code %d", ErrGeometry, h.unit)
	}
	if err := h.place(&f); err != nil {
		return Frame{}, fmt.Errorf("%w: %w", ErrGeometry, err)
	}
	if err := f.stored().Check(); err != nil {
		return Frame{}, fmt.Errorf("%w: %w", ErrGeometry, err)
	}
	return f, nil
}

// checkShape accepts three dimensions, or more of which all others are 1.
func (h header) checkShape(limit int64) error {
	n := h.dim[0]
	if n < 1 || n > 7 {
		return fmt.Errorf("%w: dim[0] is %d, not from 1 to 7", ErrDimensions, n)
	}
	for a := int64(1); a <= n; a++ {
		if h.dim[a] <= 0 {
			return fmt.Errorf("%w: dim[%d] is %d", ErrDimensions, a, h.dim[a])
		}
	}
	if n < 3 {
		return fmt.Errorf("%w: an image of %d dimensions, not 3", ErrDimensions, n)
	}
	for a := int64(4); a <= n; a++ {
		if h.dim[a] > 1 {
			return fmt.Errorf("%w: dim[%d] is %d: take one 3-D volume out of it first, "+
				"for example with nibabel.four_to_three", ErrUnsupported, a, h.dim[a])
		}
	}
	voxels := int64(1)
	for _, d := range h.dim[1:4] {
		if d > maxVoxels/voxels {
			return fmt.Errorf("%w: %d x %d x %d voxels", ErrDimensions, h.dim[1], h.dim[2], h.dim[3])
		}
		voxels *= d
	}
	if voxels > limit {
		return fmt.Errorf("%w: %d x %d x %d voxels, the limit is %d", ErrTooLarge, h.dim[1], h.dim[2], h.dim[3], limit)
	}
	return nil
}

// place chooses the affine and fills the rest of the frame. The errors need
// ErrGeometry around them.
func (h header) place(f *Frame) error {
	for _, code := range []int{h.qformCode, h.sformCode} {
		if code < 0 || code > 5 {
			return fmt.Errorf("qform_code %d and sform_code %d must be from 0 to 5", h.qformCode, h.sformCode)
		}
	}
	var skew error
	if h.sformCode > 0 {
		if skew = Affine(h.srow).checkAxes(); skew == nil {
			return h.placeSForm(f)
		}
		if h.qformCode == 0 {
			return fmt.Errorf("the sform is not usable: %w: resample the image onto an orthogonal grid", skew)
		}
	}
	for c := range 3 {
		if f.Pixdim[c] = h.pixdim[c+1]; !(f.Pixdim[c] > 0) || math.IsInf(f.Pixdim[c], 0) {
			return fmt.Errorf("pixdim[%d] is %g", c+1, f.Pixdim[c])
		}
	}
	if h.qformCode > 0 {
		f.Source = "qform"
		if skew != nil {
			f.Note = fmt.Sprintf("the sform is not usable (%v); the qform is taken", skew)
		}
		return h.placeQForm(f)
	}
	placePixdim(f)
	return nil
}

// placePixdim takes the spacing alone, which both code fields of 0 leave.
func placePixdim(f *Frame) {
	f.Source = "pixdim"
	f.Note = "the header gives no orientation (qform_code and sform_code are 0): taken as LPS with the origin at the first voxel"
	f.Affine = Affine{{-f.Pixdim[0]}, {0, -f.Pixdim[1]}, {0, 0, f.Pixdim[2]}}
	f.QForm = f.Affine.qform()
}

// placeSForm takes the sform. The qform's numbers are kept for writing where
// they mean the same place; otherwise they are made from the sform.
func (h header) placeSForm(f *Frame) error {
	f.Source, f.Affine = "sform", h.srow
	for c := range 3 {
		length := norm(f.Affine.column(c))
		f.Pixdim[c] = math.Abs(h.pixdim[c+1])
		if !(math.Abs(f.Pixdim[c]-length) <= contradiction*length) {
			return fmt.Errorf("pixdim[%d] is %g but the sform's step is %g: tools would disagree on the voxel size; "+
				"set pixdim from the affine if that is right", c+1, h.pixdim[c+1], length)
		}
		if math.Abs(f.Pixdim[c]-length) > rounding*length {
			f.Note = fmt.Sprintf("pixdim[%d] is %g but the sform's step is %g; the sform is taken", c+1, h.pixdim[c+1], length)
		}
	}
	f.QForm = f.Affine.qform()
	if h.qformCode == 0 {
		return nil
	}
	own := *f
	if err := h.placeQForm(&own); err != nil {
		f.Note = fmt.Sprintf("the qform is not usable (%v); the sform is taken", err)
		return nil
	}
	if own.stored().SameGrid(f.stored(), agreementMM(f.stored().Spacing)) {
		f.QForm = own.QForm
		return nil
	}
	f.Note = fmt.Sprintf("qform (code %d) and sform (code %d) put the image in different places; the sform is taken", h.qformCode, h.sformCode)
	return nil
}

// agreementMM is how far qform and sform may be apart at a corner: half of the
// smallest voxel edge. It is that wide because three float32 of a quaternion
// near a half turn fix the rotation only to about 3e-4 radians.
func agreementMM(spacing [3]float64) float64 {
	return min(spacing[0], spacing[1], spacing[2]) / 2
}

// placeQForm takes the qform with the frame's pixdim.
func (h header) placeQForm(f *Frame) error {
	f.QForm = QForm{Factor: 1, Quatern: h.quatern, Offset: h.qoffset}
	if h.pixdim[0] < 0 {
		f.QForm.Factor = -1
	}
	var err error
	f.Affine, err = f.QForm.affine(f.Pixdim)
	return err
}

// checkAxes returns an error unless the columns are finite, non-zero and at
// right angles, as far as ITK asks for it.
func (m Affine) checkAxes() error {
	for c := range 3 {
		length := norm(m.column(c))
		if !(length > 0) || math.IsInf(length, 0) {
			return fmt.Errorf("the step along %c has length %g", 'i'+c, length)
		}
		for b := range c {
			cosine := 0.0
			for w := range 3 {
				cosine += m[w][c] / length * m[w][b] / norm(m.column(b))
			}
			if !(math.Abs(cosine) <= volume.MaxSkew) {
				return fmt.Errorf("the axes %c and %c are not at right angles (cosine %.2g)", 'i'+b, 'i'+c, cosine)
			}
		}
	}
	return nil
}
