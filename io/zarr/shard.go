package zarr

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"path"
	"sync"
)

// maxIndexEntries bounds the memory of one shard's index to 16 MiB.
const maxIndexEntries = 1 << 20

// span is where a chunk lies in its shard; both are missing for a chunk of fill value only.
type span struct{ offset, bytes uint64 }

const missing = math.MaxUint64

// shardIndexFormat is how the index of a shard is stored.
type shardIndexFormat struct {
	atStart  bool
	checksum bool
}

// parseIndexFormat reads the codecs of the index, which the specification wants to be of fixed size.
func parseIndexFormat(list []extension, location string) (f shardIndexFormat, err error) {
	packers, big, err := parseCodecs(list, 8)
	switch {
	case err != nil:
		return f, fmt.Errorf("index: %w", err)
	case big || len(packers) > 1 || len(packers) == 1 && packers[0] != codecCRC32C:
		return f, fmt.Errorf("%w: index codecs other than little-endian bytes and crc32c", ErrUnsupported)
	case location != "start" && location != "end":
		return f, fmt.Errorf("%w: index location %.20q", ErrMalformed, location)
	}
	return shardIndexFormat{atStart: location == "start", checksum: len(packers) == 1}, nil
}

func (f shardIndexFormat) size(chunks int) int64 {
	n := int64(chunks) * 16
	if f.checksum {
		n += 4
	}
	return n
}

// decodeIndex reads the places of the chunks of a shard and holds them against the sizes of the shard and of a chunk.
func (l *layout) decodeIndex(data []byte, shardBytes int64) ([]span, error) {
	if l.index.checksum {
		var err error
		if data, err = cutChecksum(data); err != nil {
			return nil, fmt.Errorf("%w: index: %w", ErrMalformed, err)
		}
	}
	if len(data) != 16*product(l.chunks) {
		return nil, fmt.Errorf("%w: index of %d bytes for %d chunks", ErrMalformed, len(data), product(l.chunks))
	}
	spans := make([]span, len(data)/16)
	for i := range spans {
		s := span{binary.LittleEndian.Uint64(data[16*i:]), binary.LittleEndian.Uint64(data[16*i+8:])}
		if s.offset == missing && s.bytes == missing {
			spans[i] = s
			continue
		}
		if s.bytes > uint64(packedLimit(l.chunkBytes())) || s.offset > uint64(shardBytes) || s.bytes > uint64(shardBytes)-s.offset {
			return nil, fmt.Errorf("%w: chunk %d has %d bytes at %d in a shard of %d", ErrMalformed, i, s.bytes, s.offset, shardBytes)
		}
		spans[i] = s
	}
	return spans, nil
}

// encodeIndex is the index that this package writes at the end of a shard.
func encodeIndex(spans []span) []byte {
	data := make([]byte, 0, 16*len(spans)+4)
	for _, s := range spans {
		data = binary.LittleEndian.AppendUint64(data, s.offset)
		data = binary.LittleEndian.AppendUint64(data, s.bytes)
	}
	return appendChecksum(data)
}

// indexCache keeps the indices of the shards that were read, forgetting them all when there are too many.
type indexCache struct {
	sync.Mutex
	byKey   map[string]*cachedIndex
	entries int
}

// cachedIndex is read by the first goroutine that needs it while others of the same shard wait.
type cachedIndex struct {
	sync.Mutex
	spans []span // nil until read
}

func (c *indexCache) at(key string, entries int) *cachedIndex {
	c.Lock()
	defer c.Unlock()
	if c.byKey[key] == nil {
		if c.byKey == nil || c.entries+entries > 2*maxIndexEntries {
			c.byKey, c.entries = map[string]*cachedIndex{}, 0
		}
		c.byKey[key] = &cachedIndex{}
		c.entries += entries
	}
	return c.byKey[key]
}

// spans returns the index of a shard; a shard that is not stored has none.
func (a *Array) spans(ctx context.Context, key string) ([]span, error) {
	c := a.index.at(key, product(a.layout.chunks))
	c.Lock()
	defer c.Unlock()
	if c.spans != nil {
		return c.spans, nil
	}
	spans, err := a.readIndex(ctx, key)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	c.spans = spans
	return spans, nil
}

func (a *Array) readIndex(ctx context.Context, key string) ([]span, error) {
	object := path.Join(a.prefix, key)
	info, err := a.store.Stat(ctx, object)
	if err != nil {
		return nil, err
	}
	n := a.layout.index.size(product(a.layout.chunks))
	if n > info.Size {
		return nil, fmt.Errorf("%w: shard of %d bytes, its index has %d", ErrMalformed, info.Size, n)
	}
	at := info.Size - n
	if a.layout.index.atStart {
		at = 0
	}
	data, err := a.store.ReadRange(ctx, object, at, n)
	if err != nil {
		return nil, err
	}
	return a.layout.decodeIndex(data, info.Size)
}
