package zarr

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// maxRank is far above any array of images; it bounds what loops over axes cost.
const maxRank = 16

// layout is everything about an array's storage that metadata says, checked.
type layout struct {
	grid      []int // shape of what one object holds: a shard, or a chunk of an unsharded array
	chunk     []int // shape of what is decoded at once
	chunks    []int // chunks of one object along each axis
	width     int   // bytes of an element
	fill      []byte
	chunkKeys keyEncoding
	inner     []codec // of a chunk, in the order of encoding; the first is "bytes"
	bigEndian bool
	sharded   bool
	index     shardIndexFormat
}

type keyEncoding struct {
	prefix    string // "c" in the default encoding
	separator string
}

// key names the object at a place of the grid.
func (e keyEncoding) key(at []int) string {
	parts := make([]string, 0, len(at)+1)
	if e.prefix != "" {
		parts = append(parts, e.prefix)
	}
	for _, i := range at {
		parts = append(parts, strconv.Itoa(i))
	}
	if len(parts) == 0 {
		return "0" // what the v2 encoding calls the one chunk of an array without axes
	}
	return strings.Join(parts, e.separator)
}

func (l *layout) chunkBytes() int { return product(l.chunk) * l.width }

// product multiplies shapes that checkShape has passed.
func product(shape []int) int {
	n := 1
	for _, d := range shape {
		n *= d
	}
	return n
}

// checkShape makes sure that axes from least up multiply to at most limit bytes.
func checkShape(what string, shape []int, least, width int, limit int64) error {
	if len(shape) > maxRank {
		return fmt.Errorf("%w: %s of %d axes, the limit is %d", ErrUnsupported, what, len(shape), maxRank)
	}
	empty := slices.Contains(shape, 0)
	n := int64(width)
	for _, d := range shape {
		if d < least {
			return fmt.Errorf("%w: %s %v", ErrMalformed, what, shape)
		}
		// An empty array may have long other axes, but none that a product with an element could overflow.
		if int64(d) > math.MaxInt64/16/int64(width) || !empty && n > limit/int64(d) {
			return fmt.Errorf("%w: %s %v of %d-byte elements, the limit is %d bytes", ErrUnsupported, what, shape, width, limit)
		}
		if !empty {
			n *= int64(d)
		}
	}
	return nil
}

// check holds the shapes against each other and against the limits; what follows can multiply them freely.
func (m Meta) check() error {
	width := m.DType.width()
	if width == 0 {
		return fmt.Errorf("%w: data type %.40q", ErrUnsupported, m.DType)
	}
	if err := checkShape("shape", m.Shape, 0, width, MaxBytes); err != nil {
		return err
	}
	if err := checkShape("chunk", m.Chunk, 1, width, MaxChunkBytes); err != nil {
		return err
	}
	if len(m.Chunk) != len(m.Shape) {
		return fmt.Errorf("%w: chunk %v for shape %v", ErrMalformed, m.Chunk, m.Shape)
	}
	if n := len(m.DimensionNames); n != 0 && n != len(m.Shape) {
		return fmt.Errorf("%w: %d dimension names for shape %v", ErrMalformed, n, m.Shape)
	}
	if m.Shard == nil {
		return nil
	}
	return m.checkShard(width)
}

func (m Meta) checkShard(width int) error {
	if err := checkShape("shard", m.Shard, 1, width, math.MaxInt64/16); err != nil {
		return err
	}
	if len(m.Shard) != len(m.Shape) {
		return fmt.Errorf("%w: shard %v for shape %v", ErrMalformed, m.Shard, m.Shape)
	}
	for i := range m.Shard {
		if m.Shard[i]%m.Chunk[i] != 0 {
			return fmt.Errorf("%w: shard %v is no multiple of chunk %v", ErrMalformed, m.Shard, m.Chunk)
		}
	}
	if n := product(m.Shard) / product(m.Chunk); n > maxIndexEntries {
		return fmt.Errorf("%w: %d chunks in a shard, the limit is %d", ErrUnsupported, n, maxIndexEntries)
	}
	return nil
}

func ceilDiv(a, b int) int { return (a + b - 1) / b }
