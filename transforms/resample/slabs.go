package resample

import (
	"context"
	"slices"

	"noisystudent/io/volume"
	"noisystudent/transforms/cases"
	"noisystudent/transforms/plan"
)

// Scan is a case as the network sees it, made plane by plane when it is asked for: of
// the size of the scan there are only its voxels as they are stored.
type Scan struct {
	Properties
	*Slabs
}

// LoadScan is Load of an image, to the bit, without the image as a whole. What is wrong
// with the case is a *cases.Fault.
func LoadScan(ctx context.Context, c cases.Case, p plan.Plan) (*Scan, error) {
	image, box, frame, err := cases.ReadCompact(ctx, c, p.Orientation)
	if err != nil {
		return nil, err
	}
	s := &Scan{}
	m, err := mappingOf(box, image.Geometry, p)
	if err == nil {
		s.Properties = propertiesOf(image.Geometry, frame, box, m, p)
		s.Slabs, err = newSlabs(ctx, view{image, box, normaliser(p.Intensity)}, m, blockPlanes)
	}
	return s, cases.InFile(c.Image, err)
}

// blockPlanes is how many planes go through z at once: a median scan is one block, whose
// planes are made once. The stored images of a plan do not depend on it.
const blockPlanes = 128

// Slabs resamples a view as Image does, to the bit, some planes at a time. Beside them
// it holds nothing where z is resampled by nearest neighbour or not at all.
//
// Where z has a spline too, its prefilter runs over the whole line, forwards and back.
// Both recursions are kept where blocks of planes meet: what lies between is made again
// when it is needed, from the same values in the same order.
type Slabs struct {
	mapping Mapping
	stage   *planeStage
	limits  limits
	blocks  *blocks // or nil
}

func newSlabs(ctx context.Context, v view, m Mapping, block int) (*Slabs, error) {
	s := &Slabs{mapping: m, stage: newPlaneStage(v, m)}
	var err error
	switch {
	case m.cubic(0):
		s.blocks, err = newBlocks(ctx, s.stage, m, block)
		s.limits = s.stage.limits()
	case m.Coarse != 0 && (m.cubic(1) || m.cubic(2)):
		s.limits, err = s.stage.measure(ctx)
	}
	return s, err
}

// Planes makes the planes [lo, hi) in dst, (hi-lo, Y, X). Where z has a spline, lo must
// not fall from call to call. The error is that of ctx.
func (s *Slabs) Planes(ctx context.Context, lo, hi int, dst []float32) error {
	m, size := s.mapping, s.mapping.To[1]*s.mapping.To[2]
	dst = dst[:(hi-lo)*size]
	switch {
	case s.blocks != nil:
		return s.blocks.planes(ctx, lo, hi, dst, s.limits)
	case m.Coarse == 0:
		near := nearest(m.From[0], m.To[0])[lo:hi]
		if err := s.stage.run(ctx, slices.Compact(slices.Clone(near)), dst); err != nil {
			return err
		}
		spread(dst, near, size)
		return nil
	}
	if err := s.stage.run(ctx, upTo(lo, hi), dst); err != nil || !(m.cubic(1) || m.cubic(2)) {
		return err
	}
	return s.clip(ctx, dst)
}

// clip cuts all rows of planes.
func (s *Slabs) clip(ctx context.Context, dst []float32) error {
	width := s.mapping.To[2]
	rows := len(dst) / width
	return parallel(ctx, workers(rows), rows, func(_, i int) {
		s.limits.clip(dst[i*width:(i+1)*width], i%s.mapping.To[1])
	})
}

// Image makes the whole image.
func (s *Slabs) Image(ctx context.Context) ([]float32, error) {
	data := make([]float32, s.mapping.voxels())
	return data, s.Planes(ctx, 0, s.mapping.To[0], data)
}

// upTo lists lo to hi-1.
func upTo(lo, hi int) []int32 {
	list := make([]int32, hi-lo)
	for i := range list {
		list[i] = int32(lo + i)
	}
	return list
}

// CheckGrid tells whether a grid can be brought to the plan's spacing, as far as its header
// says: what it says otherwise is a *cases.Fault without its file.
func CheckGrid(g volume.Geometry, p plan.Plan) error {
	_, err := mappingOf(volume.Whole(g.Shape), g, p)
	return err
}

// SlabBytes is what making the planes of a scan of a grid takes beside its voxels.
func SlabBytes(g volume.Geometry, p plan.Plan) int64 {
	m, err := NewMapping(g.Shape, g.Spacing, p.Spacing)
	if err != nil {
		return 0 // and the scan's own turn will tell
	}
	size := float64(m.To[1]) * float64(m.To[2])
	lines := float64(workers(m.From[0])) * float64(m.From[1]+2*margin) * float64(m.To[2])
	if m.cubic(0) {
		count := (m.From[0] + blockPlanes - 1) / blockPlanes
		lines += size * float64(min(blockPlanes, m.From[0])+2*margin+4+2*count)
	}
	return int64(4 * lines)
}
