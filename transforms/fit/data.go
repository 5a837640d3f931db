package fit

import (
	"context"
	"fmt"

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
	return c, nil
}
