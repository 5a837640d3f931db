package resample

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
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
