package zarr

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"path"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/klauspost/compress/zstd"

	"noisystudent/io/store"
)

// Create writes a whole array, the data in the array's order. Its zarr.json is removed first and written last, so that an
// array is there completely or not at all; an array that is to be replaced keeps no old part. Chunks are packed
// in parallel; besides the data, memory holds one packed shard and a chunk for each processor.
func Create[T Element](ctx context.Context, st *store.Store, prefix string, m Meta, data []T) error {
	if err := create(ctx, st, prefix, m, dtypeOf[T](), bytesOf(data)); err != nil {
		return fmt.Errorf("zarr: create %s: %w", prefix, err)
	}
	return nil
}

func create(ctx context.Context, st *store.Store, prefix string, m Meta, d DType, data []byte) error {
	m, err := m.withDefaults(d)
	if err != nil {
		return err
	}
	if err := m.check(); err != nil {
		return err
	}
	if n := product(m.Shape); n*d.width() != len(data) {
		return fmt.Errorf("%d elements for shape %v", len(data)/d.width(), m.Shape)
	}
	text, err := encodeMeta(m)
	if err != nil {
		return err
	}
	if err := st.Remove(ctx, metaKey(prefix)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	w := writer{store: st, prefix: prefix, meta: m, data: data, layout: layout{
		width: d.width(), fill: make([]byte, d.width()), sharded: true, chunkKeys: keyEncoding{prefix: "c", separator: "/"},
	}}
	w.layout.place(m)
	if err := w.shards(ctx); err != nil {
		return err
	}
	return st.Write(ctx, metaKey(prefix), text)
}

// encodeMeta is zarr.json of a written array.
func encodeMeta(m Meta) ([]byte, error) {
	little := extension{"bytes", raw(map[string]any{"endian": "little"})}
	sharding := raw(map[string]any{
		"chunk_shape":    append([]int{}, m.Chunk...),
		"codecs":         []extension{little, {"zstd", raw(map[string]any{"level": zstdLevel, "checksum": true})}},
		"index_codecs":   []extension{little, {Name: "crc32c"}},
		"index_location": "end",
	})
	j := arrayJSON{
		ZarrFormat: 3, NodeType: "array",
		Shape:            append([]int{}, m.Shape...),
		DataType:         raw(m.DType),
		ChunkGrid:        extension{"regular", raw(map[string]any{"chunk_shape": append([]int{}, m.Shard...)})},
		ChunkKeyEncoding: extension{"default", raw(map[string]any{"separator": "/"})},
		FillValue:        raw(0),
		Codecs:           []extension{{"sharding_indexed", sharding}},
		Attributes:       m.Attributes,
	}
	if m.DType == Float32 {
		j.FillValue = json.RawMessage("0.0")
	}
	for _, name := range m.DimensionNames {
		if name == "" {
			j.DimensionNames = append(j.DimensionNames, nil)
		} else {
			j.DimensionNames = append(j.DimensionNames, &name)
		}
	}
	return json.MarshalIndent(j, "", "  ")
}

// raw is JSON of our own constants and shapes, which always can be written.
func raw(v any) json.RawMessage {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}

// writer is one call of Create.
type writer struct {
	store  *store.Store
	prefix string
	meta   Meta
	data   []byte
	layout layout
}

// shards writes every shard, also one of fill value only, which replaces whatever an earlier run left under its name.
func (w *writer) shards(ctx context.Context) error {
	count := make([]int, len(w.layout.grid))
	for i, g := range w.layout.grid {
		count[i] = ceilDiv(w.meta.Shape[i], g)
	}
	for at := range boxes(make([]int, len(count)), count) {
		if err := w.shard(ctx, at); err != nil {
			return fmt.Errorf("shard %v of %v: %w", at, count, err)
		}
	}
	return nil
}

func (w *writer) shard(ctx context.Context, at []int) error {
	packed, err := w.pack(ctx, at)
	if err != nil {
		return err
	}
	out, err := w.store.Create(ctx, path.Join(w.prefix, w.layout.chunkKeys.key(at)))
	if err != nil {
		return err
	}
	defer out.Abort()
	spans := make([]span, len(packed))
	offset := uint64(0)
	for i, p := range packed {
		if p == nil {
			spans[i] = span{missing, missing}
			continue
		}
		if _, err := out.Write(p); err != nil {
			return err
		}
		spans[i] = span{offset, uint64(len(p))}
		offset += uint64(len(p))
	}
	if _, err := out.Write(encodeIndex(spans)); err != nil {
		return err
	}
	return out.Commit()
}

// pack returns the packed chunks of a shard in their order, nil for those of fill value only. Each is packed for itself, so
// that the bytes do not depend on who packed which.
func (w *writer) pack(ctx context.Context, shard []int) ([][]byte, error) {
	var places [][]int
	lo, hi := make([]int, len(shard)), make([]int, len(shard))
	for i, n := range w.layout.chunks {
		lo[i], hi[i] = shard[i]*n, (shard[i]+1)*n
	}
	for at := range boxes(lo, hi) {
		places = append(places, append([]int(nil), at...))
	}
	packed := make([][]byte, len(places))
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), len(places)) {
		wg.Go(func() {
			buffer := make([]byte, w.layout.chunkBytes())
			for i := next.Add(1) - 1; i < int64(len(places)) && ctx.Err() == nil; i = next.Add(1) - 1 {
				packed[i] = w.packChunk(places[i], buffer)
			}
		})
	}
	wg.Wait()
	return packed, ctx.Err()
}

// packChunk gathers a chunk into the buffer, fill value where the chunk reaches over the array's end, and packs it.
func (w *writer) packChunk(at []int, buffer []byte) []byte {
	lo, hi := clip(at, w.layout.chunk, make([]int, len(at)), w.meta.Shape)
	origin := make([]int, len(at))
	whole := true
	for i := range at {
		if lo[i] >= hi[i] {
			return nil
		}
		origin[i] = at[i] * w.layout.chunk[i]
		whole = whole && hi[i]-lo[i] == w.layout.chunk[i]
	}
	if !whole {
		fillWith(buffer, w.layout.fill)
	}
	array := block{data: w.data, shape: w.meta.Shape, at: make([]int, len(at))}
	copyBox(block{data: buffer, shape: w.layout.chunk, at: origin}, array, lo, hi, w.layout.width)
	if isFill(buffer, w.layout.fill) {
		return nil
	}
	return zstdEncoder().EncodeAll(buffer, nil)
}

// zstdLevel is what the metadata says of zstdEncoder's speed; readers do not use it.
const zstdLevel = 1

// zstdEncoder is shared by all writers of the process; EncodeAll may be called concurrently. The content size in each
// frame, which zarr-python needs, comes with a single segment.
var zstdEncoder = sync.OnceValue(func() *zstd.Encoder {
	e, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderCRC(true), zstd.WithSingleSegment(true))
	if err != nil {
		panic(err) // the options are constants
	}
	return e
})

func appendChecksum(data []byte) []byte {
	return binary.LittleEndian.AppendUint32(data, crc32.Checksum(data, castagnoli))
}
