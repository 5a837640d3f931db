package dicom

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"noisystudent/io/store"
)

// Place is where the slices of series lie: a folder with all below it, a bucket's
// prefix, or a zip archive.
type Place struct {
	address string
	info    store.Info // of all its files together
	files   []file
	headers []*header // nil until they are read
}

// file is one file of a place.
type file struct {
	name string // below the place
	size int64
	// read returns n bytes from off on.
	read func(ctx context.Context, off, n int64) ([]byte, error)
}

// Folder is the place of objects of a store that were listed already, all with keys
// that begin with the folder's and a slash; the folder is "" for the root.
func Folder(st *store.Store, folder string, infos []store.Info) *Place {
	p := &Place{address: st.Address(folder)}
	if folder == "" {
		p.address = st.Root()
	}
	var candidates []store.Info
	for _, info := range infos {
		if !Candidate(info.Key) {
			continue
		}
		candidates = append(candidates, info)
		p.files = append(p.files, file{
			name: strings.TrimPrefix(strings.TrimPrefix(info.Key, folder), "/"), size: info.Size,
			read: func(ctx context.Context, off, n int64) ([]byte, error) { return st.ReadRange(ctx, info.Key, off, n) },
		})
	}
	p.info = together(candidates)
	return p
}

// together describes files as one: any change to one of them, or to their number,
// changes size, generation or time.
func together(infos []store.Info) store.Info {
	var sum store.Info
	h := sha256.New()
	for _, info := range infos {
		sum.Size += info.Size
		if info.ModTime.After(sum.ModTime) {
			sum.ModTime = info.ModTime
		}
		fmt.Fprintf(h, "%q %d %d\n", info.Key, info.Size, info.Generation)
	}
	sum.Generation = max(int64(binary.LittleEndian.Uint64(h.Sum(nil))>>1), 1)
	return sum
}

// Open finds the place of an address, which may name one of its series. A folder whose
// name ends in "/." is meant without the folders below it. One without files is
// fs.ErrNotExist.
func Open(ctx context.Context, address string) (*Place, error) {
	if place, _, ok := Cut(address); ok {
		address = place
	}
	if IsArchive(address) {
		return Archive(ctx, address)
	}
	folder, flat := strings.CutSuffix(address, "/.")
	st, err := store.Open(ctx, folder)
	if err != nil {
		return nil, err
	}
	infos, err := st.List(ctx, "")
	if err != nil {
		return nil, err
	}
	if flat {
		infos = slices.DeleteFunc(infos, func(info store.Info) bool { return strings.Contains(info.Key, "/") })
	}
	p := Folder(st, "", infos)
	if len(p.files) == 0 {
		return nil, fmt.Errorf("dicom: open %s: no files: %w", address, fs.ErrNotExist)
	}
	return p, nil
}

// Info describes all files of the place together, so that a slice that is added,
// replaced or still growing shows. Its key is empty.
func (p *Place) Info() store.Info { return p.info }
