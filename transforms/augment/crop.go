package augment

import "context"

// crop copies the patch at corner, with zeros and background outside the case.
func (s *Scratch) crop(ctx context.Context, src Source, corner [3]int, dst Patch) error {
	shape := src.Shape()
	var lo, hi [3]int
	for c := range 3 {
		lo[c] = min(max(corner[c], 0), shape[c])
		hi[c] = min(max(corner[c]+dst.Shape[c], lo[c]), shape[c])
	}
	if size := [3]int{hi[0] - lo[0], hi[1] - lo[1], hi[2] - lo[2]}; size == dst.Shape {
		if err := src.ReadImage(ctx, lo, hi, dst.Image); err != nil {
			return err
		}
		return src.ReadLabels(ctx, lo, hi, dst.Labels)
	}
	b, err := s.read(ctx, src, lo, hi)
	if err != nil {
		return err
	}
	clear(dst.Image)
	clear(dst.Labels)
	n := b.shape[2]
	if n == 0 {
		return nil // the patch lies beside the case
	}
	for z := range b.shape[0] {
		for y := range b.shape[1] {
			from := (z*b.shape[1] + y) * n
			to := ((z+lo[0]-corner[0])*dst.Shape[1]+y+lo[1]-corner[1])*dst.Shape[2] + lo[2] - corner[2]
			copy(dst.Image[to:], b.image[from:from+n])
			copy(dst.Labels[to:], b.labels[from:from+n])
		}
	}
	return nil
}
