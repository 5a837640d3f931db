package fit

import (
	"context"
	"fmt"
	"slices"

	"noisystudent/transforms/patch"
	"noisystudent/transforms/resample"
)

// open opens the case of a slot: a prepared case with its own labels, or with the
// pseudo-labels that the job names.
func (s *session) open(ctx context.Context, slot patch.Slot) (patch.Case, error) {
	pool := s.job.Labelled
	if slot.Pseudo {
		pool = s.job.Pseudo
	}
	ref := pool[slot.Index]
	c, err := resample.OpenCase(ctx, s.store, ref.Prepared)
	if err != nil {
		return nil, fmt.Errorf("case %s: %w; run `noisystudent preprocess` again", ref.Case, err)
	}
	if ref.Labels == "" {
		return c, nil
	}
	if c, err = c.WithLabels(ctx, s.store, ref.Labels); err != nil {
		return nil, fmt.Errorf("case %s: %w; run `noisystudent pseudolabel` again", ref.Case, err)
	}
	return s.doubted(ctx, ref, c)
}

// doubted leaves out what the job does not trust of a case.
func (s *session) doubted(ctx context.Context, ref Ref, c *resample.Stored) (patch.Case, error) {
	var out patch.Case = c
	if len(ref.Ignored) > 0 {
		out = &without{Stored: c, ignored: ref.Ignored, label: uint8(s.job.Plan.Classes())}
	}
	if ref.Certain == "" || !s.job.Plan.Pseudo.ByVoxel() {
		return out, nil
	}
	certain, err := c.Certain(ctx, s.store, ref.Certain)
	if err != nil {
		return nil, fmt.Errorf("case %s: %w; run `noisystudent pseudolabel` again", ref.Case, err)
	}
	sure := certainCase{out, certain}
	if !s.job.Plan.Pseudo.Soft {
		return &sure, nil
	}
	second, err := c.Certain(ctx, s.store, ref.Second)
	if err != nil {
		return nil, fmt.Errorf("case %s: %w; run `noisystudent pseudolabel` again", ref.Case, err)
	}
	return &softCase{sure, second, without{ignored: ref.Ignored, label: uint8(s.job.Plan.Classes())}}, nil
}

// without is a case some of whose organs do not count.
type without struct {
	*resample.Stored
	ignored []uint8
	label   uint8 // of voxels that do not count
}

// Classes leaves out what does not count: no patch is centred on it.
func (w *without) Classes() []uint8 {
	return slices.DeleteFunc(w.Stored.Classes(), func(class uint8) bool { return slices.Contains(w.ignored, class) })
}

func (w *without) ReadLabels(ctx context.Context, lo, hi [3]int, dst []uint8) error {
	if err := w.Stored.ReadLabels(ctx, lo, hi, dst); err != nil {
		return err
	}
	w.leave(dst)
	return nil
}

// leave hides the organs that do not count among labels.
func (w *without) leave(dst []uint8) {
	var counts [256]uint8
	for i := range counts {
		counts[i] = uint8(i)
	}
	for _, class := range w.ignored {
		counts[class] = w.label
	}
	for i, v := range dst {
		dst[i] = counts[v]
	}
}

// certainCase knows how probable its labels are.
type certainCase struct {
	patch.Case
	certain *resample.Certain
}

func (c *certainCase) ReadCertain(ctx context.Context, lo, hi [3]int, dst []uint8) error {
	return c.certain.Read(ctx, lo, hi, dst)
}

// softCase knows what else its labels may be.
type softCase struct {
	certainCase
	second *resample.Certain
	left   without
}

func (c *softCase) ReadSecond(ctx context.Context, lo, hi [3]int, dst []uint8) error {
	if err := c.second.Read(ctx, lo, hi, dst); err != nil {
		return err
	}
	c.left.leave(dst)
	return nil
}
