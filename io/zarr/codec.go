package zarr

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"slices"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// codec is one step of packing a chunk.
type codec string

const (
	codecZstd   codec = "zstd"
	codecGzip   codec = "gzip"
	codecCRC32C codec = "crc32c"
)

// parseCodecs reads the steps from elements to bytes. The first must be "bytes", which is returned as the order of an
// element's bytes; the rest is returned in the order of packing.
func parseCodecs(list []extension, width int) (packers []codec, bigEndian bool, err error) {
	if len(list) == 0 || len(list) > 8 {
		return nil, false, fmt.Errorf("%w: %d codecs", ErrMalformed, len(list))
	}
	for _, e := range list {
		switch e.Name {
		case "bytes", "zstd", "gzip", "crc32c":
		default:
			return nil, false, fmt.Errorf("%w: codec %.40q", ErrUnsupported, e.Name)
		}
	}
	if list[0].Name != "bytes" {
		return nil, false, fmt.Errorf("%w: the first codec is %q, want bytes", ErrMalformed, list[0].Name)
	}
	bigEndian, err = parseEndian(list[0], width)
	for _, e := range list[1:] {
		if e.Name == "bytes" {
			return nil, false, fmt.Errorf("%w: codec bytes after another", ErrMalformed)
		}
		packers = append(packers, codec(e.Name))
	}
	return packers, bigEndian, err
}

// parseEndian needs an order only where an element has several bytes.
func parseEndian(e extension, width int) (big bool, err error) {
	var c struct {
		Endian *string `json:"endian"`
	}
	if err := e.configure(&c); err != nil {
		return false, err
	}
	switch {
	case c.Endian == nil && width == 1:
		return false, nil
	case c.Endian == nil:
		return false, fmt.Errorf("%w: codec bytes without endian", ErrMalformed)
	case *c.Endian != "little" && *c.Endian != "big":
		return false, fmt.Errorf("%w: endian %.20q", ErrMalformed, *c.Endian)
	}
	return *c.Endian == "big", nil
}

// zstdDecoder is shared by all readers of the process; DecodeAll may be called concurrently. It never unpacks to more than
// the memory it is given, so that a small hostile frame cannot become a large one.
var zstdDecoder = sync.OnceValue(func() *zstd.Decoder {
	d, err := zstd.NewReader(nil, zstd.WithDecodeAllCapLimit(true), zstd.WithDecoderConcurrency(0))
	if err != nil {
		panic(err) // the options are constants
	}
	return d
})

// unzstd takes the memory that the frame says it needs, as far as the limit, and the limit where it says nothing.
func unzstd(data, dst []byte, limit int) ([]byte, error) {
	var h zstd.Header
	if err := h.Decode(data); err != nil {
		return nil, err
	}
	if h.HasFCS && h.FrameContentSize > uint64(limit) {
		return nil, fmt.Errorf("frame of %d bytes, the limit is %d", h.FrameContentSize, limit)
	}
	if h.HasFCS {
		limit = int(h.FrameContentSize)
	}
	return zstdDecoder().DecodeAll(data, slices.Grow(dst, limit))
}

// packedLimit is the most bytes that packing makes of a chunk that does not compress.
func packedLimit(chunkBytes int) int { return chunkBytes + chunkBytes/64 + 4096 }

// unpack undoes the packing of a chunk into exactly its size of little-endian elements. The result may lie in the scratch
// memory, or in data.
func (l *layout) unpack(data, scratch []byte) ([]byte, error) {
	size := l.chunkBytes()
	for i, c := range slices.Backward(l.inner) {
		limit, dst := size, scratch[:0]
		if i > 0 { // packed again further in, which will need the scratch memory
			limit, dst = packedLimit(size), nil
		}
		var err error
		if data, err = unpackOne(c, data, dst, limit); err != nil {
			return nil, fmt.Errorf("%w: %s: %v", ErrMalformed, c, err)
		}
	}
	if len(data) != size {
		return nil, fmt.Errorf("%w: chunk of %d bytes, want %d", ErrMalformed, len(data), size)
	}
	if l.bigEndian {
		swap(data, l.width)
	}
	return data, nil
}

// unpackOne undoes one step into at most limit bytes, in dst if that is large enough.
func unpackOne(c codec, data, dst []byte, limit int) ([]byte, error) {
	switch c {
	case codecZstd:
		return unzstd(data, dst, limit)
	case codecGzip:
		z, err := gzip.NewReader(bytes.NewReader(data))
		if err != nil {
			return nil, err
		}
		return readAtMost(z, int64(limit))
	}
	return cutChecksum(data)
}

// cutChecksum checks and removes the crc32c codec's four bytes.
func cutChecksum(data []byte) ([]byte, error) {
	n := len(data) - 4
	if n < 0 {
		return nil, io.ErrUnexpectedEOF
	}
	if got, want := crc32.Checksum(data[:n], castagnoli), binary.LittleEndian.Uint32(data[n:]); got != want {
		return nil, fmt.Errorf("checksum %08x, want %08x", got, want)
	}
	return data[:n], nil
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// swap reverses the bytes of each element in place.
func swap(data []byte, width int) {
	for e := range slices.Chunk(data, width) {
		slices.Reverse(e)
	}
}
