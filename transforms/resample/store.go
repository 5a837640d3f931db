package resample

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"path"

	"noisystudent/io/store"
	"noisystudent/io/zarr"
	"noisystudent/transforms/plan"
)

// A stored case is a Zarr group with the arrays image, and with labels also labels
// and foreground. The group's own zarr.json, which holds the Properties, is removed
// before anything is written and written after everything else: a case that is
// half-written, or being replaced, is not there.

// version of the transform: raised when the bytes of a stored case change.
const version = 1

// Digest names what stored cases of a plan depend on.
func Digest(p plan.Plan) string { return p.PreprocessDigest(version) }

// Prefix is where a case is stored: preprocessed/<digest>/<case>.zarr.
func Prefix(p plan.Plan, id string) string {
	return path.Join("preprocessed", Digest(p)[:16], id+".zarr")
}

// chunkShape is the unit of reading: a patch of 40x224x192 touches about twice its
// own voxels.
var chunkShape = [3]int{32, 64, 64}

// shardBytes bounds one object of the store.
const shardBytes = 64 << 20

// Write stores a case. After an error nothing is there.
func Write(ctx context.Context, st *store.Store, prefix string, p *Prepared) error {
	return replace(ctx, st, prefix, p.Properties, func() error {
		if err := writeVolume(ctx, st, path.Join(prefix, "image"), p.Shape, p.Image); err != nil || p.Labels == nil {
			return err
		}
		return writeLabels(ctx, st, prefix, p)
	})
}

// WriteLabels stores labels alone, such as pseudo-labels at network resolution, for
// a case whose image is stored elsewhere: see Stored.WithLabels. After an error
// nothing is there.
func WriteLabels(ctx context.Context, st *store.Store, prefix string, of Properties, labels []uint8, p plan.Plan) error {
	mustFill(len(labels), of.Shape)
	l := &Prepared{Properties: of, Labels: labels}
	l.Labelled, l.Voxels = true, countClasses(labels, p)
	l.Foreground, l.Properties.Positions = drawForeground(labels, of.Shape, l.Voxels, p)
	return replace(ctx, st, prefix, l.Properties, func() error { return writeLabels(ctx, st, prefix, l) })
}

// replace takes what is at a prefix away, writes anew and publishes. What an error
// leaves behind is removed as far as the store allows.
func replace(ctx context.Context, st *store.Store, prefix string, p Properties, write func() error) error {
	err := unpublish(ctx, st, prefix)
	if err == nil {
		err = write()
	}
	if err == nil {
		err = publish(ctx, st, prefix, p)
	}
	if err == nil {
		return nil
	}
	ctx = context.WithoutCancel(ctx)
	if left, listErr := st.List(ctx, prefix+"/"); listErr == nil {
		for _, o := range left {
			_ = st.Remove(ctx, o.Key) // the first error is the one to report
		}
	}
	return fmt.Errorf("resample: write %s: %w", prefix, err)
}

func unpublish(ctx context.Context, st *store.Store, prefix string) error {
	if err := st.Remove(ctx, path.Join(prefix, "zarr.json")); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

func publish(ctx context.Context, st *store.Store, prefix string, p Properties) error {
	var attributes map[string]any
	text, err := json.Marshal(p)
	if err == nil {
		err = json.Unmarshal(text, &attributes)
	}
	if err != nil {
		return err
	}
	return zarr.CreateGroup(ctx, st, prefix, attributes)
}

func writeVolume[T float32 | uint8](ctx context.Context, st *store.Store, prefix string, shape [3]int, data []T) error {
	width := 4
	if _, ok := any(data).([]uint8); ok {
		width = 1
	}
	shard := shardShape(shape, width)
	return zarr.Create(ctx, st, prefix, zarr.Meta{
		Shape: shape[:], Shard: shard[:], Chunk: chunkShape[:], DimensionNames: []string{"z", "y", "x"},
	}, data)
}

// shardShape covers the shape with whole chunks and halves the longest side until
// a shard is small enough.
func shardShape(shape [3]int, width int) [3]int {
	var chunks [3]int
	for a := range 3 {
		chunks[a] = (shape[a] + chunkShape[a] - 1) / chunkShape[a]
	}
	for chunks[0]*chunks[1]*chunks[2]*chunkShape[0]*chunkShape[1]*chunkShape[2]*width > shardBytes {
		longest := 0
		for a := range 3 {
			if chunks[a]*chunkShape[a] > chunks[longest]*chunkShape[longest] && chunks[a] > 1 {
				longest = a
			}
		}
		chunks[longest] = (chunks[longest] + 1) / 2
	}
	return [3]int{chunks[0] * chunkShape[0], chunks[1] * chunkShape[1], chunks[2] * chunkShape[2]}
}

func writeLabels(ctx context.Context, st *store.Store, prefix string, p *Prepared) error {
	if err := writeVolume(ctx, st, path.Join(prefix, "labels"), p.Shape, p.Labels); err != nil {
		return err
	}
	rows := make([]int32, 0, 4*len(p.Foreground))
	for _, r := range p.Foreground {
		rows = append(rows, r[:]...)
	}
	return zarr.Create(ctx, st, path.Join(prefix, "foreground"), zarr.Meta{
		Shape: []int{len(p.Foreground), 4}, Chunk: []int{MaxPositions, 4}, DimensionNames: []string{"position", "class_z_y_x"},
	}, rows)
}

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
	if fmt.Sprint(a.Meta.Shape) != fmt.Sprint(shape) || a.Meta.DType != d {
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
