package cases

import (
	"context"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"noisystudent/io/dicom"
	"noisystudent/io/store"
)

// Scans finds unlabelled scans by address: a folder or gs:// prefix (the scans
// directly in it), one file, the beginning of file names, or a glob with *, ? and
// [...] as path.Match has them, which may go through folders
// ("gs://pool/*/ct.nii.gz"). A scan is a NIfTI file, or a folder or .zip of DICOM
// slices, each series in it a case; slices in the addressed folder itself are such, too.
// Ids are names without ending, and without the _0000 of nnU-Net's images; where a
// folder holds several series, with # and the end of the series' UID. Files of other
// formats, ids found twice and further channels are returned as rejected; no scan at
// all is an error.
func Scans(ctx context.Context, address string) ([]Case, []Rejected, error) {
	l, err := List(ctx, address)
	if err == nil && len(l.Cases)+len(l.Rejected) == 0 {
		err = fmt.Errorf("cases: scans %s: no scan found; want .nii.gz or .nii files or folders of DICOM slices in a folder, or a quoted glob such as 'DIR/*.nii.gz'", address)
	}
	return l.Cases, l.Rejected, err
}

// Listing is what an address holds at one moment.
type Listing struct {
	Cases    []Case
	Rejected []Rejected
	Files    map[string]store.Info // of all that was looked at, by address
}

// List is Scans for a place that may be empty; it also tells the size, generation and
// time of each file.
func List(ctx context.Context, address string) (Listing, error) {
	f := &finder{infos: map[string]store.Info{}}
	files, err := f.match(ctx, address, true)
	if err != nil {
		return Listing{}, fmt.Errorf("cases: scans %s: %w", address, err)
	}
	found := f.images(files, false)
	for _, id := range slices.Sorted(maps.Keys(found)) {
		f.cases = append(f.cases, Case{ID: id, Set: Unlabelled, Image: found[id]})
	}
	return Listing{f.cases, f.sorted(), f.infos}, nil
}

// Masks finds label files by address, as Scans finds scans, for programs that have
// nothing else: predictions and references. Ids are file names without ending and
// nothing more, as label files have no channel number: t_0000.nii.gz is of case t_0000.
func Masks(ctx context.Context, address string) ([]Case, []Rejected, error) {
	f := &finder{}
	files, err := f.match(ctx, address, false)
	if err != nil {
		return nil, nil, fmt.Errorf("cases: masks %s: %w", address, err)
	}
	byID := map[string][]string{}
	for _, file := range files {
		if stem, ok := f.stem(file); ok {
			byID[stem] = append(byID[stem], file.address)
		}
	}
	found := f.single(byID, nil)
	for _, id := range slices.Sorted(maps.Keys(found)) {
		f.cases = append(f.cases, Case{ID: id, Labels: found[id]})
	}
	if len(f.cases)+len(f.rejected) == 0 {
		return nil, nil, fmt.Errorf("cases: masks %s: no label file found; want .nii.gz or .nii files in a folder", address)
	}
	return f.cases, f.sorted(), nil
}

// match lists the files that an address means, and the series where scans are meant.
func (f *finder) match(ctx context.Context, address string, scans bool) ([]file, error) {
	if at := strings.IndexAny(address, "*?["); at >= 0 {
		return f.glob(ctx, address, at, scans)
	}
	if st, err := store.Open(ctx, address); err == nil {
		infos, err := f.list(ctx, st, "")
		if err != nil {
			return nil, err
		}
		if len(infos) > 0 {
			return f.direct(ctx, st, "", infos, scans, true)
		}
	}
	root, prefix, err := store.Split(address)
	if err != nil {
		return nil, err
	}
	st, err := store.Open(ctx, root)
	if err != nil {
		return nil, err
	}
	infos, err := f.list(ctx, st, prefix)
	if err != nil {
		return nil, err
	}
	return f.direct(ctx, st, "", infos, scans, false)
}

// glob matches whole keys below the last folder before the first special character,
// and, where scans are meant, folders of slices.
func (f *finder) glob(ctx context.Context, address string, special int, scans bool) ([]file, error) {
	slash := strings.LastIndexByte(address[:special], '/')
	root, pattern := ".", address
	if slash >= 0 {
		root, pattern = address[:max(slash, 1)], address[slash+1:]
	}
	if _, err := path.Match(pattern, ""); err != nil {
		return nil, err
	}
	st, err := store.Open(ctx, root)
	if err != nil {
		return nil, err
	}
	infos, err := f.list(ctx, st, address[slash+1:special])
	if err != nil {
		return nil, err
	}
	var files []file
	folders := map[string][]store.Info{} // that match; a nil list is an archive
	for _, info := range infos {
		ok, _ := path.Match(pattern, info.Key)
		switch folder := matching(pattern, info.Key); {
		case ok && !ignored(info.Key):
			files = append(files, file{name: path.Base(info.Key), address: st.Address(info.Key)})
		case ok && dicom.IsArchive(info.Key):
			folders[info.Key] = nil
		case folder != "":
			folders[folder] = append(folders[folder], info)
		}
	}
	if !scans {
		return files, nil
	}
	for _, key := range slices.Sorted(maps.Keys(folders)) {
		found, err := f.place(ctx, st, strings.TrimSuffix(key, path.Base(key)), path.Base(key), folders[key])
		if err != nil {
			return nil, err
		}
		files = append(files, found...)
	}
	return files, nil
}

// matching is the folder above a key, if any, that has the form of the pattern.
func matching(pattern, key string) string {
	n := strings.Count(pattern, "/") + 1
	parts := strings.SplitN(key, "/", n+1)
	if len(parts) <= n {
		return ""
	}
	folder := strings.Join(parts[:n], "/")
	if ok, _ := path.Match(pattern, folder); !ok {
		return ""
	}
	return folder
}

// list lists a store, and notes the files where somebody wants to know them.
func (f *finder) list(ctx context.Context, st *store.Store, prefix string) ([]store.Info, error) {
	infos, err := st.List(ctx, prefix)
	if f.infos != nil {
		for _, info := range infos {
			f.infos[st.Address(info.Key)] = info
		}
	}
	return infos, err
}
