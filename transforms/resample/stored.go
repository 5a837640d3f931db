package resample

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"path"
	"slices"

	"noisystudent/io/store"
	"noisystudent/io/zarr"
)

// Stored is a case in the store, read by the box. It may be used from several
// goroutines.
type Stored struct {
	properties                Properties
	image, labels, foreground *zarr.Array
	prefix                    string
}

// OpenCase opens a stored case. One that is not there, or not there completely, is
// fs.ErrNotExist.
func OpenCase(ctx context.Context, st *store.Store, prefix string) (*Stored, error) {
	s, err := openProperties(ctx, st, prefix)
	if err == nil {
		s.image, err = openArray(ctx, st, path.Join(prefix, "image"), s.properties.Shape[:], zarr.Float32)
	}
	if err == nil && s.properties.Labelled {
		err = s.openLabels(ctx, st, prefix)
	}
	if err != nil {
		return nil, fmt.Errorf("resample: open %s: %w", prefix, err)
	}
	return s, nil
}

// WithLabels returns the case with the labels that WriteLabels stored at a prefix.
func (s *Stored) WithLabels(ctx context.Context, st *store.Store, prefix string) (*Stored, error) {
	l, err := openProperties(ctx, st, prefix)
	if err == nil && l.Shape() != s.Shape() {
		err = fmt.Errorf("labels have shape %v, the image %v", l.Shape(), s.Shape())
	}
	if err == nil {
		err = l.openLabels(ctx, st, prefix)
	}
	if err != nil {
		return nil, fmt.Errorf("resample: open %s: %w", prefix, err)
	}
	l.image, l.prefix = s.image, s.prefix
	return l, nil
}

func openProperties(ctx context.Context, st *store.Store, prefix string) (*Stored, error) {
	attributes, err := zarr.OpenGroup(ctx, st, prefix)
	if err != nil {
		return nil, err
	}
	s := &Stored{prefix: prefix}
	text, err := json.Marshal(attributes)
	if err == nil {
		err = json.Unmarshal(text, &s.properties)
	}
	if err == nil && s.properties.Format != format {
		err = fmt.Errorf("format %d of the case is not %d", s.properties.Format, format)
	}
	return s, err
}

func (s *Stored) openLabels(ctx context.Context, st *store.Store, prefix string) (err error) {
	if s.labels, err = openArray(ctx, st, path.Join(prefix, "labels"), s.properties.Shape[:], zarr.Uint8); err != nil {
		return err
	}
	n := 0
	for _, p := range s.properties.Positions {
		n = max(n, p.First+p.Count)
	}
	s.foreground, err = openArray(ctx, st, path.Join(prefix, "foreground"), []int{n, 4}, zarr.Int32)
	return err
}

// openArray opens an array that must be what the properties say.
func openArray(ctx context.Context, st *store.Store, prefix string, shape []int, d zarr.DType) (*zarr.Array, error) {
	a, err := zarr.Open(ctx, st, prefix)
	if err != nil {
		return nil, err
	}
	if !slices.Equal(a.Meta.Shape, shape) || a.Meta.DType != d {
		return nil, fmt.Errorf("%s is %s of %v, not %s of %v", prefix, a.Meta.DType, a.Meta.Shape, d, shape)
	}
	return a, nil
}

// Properties returns what is stored beside the voxels.
func (s *Stored) Properties() Properties { return s.properties }

// Shape returns the voxels of the stored arrays.
func (s *Stored) Shape() [3]int { return s.properties.Shape }

// ReadImage reads the z-scores of the half-open box [lo, hi) into dst.
func (s *Stored) ReadImage(ctx context.Context, lo, hi [3]int, dst []float32) error {
	return zarr.ReadBox(ctx, s.image, lo[:], hi[:], dst)
}

// ReadLabels reads the labels of the half-open box [lo, hi) into dst.
func (s *Stored) ReadLabels(ctx context.Context, lo, hi [3]int, dst []uint8) error {
	if s.labels == nil {
		return fmt.Errorf("resample: %s has no labels", s.prefix)
	}
	return zarr.ReadBox(ctx, s.labels, lo[:], hi[:], dst)
}

// Classes returns the foreground classes that have positions, ascending.
func (s *Stored) Classes() []uint8 {
	var classes []uint8
	for _, p := range s.properties.Positions {
		if p.Class > 0 && p.Class <= math.MaxUint8 && p.Count > 0 {
			classes = append(classes, uint8(p.Class))
		}
	}
	return classes
}

// Positions reads up to MaxPositions voxels (z, y, x) of a class, or of Annotated;
// nil where there are none.
func (s *Stored) Positions(ctx context.Context, class int) ([][3]int32, error) {
	for _, p := range s.properties.Positions {
		if p.Class != class || p.Count == 0 {
			continue
		}
		rows := make([]int32, 4*p.Count)
		if err := zarr.ReadBox(ctx, s.foreground, []int{p.First, 0}, []int{p.First + p.Count, 4}, rows); err != nil {
			return nil, err
		}
		out := make([][3]int32, p.Count)
		for i := range out {
			out[i] = [3]int32(rows[4*i+1 : 4*i+4])
		}
		return out, nil
	}
	return nil, nil
}
