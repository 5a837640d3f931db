package predict

import (
	"context"

	"noisystudent/io/volume"
)

// slab is the planes of an image that a row of tiles covers, the image centred in one
// that is at least a tile; new voxels are 0.
type slab struct {
	source      Source
	shape, size [3]int // of the image, and with its margin
	before      [3]int
	planes      []float32 // (D, H, W) of the size
	at, depth   int       // first plane
	scratch     []float32 // planes of the shape
}

func newSlab(source Source, shape, size, before [3]int, depth int) *slab {
	s := &slab{source: source, shape: shape, size: size, before: before, depth: depth, at: -depth}
	s.planes = make([]float32, depth*size[1]*size[2])
	return s
}

// move makes the planes from z on; z ascends.
func (s *slab) move(ctx context.Context, z int) error {
	area := s.size[1] * s.size[2]
	kept := max(s.at+s.depth-z, 0)
	copy(s.planes, s.planes[(s.depth-kept)*area:])
	clear(s.planes[kept*area:])
	s.at = z
	lo, hi := max(z+kept-s.before[0], 0), min(z+s.depth-s.before[0], s.shape[0])
	if lo >= hi {
		return nil
	}
	dst := s.planes[(lo+s.before[0]-z)*area:]
	if s.shape[1] == s.size[1] && s.shape[2] == s.size[2] {
		return s.source.Planes(ctx, lo, hi, dst[:(hi-lo)*area])
	}
	if s.scratch == nil {
		s.scratch = make([]float32, s.depth*s.shape[1]*s.shape[2])
	}
	made := s.scratch[:(hi-lo)*s.shape[1]*s.shape[2]]
	if err := s.source.Planes(ctx, lo, hi, made); err != nil {
		return err
	}
	box := volume.Box{Lo: [3]int{0, s.before[1], s.before[2]}, Hi: [3]int{hi - lo, s.before[1] + s.shape[1], s.before[2] + s.shape[2]}}
	volume.Paste(dst[:(hi-lo)*area], [3]int{hi - lo, s.size[1], s.size[2]}, box, made)
	return nil
}

// part is a Source of a box of an image that is there.
type part struct {
	image []float32
	shape [3]int
	box   volume.Box
}

func (p part) Planes(_ context.Context, lo, hi int, dst []float32) error {
	h, w := p.box.Shape()[1], p.box.Shape()[2]
	for i := range (hi - lo) * h {
		z, y := p.box.Lo[0]+lo+i/h, p.box.Lo[1]+i%h
		copy(dst[i*w:][:w], p.image[(z*p.shape[1]+y)*p.shape[2]+p.box.Lo[2]:])
	}
	return nil
}
