package nifti

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/gzip"
)

// stream is the decompressed byte stream of a file.
type stream struct {
	r      io.Reader
	source *source
	gzip   bool
	size   int64 // bytes of the file as stored, -1 where the reader cannot tell
}

// source remembers why its reader failed, so that a lost connection is not taken
// for a damaged file: HTTP reports both as an unexpected end.
type source struct {
	io.Reader
	err error
}

func (s *source) Read(b []byte) (int, error) {
	n, err := s.Reader.Read(b)
	if err != nil && err != io.EOF {
		s.err = err
	}
	return n, err
}

// newStream recognises gzip by its first bytes.
func newStream(r io.Reader) (*stream, error) {
	s := &stream{size: sizeOf(r), source: &source{Reader: r}}
	buffered := bufio.NewReaderSize(s.source, 1<<16)
	first, err := buffered.Peek(2)
	if err != nil && err != io.EOF {
		return nil, err
	}
	s.r = buffered
	if len(first) == 2 && first[0] == 0x1f && first[1] == 0x8b {
		z, err := gzip.NewReader(buffered)
		if err != nil {
			return nil, s.explain(err)
		}
		s.r, s.gzip = z, true
	}
	return s, nil
}

// sizeOf returns how many bytes r still holds, where it can tell.
func sizeOf(r io.Reader) int64 {
	switch r := r.(type) {
	case interface{ Len() int }:
		return int64(r.Len())
	case interface {
		io.Seeker
		Stat() (fs.FileInfo, error)
	}:
		info, err := r.Stat()
		if err != nil || !info.Mode().IsRegular() {
			return -1
		}
		at, err := r.Seek(0, io.SeekCurrent)
		if err != nil {
			return -1
		}
		return info.Size() - at
	}
	return -1
}

// maxExpansion is above what deflate can reach: 258 bytes from 2 bits, 1032:1.
const maxExpansion = 1040

// checkSize compares a declared size with the file's, where that is known, before
// any memory is taken.
func (s *stream) checkSize(offset, data int64) error {
	declared := offset + data
	switch {
	case s.size < 0:
		return nil
	case s.gzip && declared/maxExpansion > s.size:
		return fmt.Errorf("%w: %d compressed bytes cannot hold the declared %d", ErrTruncated, s.size, declared)
	case !s.gzip && declared > s.size:
		return fmt.Errorf("%w: the file has %d bytes of the declared %d", ErrTruncated, s.size, declared)
	case !s.gzip && declared < s.size:
		return fmt.Errorf("%w: the file has %d bytes, the header declares %d", ErrMismatch, s.size, declared)
	}
	return nil
}

// exact reports whether checkSize has proven that the voxels are all there.
func (s *stream) exact() bool { return s.size >= 0 && !s.gzip }

// read fills buf or fails.
func (s *stream) read(buf []byte) error {
	_, err := io.ReadFull(s.r, buf)
	return s.explain(err)
}

// skip discards n bytes.
func (s *stream) skip(n int64) error {
	_, err := io.CopyN(io.Discard, s.r, n)
	return s.explain(err)
}

// finish reads the end of the stream: where gzip checks its sum, and where
// nothing may follow the voxels.
func (s *stream) finish() error {
	var one [1]byte
	n, err := io.ReadFull(s.r, one[:])
	switch {
	case n > 0:
		return fmt.Errorf("%w: there are bytes after the last declared voxel", ErrMismatch)
	case err == io.EOF:
		return nil
	case errors.Is(err, gzip.ErrHeader):
		return fmt.Errorf("%w: there are bytes after the gzip stream", ErrMismatch)
	}
	return s.explain(err)
}

// explain types what a short or broken stream returns. Errors of the source
// itself pass: they say nothing about the file.
func (s *stream) explain(err error) error {
	var corrupt flate.CorruptInputError
	var internal flate.InternalError
	switch {
	case err == nil:
		return nil
	case s.source.err != nil:
		return s.source.err
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("%w: unexpected end of data", ErrTruncated)
	case errors.Is(err, gzip.ErrChecksum), errors.Is(err, gzip.ErrHeader),
		errors.As(err, &corrupt), errors.As(err, &internal):
		return fmt.Errorf("%w: %w", ErrTruncated, err)
	}
	return err
}
