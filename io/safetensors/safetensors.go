// Package safetensors reads and writes named tensors in the safetensors format
// (https://github.com/huggingface/safetensors, README "Format"): eight bytes of header length, a JSON header, and the tensors'
// bytes one after another, little-endian, row-major.
//
// In memory every tensor is float32. Decode converts what a file holds and refuses what float32 cannot: an integer
// that is not exactly representable, a float64 beyond its range (other float64 values are rounded to the nearest).
// Encode writes F32, tensors in the order of their names, so that equal files have equal bytes.
//
// The header is not trusted: its size is capped, names are unique, and the tensors must cover the data exactly, without
// overlap and without holes, as the reference implementation demands; memory is taken only after that.
package safetensors

import (
	"encoding/binary"
	"errors"
	"fmt"
)

var (
	// ErrMalformed is the error for bytes that are not a valid file.
	ErrMalformed = errors.New("malformed safetensors")
	// ErrUnsupported is the error for a valid file that holds a type or a value that float32 cannot.
	ErrUnsupported = errors.New("unsupported safetensors")
)

// maxHeaderBytes is the reference implementation's limit.
const maxHeaderBytes = 100_000_000

// Tensor is an array of float32, the last axis fastest. A scalar has an empty shape and one element.
type Tensor struct {
	Shape []int
	Data  []float32
}

// File is the content of a file.
type File struct {
	Tensors  map[string]Tensor
	Metadata map[string]string // free text of the writer, kept under "__metadata__"; nil if there is none
}

// Decode reads a whole file. It keeps no reference to data.
func Decode(data []byte) (*File, error) {
	header, body, err := split(data)
	if err != nil {
		return nil, fmt.Errorf("safetensors: decode: %w", err)
	}
	entries, metadata, err := parseHeader(header)
	if err != nil {
		return nil, fmt.Errorf("safetensors: decode header: %w", err)
	}
	if err := checkLayout(entries, int64(len(body))); err != nil {
		return nil, fmt.Errorf("safetensors: decode header: %w", err)
	}
	f := &File{Tensors: make(map[string]Tensor, len(entries)), Metadata: metadata}
	for _, e := range entries {
		values, err := widen(e.dtype, body[e.begin:e.end])
		if err != nil {
			return nil, fmt.Errorf("safetensors: decode tensor %.100q: %w", e.name, err)
		}
		f.Tensors[e.name] = Tensor{Shape: e.shape, Data: values}
	}
	return f, nil
}

// split takes the file apart into header and data.
func split(data []byte) (header, body []byte, err error) {
	if len(data) < 8 {
		return nil, nil, fmt.Errorf("%w: %d bytes are no header", ErrMalformed, len(data))
	}
	n := binary.LittleEndian.Uint64(data)
	rest := data[8:]
	if n > maxHeaderBytes {
		return nil, nil, fmt.Errorf("%w: header of %d bytes, the limit is %d", ErrMalformed, n, maxHeaderBytes)
	}
	if n > uint64(len(rest)) {
		return nil, nil, fmt.Errorf("%w: header of %d bytes in a file of %d", ErrMalformed, n, len(data))
	}
	return rest[:n], rest[n:], nil
}
