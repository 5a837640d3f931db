package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"syscall"
)

// local keeps objects as files of a folder.
type local struct {
	root string // absolute and clean
}

func openLocal(root string) (*local, error) {
	root, err := filepath.Abs(root)
	if err != nil {
		return nil, err
	}
	if info, err := os.Stat(root); err == nil && !info.IsDir() {
		return nil, fmt.Errorf("%w: not a folder", syscall.ENOTDIR)
	}
	return &local{root: root}, nil
}

func (l *local) address(key string) string { return filepath.Join(l.root, filepath.FromSlash(key)) }

func (l *local) open(_ context.Context, key string, off, n int64) (io.ReadCloser, int64, error) {
	if _, err := l.file(key); err != nil {
		return nil, 0, err
	}
	f, err := os.Open(l.address(key))
	if err != nil {
		return nil, 0, cause(err)
	}
	r, n, err := section(f, off, n)
	if err != nil {
		f.Close()
		return nil, 0, err
	}
	return r, n, nil
}

// section asks the open file for its size, since the name may already be another file's. For the whole object it is
// the file itself.
func section(f *os.File, off, n int64) (io.ReadCloser, int64, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, 0, cause(err)
	}
	n, err = checkRange(info.Size(), off, n)
	if err != nil {
		return nil, 0, err
	}
	if off == 0 && n == info.Size() {
		return f, n, nil
	}
	return struct {
		io.Reader
		io.Closer
	}{io.NewSectionReader(f, off, n), f}, n, nil
}

// file describes the regular file of a key, through links. A folder is no object, and opening a pipe would wait for ever.
func (l *local) file(key string) (fs.FileInfo, error) {
	info, err := os.Stat(l.address(key))
	if err != nil {
		return nil, cause(err)
	}
	if info.IsDir() {
		return nil, fs.ErrNotExist
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("not a regular file: %s", info.Mode().Type())
	}
	return info, nil
}

func (l *local) stat(_ context.Context, key string) (Info, error) {
	info, err := l.file(key)
	if err != nil {
		return Info{}, err
	}
	return localInfo(key, info), nil
}

func localInfo(key string, info fs.FileInfo) Info {
	return Info{Key: key, Size: info.Size(), Generation: generationOf(info), ModTime: info.ModTime()}
}

// generationOf is the modification time in nanoseconds. Archives unpack files dated 1970, and 0 means "no object".
func generationOf(info fs.FileInfo) int64 { return max(info.ModTime().UnixNano(), 1) }

func (l *local) remove(_ context.Context, key string) error {
	root, err := os.OpenRoot(l.root)
	if err != nil {
		return cause(err)
	}
	defer root.Close()
	info, err := root.Lstat(key)
	if err != nil {
		return cause(err)
	}
	if info.IsDir() {
		return fs.ErrNotExist
	}
	if err := cause(root.Remove(key)); err != nil {
		return err
	}
	// Folders that held nothing else go too: a bucket has none. One that is not empty refuses.
	for folder := path.Dir(key); folder != "." && root.Remove(folder) == nil; folder = path.Dir(folder) {
	}
	return nil
}

// cause drops the path from an error of package os, because the caller names the address, and calls a key below a file
// missing, as it is in a bucket.
func cause(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		err = p.Err
	}
	if errors.Is(err, syscall.ENOTDIR) {
		return fs.ErrNotExist
	}
	return err
}
