package patch

import (
	"context"

	"noisystudent/model/random"
	"noisystudent/transforms/augment"
)

// Doubted is a Case that knows how probable its labels are, such as pseudo-labels.
type Doubted interface {
	Case
	// ReadCertain reads the probability of the labels of a box, 255 for 1.
	ReadCertain(ctx context.Context, lo, hi [3]int, dst []uint8) error
}

// Soft is a Doubted case that knows the second most probable class, too.
type Soft interface {
	Doubted
	// ReadSecond reads that class of a box.
	ReadSecond(ctx context.Context, lo, hi [3]int, dst []uint8) error
}

// Doubt says which voxels of a Doubted case do not count: their label becomes Ignored. The
// zero value lets all count. A Soft case is softened first.
type Doubt struct {
	Least   float64 // probability of a label, below which its voxel never counts
	Weigh   bool    // a voxel counts with the probability of its label
	Soften  bool    // a voxel has its label with its probability, else the second class
	Ignored uint8   // the label of what does not count
}

func (d Doubt) on() bool { return d.Least > 0 || d.Weigh || d.Soften }

// hide takes a patch's doubtful voxels out. Weights are drawn, not multiplied: a voxel of
// probability p is in the loss of that part p of the patches that show it, so that the
// mean of many steps is that of a weighted loss, on every device, whose losses know an
// ignored label and no weights. So are soft labels: the mean cross-entropy of many steps is that of the
// probabilities. They are turned and flipped like the patch;
// outside of the case nothing is doubted.
func (d Doubt) hide(ctx context.Context, s *scratch, p augment.Params, c Doubted, corner [3]int, stream *random.Stream, dst augment.Patch) error {
	n := len(dst.Labels)
	if cap(s.doubt.Image) < n {
		s.doubt.Image, s.doubt.Labels = make([]float32, n), make([]uint8, n)
	}
	doubt := augment.Patch{Shape: dst.Shape, Image: s.doubt.Image[:n], Labels: s.doubt.Labels[:n]}
	source := &doubts{Doubted: c, certain: s.certain}
	if soft, ok := c.(Soft); ok && d.Soften {
		source.soft = soft
	}
	p = augment.Params{Angles: p.Angles, Scale: p.Scale, Flip: p.Flip} // what moves voxels
	if err := s.apply.Apply(ctx, p, source, corner, doubt); err != nil {
		return err
	}
	s.certain = source.certain
	draw := stream.Child(random.Key("doubt"))
	for i, v := range doubt.Image {
		certain := 1 - float64(v)/255
		missed := (d.Weigh || source.soft != nil) && float64(draw.At(uint64(i))>>11)/(1<<53) >= certain
		switch {
		case certain < d.Least || d.Weigh && missed:
			dst.Labels[i] = d.Ignored
		case missed:
			dst.Labels[i] = doubt.Labels[i]
		}
	}
	return nil
}

// scratch is what one worker needs.
type scratch struct {
	apply   augment.Scratch
	doubt   augment.Patch
	certain []uint8
}

// doubts shows how doubtful labels are as an image: 0 where, as outside of the case, there
// is no doubt; its labels are the second classes where those are asked for.
type doubts struct {
	Doubted
	soft    Soft // nil: not asked for
	certain []uint8
}

func (d *doubts) ReadImage(ctx context.Context, lo, hi [3]int, dst []float32) error {
	if cap(d.certain) < len(dst) {
		d.certain = make([]uint8, len(dst))
	}
	d.certain = d.certain[:len(dst)]
	if err := d.ReadCertain(ctx, lo, hi, d.certain); err != nil {
		return err
	}
	for i, v := range d.certain {
		dst[i] = float32(255 - v)
	}
	return nil
}

func (d *doubts) ReadLabels(ctx context.Context, lo, hi [3]int, dst []uint8) error {
	if d.soft != nil {
		return d.soft.ReadSecond(ctx, lo, hi, dst)
	}
	clear(dst)
	return nil
}
