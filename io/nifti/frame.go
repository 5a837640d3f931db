package nifti

import (
	"fmt"
	"math"

	"noisystudent/io/volume"
)

// Frame is how a file stores its axes: all that the exact inverse on writing
// needs. It survives JSON without loss, so it can be kept beside derived data.
type Frame struct {
	Version int         `json:"version"`        // NIfTI 1 or 2
	Shape   [3]int      `json:"shape"`          // as stored, (z, y, x) = (k, j, i)
	Axes    volume.Axes `json:"axes"`           // how the data in memory follow from the stored ones
	Unit    uint8       `json:"unit"`           // spatial unit's code: 0 not said, 1 m, 2 mm, 3 micron
	Source  string      `json:"source"`         // where Affine comes from: sform, qform, pixdim, or dicom for a series; "" for a new frame
	Note    string      `json:"note,omitempty"` // what a person should know about the header
	Affine  Affine      `json:"affine"`         // in Unit
	Pixdim  [3]float64  `json:"pixdim"`         // (i, j, k), positive, in Unit
	QForm   QForm       `json:"qform"`          // the same place as Affine

	// Short says that a voxel takes at most 16 bits in the file that was read, so that
	// ReadCompact keeps it so. It is not kept: a frame is about axes.
	Short bool `json:"-"`
}

// Affine has rows R, A, S over the columns (i, j, k, 1).
type Affine [3][4]float64

// QForm is a rotation as a unit quaternion without its real part, with the
// handedness of the k axis and the world position of voxel (0, 0, 0).
type QForm struct {
	Factor  float64    `json:"factor"` // -1 or 1
	Quatern [3]float64 `json:"quatern"`
	Offset  [3]float64 `json:"offset"`
}

// NewFrame returns the frame of a file that stores its voxels in the order of a
// volume in memory: NIfTI-1 unless an axis is too long for it.
func NewFrame(g volume.Geometry) Frame { return newFrame(g, volume.Unmoved) }

// NewFrameOriented is NewFrame for a file whose axes i, j, k run towards the
// three letters of axes, such as LPS or RAS; from a canonical volume in memory
// Read returns that volume again.
func NewFrameOriented(g volume.Geometry, axes string) (Frame, error) {
	nearest := volume.Nearest(g)
	var x volume.Axes
	seen := 0
	for letter, c := range []byte(axes) {
		for a, ends := range []string{"SI", "AP", "RL"} {
			if letter < 3 && (c == ends[0] || c == ends[1]) {
				x.From[nearest.From[a]] = 2 - letter
				x.Flip[nearest.From[a]] = nearest.Flip[a] != (c == ends[1])
				seen |= 1 << a
			}
		}
	}
	if len(axes) != 3 || seen != 7 {
		return Frame{}, fmt.Errorf("nifti: axes %q are not one of R or L, A or P, S or I each", axes)
	}
	return newFrame(g.Stored(x), x), nil
}

func newFrame(stored volume.Geometry, x volume.Axes) Frame {
	f := Frame{Version: 1, Shape: stored.Shape, Axes: x, Unit: 2}
	if max(stored.Shape[0], stored.Shape[1], stored.Shape[2]) > math.MaxInt16 {
		f.Version = 2
	}
	for c := range 3 {
		a := 2 - c
		f.Pixdim[c] = f.stores(stored.Spacing[a])
		for w := range 3 {
			f.Affine[w][c] = f.stores(stored.Spacing[a] * stored.Direction[a][w])
			f.Affine[w][3] = f.stores(stored.Origin[w])
		}
	}
	f.QForm = f.Affine.qform()
	return f
}

// stores rounds as the file does, so that the frame says what will be read back.
func (f Frame) stores(v float64) float64 {
	if f.Version == 1 {
		return float64(float32(v))
	}
	return v
}

// Geometry returns the grid of the data in memory, in millimetres.
func (f Frame) Geometry() volume.Geometry { return f.stored().Canonical(f.Axes) }

// stored returns the grid in the file's own order.
func (f Frame) stored() volume.Geometry {
	g := volume.Geometry{Shape: f.Shape}
	mm := millimetres(f.Unit)
	for a := range 3 {
		c := 2 - a
		column := f.Affine.column(c)
		length := norm(column)
		g.Spacing[a] = length * mm
		if math.Abs(f.Pixdim[c]-length) <= rounding*length {
			g.Spacing[a] = f.Pixdim[c] * mm
		}
		for w := range 3 {
			g.Direction[a][w] = column[w] / length
		}
		g.Origin[a] = f.Affine[a][3] * mm
	}
	return g
}

func (f Frame) voxels() int { return f.Shape[0] * f.Shape[1] * f.Shape[2] }

// millimetres returns the length of a spatial unit. ITK scales by it, nibabel
// leaves it to its caller.
func millimetres(unit uint8) float64 {
	switch unit {
	case 1:
		return 1000
	case 3:
		return 0.001
	}
	return 1
}

func (m Affine) column(c int) [3]float64 { return [3]float64{m[0][c], m[1][c], m[2][c]} }

func norm(v [3]float64) float64 { return math.Hypot(math.Hypot(v[0], v[1]), v[2]) }
