package resample

import (
	"context"
	"fmt"

	"noisystudent/io/store"
	"noisystudent/io/zarr"
)

// Certain is a byte for each voxel of a stored case beside its labels, read by the box: the probability of
// the label, 255 for 1, or the second most probable class.
type Certain struct{ array *zarr.Array }

// WriteCertain stores the probabilities of a case's labels, or its second classes. After an error nothing is there.
func WriteCertain(ctx context.Context, st *store.Store, prefix string, shape [3]int, certain []uint8) error {
	mustFill(len(certain), shape)
	if err := writeVolume(ctx, st, prefix, shape, certain); err != nil {
		return fmt.Errorf("resample: write %s: %w", prefix, err)
	}
	return nil
}

// Certain opens what WriteCertain stored for this case.
func (s *Stored) Certain(ctx context.Context, st *store.Store, prefix string) (*Certain, error) {
	shape := s.Shape()
	array, err := openArray(ctx, st, prefix, shape[:], zarr.Uint8)
	if err != nil {
		return nil, fmt.Errorf("resample: open %s: %w", prefix, err)
	}
	return &Certain{array}, nil
}

// Read reads the half-open box [lo, hi) into dst.
func (c *Certain) Read(ctx context.Context, lo, hi [3]int, dst []uint8) error {
	return zarr.ReadBox(ctx, c.array, lo[:], hi[:], dst)
}
