// Package zarr stores arrays of voxels in chunks, as Zarr version 3, so that a patch is read without the rest of its case.
//
// The one idea: a shard is one object of the store and holds many chunks, each compressed for itself, with an index at its
// end. ReadBox reads the index once and then, by range reads, only the chunks that the box touches.
//
// Written: a regular grid of shards (codec sharding_indexed, index at the end, kept by bytes and crc32c) whose chunks are
// little-endian and zstd with content size and checksum; chunks of fill value only are left out. The fill value is 0. All
// bytes are the same for the same data, whatever the number of processors. Read besides: index at the start, unsharded
// arrays, gzip and crc32c chunks, big-endian elements, other fill values, both key encodings: what zarr-python writes
// for the five element types, but for blosc, transpose and nested shards, which are ErrUnsupported.
//
// Indices and shapes have the order of the stored array, (z, y, x) for volumes; the last axis is fastest in memory.
//
// Metadata is not trusted. Sizes are multiplied with care and held against MaxBytes and MaxChunkBytes before
// memory is taken, and what a chunk unpacks to must be exactly its size.
//
// Standards: Zarr core specification 3.1, sharding codec 1.0, https://zarr-specs.readthedocs.io/en/latest/v3/core/index.html.
package zarr

import (
	"errors"
	"fmt"
	"path"
	"slices"

	"noisystudent/io/store"
)

const (
	// MaxBytes is the largest array that is read or written.
	MaxBytes = 1 << 35
	// MaxChunkBytes is the largest chunk, unpacked, that is read or written. ReadBox holds up to eight chunks at a time.
	MaxChunkBytes = 1 << 30
)

var (
	// ErrMalformed is the error for stored bytes that break the format.
	ErrMalformed = errors.New("malformed zarr")
	// ErrUnsupported is the error for parts of the format that this package does not read, and for sizes above its limits.
	ErrUnsupported = errors.New("unsupported zarr")
)

// DType is the type of an array's elements, by its Zarr name.
type DType string

// The element types of this package.
const (
	Float32 DType = "float32"
	Int16   DType = "int16"
	Uint8   DType = "uint8"
	Int32   DType = "int32"
	Int64   DType = "int64"
)

// width returns the bytes of an element, 0 for another type.
func (d DType) width() int {
	switch d {
	case Uint8:
		return 1
	case Int16:
		return 2
	case Float32, Int32:
		return 4
	case Int64:
		return 8
	}
	return 0
}

// Element is the Go type of an array's elements.
type Element interface {
	float32 | int16 | uint8 | int32 | int64
}

func dtypeOf[T Element]() DType {
	switch any(*new(T)).(type) {
	case float32:
		return Float32
	case int16:
		return Int16
	case uint8:
		return Uint8
	case int32:
		return Int32
	}
	return Int64
}

// Meta describes an array.
type Meta struct {
	Shape []int
	// Shard and Chunk are the shapes of the two grids. A shard is a multiple of a chunk and may reach over the array's
	// end. For Create, no Shard is one shard for the whole array, no Chunk one chunk for a shard. Of an array that
	// was opened and has no shards, Shard is empty.
	Shard, Chunk   []int
	DType          DType // for Create: empty, or the type of the data
	Attributes     map[string]any
	DimensionNames []string // empty, or one an axis, "" for an axis without
}

// Array is an array opened for reading. It may be used from several goroutines.
type Array struct {
	Meta Meta

	store  *store.Store
	prefix string
	layout layout
	index  indexCache
}

// metaKey is the object that makes a prefix an array or a group.
func metaKey(prefix string) string { return path.Join(prefix, "zarr.json") }

// withDefaults fills in the grids that Create's caller left out.
func (m Meta) withDefaults(d DType) (Meta, error) {
	if m.DType == "" {
		m.DType = d
	}
	if m.DType != d {
		return m, fmt.Errorf("data of type %s for an array of %s", d, m.DType)
	}
	whole := make([]int, len(m.Shape))
	for i, n := range m.Shape {
		whole[i] = max(n, 1) // a chunk has no empty axis, even where the array has
	}
	if len(m.Chunk) == 0 {
		m.Chunk = m.Shard
	}
	if len(m.Chunk) == 0 {
		m.Chunk = whole
	}
	if len(m.Shard) == 0 && len(m.Chunk) == len(whole) {
		m.Shard = slices.Clone(whole)
		for i, c := range m.Chunk {
			m.Shard[i] = ceilDiv(whole[i], max(c, 1)) * c
		}
	}
	return m, nil
}
