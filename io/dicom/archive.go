package dicom

import (
	"archive/zip"
	"bufio"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"math"
	"path"
	"strings"

	"github.com/klauspost/compress/flate"

	"noisystudent/io/store"
)

// maxDirectory bounds an archive's list of files, in bytes; a file takes some hundred.
// maxExpansion bounds what one may hold of its compressed bytes: deflate reaches 1032:1.
const (
	maxDirectory = 16 << 20
	maxExpansion = 1040
)

// Archive is the place of a zip archive. Nothing is unpacked: slices are read where
// they lie, no further than their own size says, so that what else the archive claims
// to hold costs nothing.
func Archive(ctx context.Context, address string) (*Place, error) {
	root, key, err := store.Split(address)
	if err != nil {
		return nil, err
	}
	st, err := store.Open(ctx, root)
	if err != nil {
		return nil, err
	}
	info, err := st.Stat(ctx, key)
	if err != nil {
		return nil, err
	}
	p := &Place{address: address, info: info}
	source := &ranges{ctx: ctx, st: st, key: key, size: info.Size, left: maxDirectory}
	z, err := zip.NewReader(source, info.Size)
	source.left = math.MaxInt64
	if err == nil {
		err = checkEntries(z, info.Size)
	}
	if err != nil {
		return nil, fmt.Errorf("dicom: open %s: %w", address, archiveError(err))
	}
	for _, f := range z.File {
		if f.Mode().IsRegular() && Candidate(f.Name) {
			p.files = append(p.files, entry(f))
		}
	}
	return p, nil
}

// checkEntries refuses an archive that was not made by packing files.
func checkEntries(z *zip.Reader, size int64) error {
	var packed uint64
	for _, f := range z.File {
		name, folder := strings.CutSuffix(f.Name, "/")
		if !fs.ValidPath(name) || strings.ContainsAny(name, "\\:") {
			return fmt.Errorf("%w: the name %.60q leads out of it", ErrArchive, f.Name)
		}
		if !folder && !f.Mode().IsRegular() {
			return fmt.Errorf("%w: %s is a link, or no file either", ErrArchive, path.Base(name))
		}
		if f.UncompressedSize64 > maxExpansion*f.CompressedSize64+maxExpansion {
			return fmt.Errorf("%w: %s claims %d bytes from %d", ErrArchive, path.Base(name), f.UncompressedSize64, f.CompressedSize64)
		}
		if packed += f.CompressedSize64; packed > uint64(size) {
			return fmt.Errorf("%w: its files overlap", ErrArchive)
		}
	}
	return nil
}

// entry is one file of an archive. Reading from an offset unpacks what lies before.
// All but the reading of a mere beginning go on to the end, where the sum of all bytes
// is checked.
func entry(f *zip.File) file {
	size := int64(f.UncompressedSize64)
	return file{name: f.Name, size: size, read: func(_ context.Context, off, n int64) ([]byte, error) {
		data, err := unpack(f, off, n)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.Name, archiveError(err))
		}
		return data, nil
	}}
}

func unpack(f *zip.File, off, n int64) ([]byte, error) {
	raw, err := f.OpenRaw()
	if err != nil {
		return nil, err
	}
	r := io.Reader(bufio.NewReaderSize(raw, pieceBytes))
	switch f.Method {
	case zip.Store:
	case zip.Deflate:
		r = flate.NewReader(r)
	default:
		return nil, fmt.Errorf("%w: compression method %d: pack it with deflate", ErrArchive, f.Method)
	}
	sum := crc32.NewIEEE()
	r = io.TeeReader(io.LimitReader(r, int64(f.UncompressedSize64)), sum)
	if _, err := io.CopyN(io.Discard, r, off); err != nil {
		return nil, err
	}
	data := make([]byte, n)
	if _, err := io.ReadFull(r, data); err != nil || off == 0 && n < int64(f.UncompressedSize64) {
		return data, err
	}
	if _, err := io.Copy(io.Discard, r); err != nil {
		return nil, err
	}
	if sum.Sum32() != f.CRC32 {
		return nil, fmt.Errorf("%w: the checksum is wrong", ErrArchive)
	}
	return data, nil
}

// archiveError types what a damaged archive returns; errors of the place pass.
func archiveError(err error) error {
	var place *placeError
	if errors.Is(err, ErrArchive) || errors.As(err, &place) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrArchive, err)
}

// pieceBytes is how much of an entry is asked for at a time.
const pieceBytes = 128 << 10

// ranges reads an object at any place, for several goroutines.
type ranges struct {
	ctx  context.Context
	st   *store.Store
	key  string
	size int64
	left int64 // bytes that may be read, while there is one reader
}

func (r *ranges) ReadAt(p []byte, off int64) (int, error) {
	n := min(int64(len(p)), r.size-off)
	if off < 0 || n <= 0 {
		return 0, io.EOF
	}
	if r.left < math.MaxInt64 {
		if r.left -= n; r.left < 0 {
			return 0, fmt.Errorf("%w: its list of files has more than %d bytes", ErrArchive, maxDirectory)
		}
	}
	data, err := r.st.ReadRange(r.ctx, r.key, off, n)
	if err != nil {
		return 0, &placeError{err}
	}
	copy(p, data)
	if n < int64(len(p)) {
		return int(n), io.EOF
	}
	return int(n), nil
}

// placeError is trouble of the store, which says nothing about the archive.
type placeError struct{ error }

func (e *placeError) Unwrap() error { return e.error }
