package cases

import (
	"context"
	"maps"
	"path"
	"slices"
	"strings"

	"noisystudent/io/dicom"
	"noisystudent/io/store"
)

// series finds the DICOM series of a folder: each folder below it, with all that lies
// deeper, and each archive in it are a place of series. Loose slices that lie in the
// folder itself count where loose is set. It returns the names of the places beside
// the series, for nothing else is looked for in them.
func (f *finder) series(ctx context.Context, st *store.Store, folder string, infos []store.Info, loose bool) ([]file, map[string]bool, error) {
	var files []file
	places := map[string]bool{}
	below := map[string][]store.Info{} // by name; "." is the folder itself
	for _, info := range infos {
		name, _, nested := strings.Cut(strings.TrimPrefix(info.Key, folder), "/")
		switch {
		case strings.HasPrefix(name, "."):
		case nested:
			below[name] = append(below[name], info)
		case dicom.IsArchive(name):
			below[name] = nil
		case loose && dicom.Candidate(name):
			below["."] = append(below["."], info)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(below)) {
		found, err := f.place(ctx, st, folder, name, below[name])
		if err != nil {
			return nil, nil, err
		}
		places[name] = found != nil
		files = append(files, found...)
	}
	return files, places, nil
}

// place finds the series of one place. It returns nil where there is nothing of DICOM,
// and nothing that had to be refused.
func (f *finder) place(ctx context.Context, st *store.Store, folder, name string, infos []store.Info) ([]file, error) {
	address, called := st.Address(folder+name), name
	var p *dicom.Place
	var err error
	switch {
	case infos == nil:
		called = strings.TrimSuffix(name, path.Ext(name))
		p, err = dicom.Archive(ctx, address)
	case name == ".":
		address, called = st.Root()+"/.", baseName(st.Root())
		p = dicom.Folder(st, "", infos)
	default:
		p = dicom.Folder(st, folder+name, infos)
	}
	var list []string
	if err == nil {
		list, err = p.Series(ctx)
	}
	if err == nil && len(list) == 0 && infos == nil {
		err = dicom.ErrNone
	}
	switch {
	case err == nil:
		return f.named(address, called, list, p.Info()), nil
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case store.Systemic(err):
		return nil, err
	}
	fault := FaultOf(address, err)
	f.reject(folderID(called), fault.Kind, address, fault.Remedy, err)
	if p != nil && f.infos != nil {
		f.infos[address] = p.Info()
	}
	return []file{}, nil
}

// named gives each series of a place the name of its case: that of the place, and
// where there are several the end of the series' UID.
func (f *finder) named(address, called string, list []string, info store.Info) []file {
	var files []file
	for i, uid := range list {
		name := called
		if len(list) > 1 {
			id, channel, numbered := cutChannel(called)
			if !numbered {
				id = called
			}
			if name = id + "#" + suffixes(list)[i]; numbered {
				name += "_" + channel
			}
		}
		file := file{name: name, address: dicom.Address(address, uid), series: true}
		if f.infos != nil {
			f.infos[file.address] = info
		}
		files = append(files, file)
	}
	return files
}

// suffixes are the last characters of UIDs, as few as tell them apart but six.
func suffixes(list []string) []string {
	ends := make([]string, len(list))
	for n := 6; ; n++ {
		seen := map[string]bool{}
		for i, uid := range list {
			ends[i] = uid[max(len(uid)-n, 0):]
			seen[ends[i]] = true
		}
		if len(seen) == len(list) {
			return ends
		}
	}
}

// isSeries reports whether an image is a DICOM series.
func isSeries(image string) bool {
	_, _, ok := dicom.Cut(image)
	return ok
}
