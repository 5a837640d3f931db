package dicom

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

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

// Address names one series of a place.
func Address(place, series string) string { return place + "#" + series }

var uidPattern = regexp.MustCompile(`^[0-9.]{1,64}$`)

// Cut takes the address of a series apart; false where it is none.
func Cut(address string) (place, series string, ok bool) {
	at := strings.LastIndexByte(address, '#')
	if at < 1 || !uidPattern.MatchString(address[at+1:]) {
		return "", "", false
	}
	return address[:at], address[at+1:], true
}

// IsArchive reports whether a name is that of a zip archive.
func IsArchive(name string) bool { return strings.EqualFold(path.Ext(name), ".zip") }

// Candidate reports whether the file at a key may be a slice. Only content tells, so
// that it is any file whose name does not say that it is something else.
func Candidate(key string) bool {
	for element := range strings.SplitSeq(key, "/") {
		if strings.HasPrefix(element, ".") || strings.EqualFold(path.Ext(element), ".zarr") {
			return false
		}
	}
	name := path.Base(key)
	return !strings.EqualFold(name, "DICOMDIR") && !slices.Contains(others, strings.ToLower(path.Ext(name)))
}

// others are endings of what lies beside slices: reports, viewers, other images, and
// files that are still being written.
var others = strings.Fields(`.txt .md .json .xml .csv .tsv .xls .xlsx .doc .docx .pdf .htm .html .css .js .log .yaml .yml .ini .inf .cfg
	.exe .dll .jar .class .bat .sh .py .go .db .lnk .jpg .jpeg .png .gif .bmp .ico .svg .tif .tiff .avi .mp4
	.nii .gz .zip .7z .rar .tar .tgz .xz .bz2 .zst .nrrd .nhdr .mha .mhd .mgz .b2nd .npy .npz .mat .stl .safetensors .parquet
	.part .partial .tmp .crdownload`)

// meant reports whether a file that does not begin as a slice is a damaged one rather
// than something else: it is named like slices, or empty as a broken copy leaves it.
func (f file) meant() bool {
	name := path.Base(f.name)
	return slices.Contains([]string{".dcm", ".dicom", ".ima"}, strings.ToLower(path.Ext(name))) ||
		f.size == 0 && strings.ContainsAny(name, "0123456789")
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

// Exists reports whether the series of an address has slices in its place.
func Exists(ctx context.Context, address string) (bool, error) {
	p, err := Open(ctx, address)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	_, series, _ := Cut(address)
	list, err := p.Series(ctx)
	return slices.Contains(list, series), err
}

// Digest returns the sha256, in hex, of the sorted sums of a series' files: the same
// slices under other names, or packed, have the same.
func (p *Place) Digest(ctx context.Context, series string) (string, error) {
	list, err := p.series(ctx, series)
	if err != nil {
		return "", fmt.Errorf("dicom: digest: %w", err)
	}
	sums := make([]string, len(list))
	err = each(len(list), sliceReaders, func(i int) error {
		b, err := list[i].file.read(ctx, 0, list[i].file.size)
		sums[i] = fmt.Sprintf("%x", sha256.Sum256(b))
		return err
	})
	if err != nil {
		return "", fmt.Errorf("dicom: digest: %w", err)
	}
	slices.Sort(sums)
	return fmt.Sprintf("%x", sha256.Sum256([]byte(strings.Join(sums, "\n")))), nil
}

// Info describes all files of the place together, so that a slice that is added,
// replaced or still growing shows. Its key is empty.
func (p *Place) Info() store.Info { return p.info }

// Series returns the instance UIDs of the series that have slices here, ascending.
// Files that are not DICOM are passed over; where no other is there the list is empty.
func (p *Place) Series(ctx context.Context) ([]string, error) {
	if err := p.readHeaders(ctx); err != nil {
		return nil, fmt.Errorf("dicom: read %s: %w", p.address, err)
	}
	found := map[string]bool{}
	for _, h := range p.headers {
		if h.series != "" {
			found[h.series] = true
		}
	}
	if fault := p.unknown(); len(found) == 0 && fault != nil {
		return nil, fmt.Errorf("dicom: read %s: %w", p.address, fault)
	}
	return slices.Sorted(maps.Keys(found)), nil
}

// unknown is what is wrong with a file whose series cannot be told; nil where each
// file tells its own.
func (p *Place) unknown() error {
	for _, h := range p.headers {
		if h.series == "" {
			return h.fault
		}
	}
	return nil
}

// headerReaders is how many headers are read at once: a bucket answers in tens of
// milliseconds.
const headerReaders = 16

// readHeaders reads the headers of all files, unless this process knows them.
func (p *Place) readHeaders(ctx context.Context) error {
	if p.headers == nil {
		p.headers = known.get(p)
	}
	if p.headers != nil {
		return nil
	}
	headers := make([]*header, len(p.files))
	err := each(len(p.files), headerReaders, func(i int) error {
		h, err := readHeader(ctx, p.files[i])
		if errors.Is(err, errNotDICOM) {
			if f := p.files[i]; f.meant() {
				headers[i] = &header{file: f, fault: fmt.Errorf("%s: %w: it does not begin as a DICOM file", f.name, ErrTruncated)}
			}
			return nil
		}
		if err == nil && !uidPattern.MatchString(h.series) {
			h.fault = cmp.Or(h.fault, fmt.Errorf("%s: %w: SeriesInstanceUID is %.70q", h.file.name, ErrHeader, h.series))
			h.series = ""
		}
		headers[i] = h
		return err
	})
	if err != nil {
		return err
	}
	headers = slices.DeleteFunc(headers, func(h *header) bool { return h == nil })
	if !slices.ContainsFunc(headers, func(h *header) bool { return h.begun }) {
		headers = []*header{} // nothing here is DICOM, whatever the names say
	}
	p.headers = headers
	known.put(p)
	return nil
}

// series returns the headers of one series, or of the only one where series is empty.
// A file whose series cannot be told is held against each: a slice may be missing.
func (p *Place) series(ctx context.Context, series string) ([]*header, error) {
	list, err := p.Series(ctx)
	switch {
	case err != nil:
		return nil, err
	case len(list) == 0 || series != "" && !slices.Contains(list, series):
		return nil, fmt.Errorf("%w: %s", ErrNone, series)
	case series == "" && len(list) > 1:
		return nil, fmt.Errorf("%w: %s", ErrSeveral, strings.Join(list, ", "))
	case series == "":
		series = list[0]
	}
	if fault := p.unknown(); fault != nil {
		return nil, fmt.Errorf("%w; it may be a slice of this series", fault)
	}
	var mine []*header
	for _, h := range p.headers {
		if h.series != series {
			continue
		}
		if h.fault != nil {
			return nil, h.fault
		}
		mine = append(mine, h)
	}
	return mine, nil
}

// each calls f for 0 to n-1, so many at once, and returns the error of the lowest. After
// an error it begins no more.
func each(n, at int, f func(i int) error) error {
	errs := make([]error, n)
	var failed atomic.Bool
	var group sync.WaitGroup
	slots := make(chan struct{}, at)
	for i := 0; i < n && !failed.Load(); i++ {
		slots <- struct{}{}
		group.Go(func() {
			defer func() { <-slots }()
			if errs[i] = f(i); errs[i] != nil {
				failed.Store(true)
			}
		})
	}
	group.Wait()
	return cmp.Or(errs...)
}
