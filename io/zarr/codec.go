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

// codecPool keeps what unpacking reuses: one zstd decoder, which many goroutines share, made on first use and held to
// the size of a chunk so that a small hostile frame cannot unpack to more.
type codecPool struct {
	once sync.Once
	zstd *zstd.Decoder
	err  error
}

func (p *codecPool) decoder(limit int) (*zstd.Decoder, error) {
	p.once.Do(func() {
		p.zstd, p.err = zstd.NewReader(nil, zstd.WithDecoderMaxMemory(uint64(limit)), zstd.WithDecoderConcurrency(0))
	})
	return p.zstd, p.err
}

// unzstd trusts the frame's content size, as far as the limit, for its one allocation. The most is the same at every call.
func (p *codecPool) unzstd(data, dst []byte, limit, most int) ([]byte, error) {
	d, err := p.decoder(most)
	if err != nil {
		return nil, err
	}
	var h zstd.Header
	if err := h.Decode(data); err != nil {
		return nil, err
	}
	if h.HasFCS && h.FrameContentSize > uint64(limit) {
		return nil, fmt.Errorf("frame of %d bytes, the limit is %d", h.FrameContentSize, limit)
	}
	if h.HasFCS {
		dst = slices.Grow(dst, int(h.FrameContentSize))
	}
	return d.DecodeAll(data, dst)
}

// packedLimit is the most bytes that packing makes of a chunk that does not compress.
func packedLimit(chunkBytes int) int { return chunkBytes + chunkBytes/64 + 4096 }

// unpack undoes the packing of a chunk into exactly its size of little-endian elements. The result may lie in the scratch
// memory, or in data.
func (l *layout) unpack(p *codecPool, data, scratch []byte) ([]byte, error) {
	size := l.chunkBytes()
	for i, c := range slices.Backward(l.inner) {
		limit, dst := size, scratch[:0]
		if i > 0 { // packed again further in, which will need the scratch memory
			limit, dst = packedLimit(size), nil
		}
		var err error
		if data, err = l.unpackOne(p, c, data, dst, limit); err != nil {
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
func (l *layout) unpackOne(p *codecPool, c codec, data, dst []byte, limit int) ([]byte, error) {
	switch c {
	case codecZstd:
		return p.unzstd(data, dst, limit, packedLimit(l.chunkBytes()))
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
