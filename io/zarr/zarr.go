// Package zarr stores arrays as Zarr version 3.
package zarr

import (
	"context"
	"errors"

	"noisystudent/io/store"
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

// Element is the Go type of an array's elements.
type Element interface {
	float32 | int16 | uint8 | int32 | int64
}

// Meta describes an array.
type Meta struct {
	Shape          []int
	Shard, Chunk   []int
	DType          DType
	Attributes     map[string]any
	DimensionNames []string
}

// Array is an array opened for reading.
type Array struct {
	Meta Meta
}

var (
	// ErrMalformed is the error for stored bytes that break the format.
	ErrMalformed = errors.New("malformed zarr")
	// ErrUnsupported is the error for parts of the format that this package does not read.
	ErrUnsupported = errors.New("unsupported zarr")
)

var errSoon = errors.New("zarr: not written yet")

// Create writes a whole array.
func Create[T Element](ctx context.Context, st *store.Store, prefix string, m Meta, data []T) error {
	return errSoon
}

// Open opens an array for reading.
func Open(ctx context.Context, st *store.Store, prefix string) (*Array, error) { return nil, errSoon }

// ReadBox reads the elements with lo <= index < hi into dst.
func ReadBox[T Element](ctx context.Context, a *Array, lo, hi []int, dst []T) error { return errSoon }

// CreateGroup writes a group.
func CreateGroup(ctx context.Context, st *store.Store, prefix string, attributes map[string]any) error {
	return errSoon
}

// OpenGroup returns a group's attributes.
func OpenGroup(ctx context.Context, st *store.Store, prefix string) (attributes map[string]any, err error) {
	return nil, errSoon
}
