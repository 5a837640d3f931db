// Package augment makes one training patch out of a stored case: it cuts the
// patch, and turns, scales, blurs, brightens and mirrors it at random.
//
// The one idea: first draw the parameters (Draw), then apply them (Apply). The
// parameters are a small JSON-able value, so that a patch can be replayed, and
// the second half is deterministic.
//
// A patch is (z, y, x) voxels of a z-scored image with its labels. Rotation and
// scaling work in voxel index space, about the centre of the patch, and read what
// they need from the whole stored case: the corners of a turned patch are real
// tissue. Outside the case the image is 0 and the labels are background.
//
// The order and the arithmetic of each transform are nnU-Net v2's
// (batchgeneratorsv2 0.3.6, "dummy 2-D" off): image linear, labels the arg-max of
// per-label linear interpolation, which is what its SpatialTransform does by
// default (grid_sample bilinear; nnU-Net v1 interpolated images by cubic splines).
// The ranges are those of Koehler, Isensee, Maier-Hein 2022, one table for
// teachers and one for students.
package augment

import (
	"context"
	"fmt"
	"math"
)

// Source is a stored case that is read by half-open box (z, y, x). Every box asked
// for lies inside the shape; dst has room for it and is filled with x fastest.
type Source interface {
	Shape() [3]int
	ReadImage(ctx context.Context, lo, hi [3]int, dst []float32) error
	ReadLabels(ctx context.Context, lo, hi [3]int, dst []uint8) error
}

// Patch is where the result goes: Image and Labels have the shape's voxels.
type Patch struct {
	Shape  [3]int
	Image  []float32
	Labels []uint8
}

// Params says everything that happens to one patch. The zero value leaves the
// patch as it is; 0 in a field means that the transform is not applied.
type Params struct {
	Angles     [3]float64 `json:"angles_rad,omitzero"`        // about axes z, y, x
	Scale      float64    `json:"scale,omitempty"`            // above 1: more of the case in the patch, things look smaller
	NoiseSD    float64    `json:"noise_sd,omitempty"`         // in units of the z-scored image
	NoiseSeed  uint64     `json:"noise_seed,omitempty"`       // of the noise's own stream
	BlurSigma  [3]float64 `json:"blur_sigma_voxels,omitzero"` // per axis
	Brightness float64    `json:"brightness,omitempty"`       // factor
	Contrast   float64    `json:"contrast,omitempty"`         // factor about the mean
	LowRes     float64    `json:"low_resolution,omitempty"`   // zoom of the simulated coarse grid
	Gamma      []Gamma    `json:"gamma,omitempty"`            // one after the other
	Flip       [3]bool    `json:"flip,omitzero"`              // axes z, y, x
	Swap       [][2]uint8 `json:"swapped_labels,omitempty"`   // labels exchanged by the flip
}

// Gamma is one gamma correction; mean and SD of the patch are kept.
type Gamma struct {
	Exponent float64 `json:"exponent"`
	Invert   bool    `json:"invert,omitempty"` // apply to the negative image
}

// Scratch holds the buffers of Apply between calls. The zero value is ready; one
// Scratch serves one goroutine.
type Scratch struct {
	image  []float32 // box of the case that a turned patch needs
	labels []uint8
	work   []float32 // a second patch, for filters
	row    []float32
}

// Apply cuts the patch whose lowest voxel is corner, in index coordinates of the
// source, applies p and writes the result to dst. The corner may lie outside the
// case. The same arguments give the same bytes.
func (s *Scratch) Apply(ctx context.Context, p Params, src Source, corner [3]int, dst Patch) error {
	if n := dst.Shape[0] * dst.Shape[1] * dst.Shape[2]; n <= 0 || len(dst.Image) != n || len(dst.Labels) != n {
		return fmt.Errorf("augment: patch of shape %v with %d image and %d label voxels", dst.Shape, len(dst.Image), len(dst.Labels))
	}
	if err := s.cut(ctx, p, src, corner, dst); err != nil {
		return fmt.Errorf("augment: cut patch at %v: %w", corner, err)
	}
	s.intensities(p, dst)
	mirror(dst, p.Flip, p.Swap)
	return nil
}

func (s *Scratch) cut(ctx context.Context, p Params, src Source, corner [3]int, dst Patch) error {
	if p.Angles == [3]float64{} && (p.Scale == 0 || p.Scale == 1) {
		return s.crop(ctx, src, corner, dst)
	}
	return s.turn(ctx, newFrame(p, corner, dst.Shape), src, dst)
}

// intensities runs the transforms of the image in nnU-Net's order.
func (s *Scratch) intensities(p Params, dst Patch) {
	if p.NoiseSD > 0 {
		addNoise(dst.Image, p.NoiseSD, p.NoiseSeed)
	}
	if p.BlurSigma != [3]float64{} {
		s.blur(dst, p.BlurSigma)
	}
	if p.Brightness != 0 {
		brighten(dst.Image, p.Brightness)
	}
	if p.Contrast != 0 {
		stretch(dst.Image, p.Contrast)
	}
	if p.LowRes != 0 {
		s.coarsen(dst, p.LowRes)
	}
	for _, g := range p.Gamma {
		correct(dst.Image, g)
	}
}

// room returns buf with length n, allocating only when it must grow.
func room[T any](buf []T, n int) []T {
	if cap(buf) < n {
		return make([]T, n)
	}
	return buf[:n]
}

// matrix is nnU-Net's affine: angles about the axes z, y, x in the order in which
// its arrays number them, then one scale. It maps a patch offset to a case offset.
func (p Params) matrix() [3][3]float64 {
	var sin, cos [3]float64
	for a, angle := range p.Angles {
		sin[a], cos[a] = math.Sincos(angle)
	}
	first := [3][3]float64{{1, 0, 0}, {0, cos[0], -sin[0]}, {0, sin[0], cos[0]}}
	second := [3][3]float64{{cos[1], 0, sin[1]}, {0, 1, 0}, {-sin[1], 0, cos[1]}}
	third := [3][3]float64{{cos[2], -sin[2], 0}, {sin[2], cos[2], 0}, {0, 0, 1}}
	m := multiply(third, multiply(second, first))
	if p.Scale != 0 {
		for i := range m {
			for j := range m[i] {
				m[i][j] *= p.Scale
			}
		}
	}
	return m
}

func multiply(a, b [3][3]float64) (c [3][3]float64) {
	for i := range 3 {
		for j := range 3 {
			for k := range 3 {
				c[i][j] += a[i][k] * b[k][j]
			}
		}
	}
	return c
}
