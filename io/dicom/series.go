package dicom

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

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
