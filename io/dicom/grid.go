package dicom

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"noisystudent/io/volume"
)

// Tolerances on what scanners and archives write, chosen so that positions rounded to
// a tenth of a millimetre pass.
const (
	sameAxes   = 1e-4 // between direction cosines of two slices
	sameMM     = 1e-3 // between pixel spacings of two slices
	duplicate  = 0.01 // of the step: closer slices lie in one place
	gap        = 1.5  // steps: slices further apart have one missing between them
	uneven     = 0.1  // of the step: how far a slice may be from its even place
	tiltPixels = 0.5  // how far the last slice may be from the first one's normal
	tiltDegree = 0.25 // the same, as an angle
)

// grid sorts the slices of a series along their normal and returns the grid that they
// make, axes (slice, row, column) as stored, in RAS.
func grid(list []*header) (volume.Geometry, error) {
	first := list[0]
	if err := uniform(list); err != nil {
		return volume.Geometry{}, err
	}
	along, down, err := first.directions()
	if err != nil {
		return volume.Geometry{}, err
	}
	normal := cross(along, down)
	slices.SortStableFunc(list, func(a, b *header) int {
		return cmp.Or(cmp.Compare(dot(a.position, normal), dot(b.position, normal)), cmp.Compare(a.file.name, b.file.name))
	})
	step, err := first.thickness, error(nil)
	if len(list) > 1 {
		step, err = even(list, normal)
	}
	if err == nil {
		err = straight(list, along, down, normal)
	}
	g := volume.Geometry{
		Shape:     [3]int{len(list), first.rows, first.columns},
		Spacing:   [3]float64{step, first.spacing[0], first.spacing[1]},
		Origin:    ras(list[0].position),
		Direction: [3][3]float64{ras(normal), ras(down), ras(along)},
	}
	if err == nil {
		if err = g.Check(); err != nil {
			err = fmt.Errorf("%w: %w", ErrGeometry, err)
		}
	}
	return g, err
}

// ras turns a vector from LPS to RAS; 0-v leaves no negative zero.
func ras(v [3]float64) [3]float64 { return [3]float64{0 - v[0], 0 - v[1], v[2]} }

// uniform checks that the slices can be one volume, in any order.
func uniform(list []*header) error {
	a := list[0]
	for _, b := range list[1:] {
		switch {
		case a.reference != b.reference:
			return fmt.Errorf("%w: %s and %s", ErrReferences, a.file.name, b.file.name)
		case a.rows != b.rows || a.columns != b.columns:
			return fmt.Errorf("%w: %s has %dx%d pixels, %s %dx%d", ErrMixed, a.file.name, a.columns, a.rows, b.file.name, b.columns, b.rows)
		case !near(a.axes[0][:], b.axes[0][:], sameAxes) || !near(a.axes[1][:], b.axes[1][:], sameAxes):
			return fmt.Errorf("%w: orientation of %s is %.4g, of %s %.4g", ErrMixed, a.file.name, a.axes, b.file.name, b.axes)
		case !near(a.spacing[:], b.spacing[:], sameMM):
			return fmt.Errorf("%w: pixel spacing of %s is %.4g mm, of %s %.4g", ErrMixed, a.file.name, a.spacing, b.file.name, b.spacing)
		}
	}
	return nil
}

func near(a, b []float64, tolerance float64) bool {
	for i := range a {
		if !(math.Abs(a[i]-b[i]) <= tolerance) {
			return false
		}
	}
	return true
}

// directions returns the unit vectors along a row and down a column.
func (h *header) directions() (along, down [3]float64, err error) {
	for i, v := range h.axes {
		length := math.Sqrt(dot(v, v))
		if !(math.Abs(length-1) <= 0.01) {
			return along, down, fmt.Errorf("%w: %s: ImageOrientationPatient is %v", ErrGeometry, h.file.name, h.axes)
		}
		for c := range v {
			v[c] /= length
		}
		if i == 0 {
			along = v
		} else {
			down = v
		}
	}
	if c := dot(along, down); !(math.Abs(c) <= volume.MaxSkew) {
		return along, down, fmt.Errorf("%w: %s: rows and columns are not at right angles (cosine %.2g)", ErrGeometry, h.file.name, c)
	}
	return along, down, nil
}

// even returns the step between sorted slices, which must be one.
func even(list []*header, normal [3]float64) (float64, error) {
	at := make([]float64, len(list))
	steps := make([]float64, len(list)-1)
	for i, h := range list {
		if at[i] = dot(h.position, normal); i > 0 {
			steps[i-1] = at[i] - at[i-1]
		}
	}
	sorted := slices.Sorted(slices.Values(steps))
	usual := sorted[(len(sorted)-1)/2]
	var gaps, missing, doubled int
	var where error
	for i, d := range steps {
		a, b := list[i].file.name, list[i+1].file.name
		switch {
		case !(d > duplicate*usual):
			doubled++
			where = cmp.Or(where, fmt.Errorf("the first: %s and %s at %.4g mm", a, b, at[i]))
		case d > gap*usual:
			gaps++
			missing += max(int(math.Round(d/usual))-1, 1)
			where = cmp.Or(where, fmt.Errorf("the first: %.4g mm between %s and %s, where others are %.4g mm apart", d, a, b, usual))
		}
	}
	switch {
	case doubled > 0:
		return 0, fmt.Errorf("%w: %d; %w", ErrDuplicate, doubled, where)
	case gaps > 1 && 4*gaps > len(steps):
		return 0, fmt.Errorf("%w: several spacings; %w", ErrMixed, where)
	case missing > 0:
		return 0, fmt.Errorf("%w: %d; %w", ErrMissing, missing, where)
	}
	n := len(list) - 1
	step := (at[n] - at[0]) / float64(n)
	for i := range at {
		if off := at[i] - at[0] - float64(i)*step; !(math.Abs(off) <= uneven*step) {
			return 0, fmt.Errorf("%w: %s lies %.3g mm from its place in steps of %.4g mm", ErrMixed, list[i].file.name, off, step)
		}
	}
	return step, nil
}

// straight checks that the slices lie above each other along their normal.
func straight(list []*header, along, down, normal [3]float64) error {
	beside := func(h *header) (aside, up float64) {
		var d [3]float64
		for c := range d {
			d[c] = h.position[c] - list[0].position[c]
		}
		return math.Hypot(dot(d, along), dot(d, down)), dot(d, normal)
	}
	limit := tiltPixels * min(list[0].spacing[0], list[0].spacing[1])
	last := list[len(list)-1]
	aside, up := beside(last)
	if angle := math.Atan2(aside, up) * 180 / math.Pi; len(list) > 1 && !(aside <= limit && angle <= tiltDegree) {
		return fmt.Errorf("%w: the slices are sheared by %.2f degrees, %.3g mm in all (GantryDetectorTilt is %g)", ErrTilt, angle, aside, last.tilt)
	}
	for _, h := range list {
		if aside, _ := beside(h); !(aside <= limit) {
			return fmt.Errorf("%w: %s lies %.3g mm beside the normal of %s", ErrMixed, h.file.name, aside, list[0].file.name)
		}
	}
	return nil
}

func dot(a, b [3]float64) float64 { return a[0]*b[0] + a[1]*b[1] + a[2]*b[2] }

func cross(a, b [3]float64) [3]float64 {
	return [3]float64{a[1]*b[2] - a[2]*b[1], a[2]*b[0] - a[0]*b[2], a[0]*b[1] - a[1]*b[0]}
}
