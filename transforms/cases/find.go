package cases

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"noisystudent/io/dicom"
	"noisystudent/io/store"
)

// stageLoad is the stage that files are refused at before any is opened.
const stageLoad = "load"

// finder collects cases and refused files.
type finder struct {
	cases    []Case
	rejected []Rejected
	refused  map[string]bool       // ids of rejected
	infos    map[string]store.Info // by address; nil: nobody asks
}

func (f *finder) reject(id string, kind Kind, file, remedy string, cause error) {
	if f.refused == nil {
		f.refused = map[string]bool{}
	}
	f.refused[id] = true
	r, _ := Reject(id, stageLoad, &Fault{Kind: kind, File: file, Remedy: remedy, Err: cause})
	f.rejected = append(f.rejected, r)
}

// file is one object that may be a scan or labels, or a series of slices.
type file struct {
	name    string // last element of the key; of a series, the name of its place
	address string
	series  bool
}

// folder adds the cases of one of the dataset's image folders, with their labels.
func (f *finder) folder(ctx context.Context, st *store.Store, set Set, images, labels string) error {
	scans, err := f.files(ctx, st, images, true)
	if err != nil {
		return err
	}
	found := f.images(scans, set != Unlabelled)
	masks := map[string]string{}
	if labels != "" {
		files, err := f.files(ctx, st, labels, false)
		if err != nil {
			return err
		}
		masks = f.labels(files, found)
	}
	for _, id := range slices.Sorted(maps.Keys(found)) {
		c := Case{ID: id, Set: set, Image: found[id], Labels: masks[id]}
		if set == Labelled && c.Labels == "" {
			f.reject(id, Missing, st.Address(labels+"/"+id+".nii.gz"), "add the labels, or move the image to imagesUn/", nil)
			continue
		}
		f.cases = append(f.cases, c)
	}
	return nil
}

// files lists a folder's images and refuses what lies in folders below it.
func (f *finder) files(ctx context.Context, st *store.Store, folder string, scans bool) ([]file, error) {
	infos, err := st.List(ctx, folder+"/")
	if err != nil {
		return nil, err
	}
	return f.direct(ctx, st, folder+"/", infos, scans, false)
}

// direct keeps the files that lie in a folder, "" or with a slash at its end, and,
// where scans are looked for, series of slices. It refuses each other folder that holds
// images or is named like one, once.
func (f *finder) direct(ctx context.Context, st *store.Store, folder string, infos []store.Info, scans, loose bool) (files []file, err error) {
	refused := map[string]bool{} // folders that are done with
	if scans {
		if files, refused, err = f.series(ctx, st, folder, infos, loose); err != nil {
			return nil, err
		}
	}
	for _, info := range infos {
		key := strings.TrimPrefix(info.Key, folder)
		address := func(name string) string { return st.Address(folder + name) }
		below, _, nested := strings.Cut(key, "/")
		switch {
		case refused[below] && nested, refused["."] && !nested && dicom.Candidate(key):
		case nested && !ignored(below): // it has the name of a scan
			refused[below] = true
			f.reject(folderID(below), UnsupportedType, address(below), "put the file itself in its place", errors.New("it is a folder"))
		case nested && scans && dicom.IsArchive(key):
			refused[below] = true
			f.reject(below, UnsupportedType, address(key), "move archives of slices one folder up", errors.New("it lies in a folder"))
		case ignored(key):
		case !nested:
			files = append(files, file{name: key, address: address(key)})
		default:
			refused[below] = true
			f.reject(below, UnsupportedType, address(below), "put the slices of a CT series there, or move NIfTI files one folder up",
				errors.New("the folder holds images that are no DICOM slices"))
		}
	}
	return files, nil
}

// folderID is the id that a folder's name would give a scan.
func folderID(name string) string {
	stem := strings.TrimSuffix(name, path.Ext(name))
	if cut, ok := cutEnding(name); ok {
		stem = cut
	}
	if id, _, numbered := cutChannel(stem); numbered {
		return id
	}
	return stem
}

// images maps case ids to their one image. In nnU-Net's own folders (strict) every
// name ends in a channel number. Elsewhere a scan may have any name: _0000 is cut
// off, and another number is a further channel only beside a _0000 of the same stem.
func (f *finder) images(files []file, strict bool) map[string]string {
	byID, channels := map[string][]string{}, map[string]string{}
	first := firstChannels(files)
	for _, file := range files {
		stem, ok := f.stem(file)
		if !ok {
			continue
		}
		id, channel, numbered := cutChannel(stem)
		switch {
		case numbered && channel == "0000":
			byID[id] = append(byID[id], file.address)
		case numbered && (strict || first[id]):
			channels[id] = file.address
		case strict:
			f.reject(stem, Missing, file.address, "name the image "+stem+"_0000"+file.ending(), errors.New("the name has no channel number"))
		default:
			byID[stem] = append(byID[stem], file.address)
		}
	}
	return f.single(byID, channels)
}

// single refuses ids with several files or channels.
func (f *finder) single(byID map[string][]string, channels map[string]string) map[string]string {
	found := map[string]string{}
	for id, addresses := range byID {
		switch {
		case len(addresses) > 1:
			f.reject(id, DuplicateCase, addresses[0], "keep one of the files", fmt.Errorf("also %s", strings.Join(addresses[1:], ", ")))
		case channels[id] != "":
			f.reject(id, SeveralChannels, channels[id], "keep one channel, "+id+"_0000.nii.gz", nil)
		default:
			found[id] = addresses[0]
		}
	}
	for id, address := range channels {
		if byID[id] == nil {
			f.reject(id, Missing, address, "name the only channel "+id+"_0000.nii.gz", errors.New("there is no channel _0000"))
		}
	}
	return found
}

// labels maps case ids to their one label file. A case with two is taken out of
// the images, as nobody can say which are right.
func (f *finder) labels(files []file, images map[string]string) map[string]string {
	byID := map[string][]string{}
	for _, file := range files {
		if stem, ok := f.stem(file); ok {
			byID[stem] = append(byID[stem], file.address)
		}
	}
	found := map[string]string{}
	for id, addresses := range byID {
		switch {
		case f.refused[id]: // its image was
		case images[id] == "":
			f.reject(id, Missing, addresses[0], "add the image "+id+"_0000.nii.gz or remove the labels", errors.New("labels without an image"))
		case len(addresses) > 1:
			f.reject(id, DuplicateCase, addresses[0], "keep one of the files", fmt.Errorf("also %s", strings.Join(addresses[1:], ", ")))
			delete(images, id)
		default:
			found[id] = addresses[0]
		}
	}
	return found
}

// ending is what the names of such files end in.
func (f file) ending() string {
	if f.series {
		return ""
	}
	return ".nii.gz"
}

// stem returns a NIfTI file's name without its ending, or the name of a series, or
// refuses the file.
func (f *finder) stem(file file) (string, bool) {
	stem, ok := cutEnding(file.name)
	if file.series {
		stem, ok = file.name, true
	}
	if !ok {
		id := strings.TrimSuffix(file.name, path.Ext(file.name))
		if cut, _, numbered := cutChannel(id); numbered {
			id = cut
		}
		remedy := "convert it to .nii.gz"
		if dicom.Candidate(file.name) {
			remedy = "put the slices of each CT series into a folder of their own"
		}
		f.reject(id, UnsupportedType, file.address, remedy, nil)
		return "", false
	}
	if err := CheckID(stem); err != nil {
		f.reject(fmt.Sprintf("%.40q", stem), BadName, file.address, "rename the file", err)
		return "", false
	}
	return stem, true
}

// firstChannels are the ids that have an image <id>_0000.
func firstChannels(files []file) map[string]bool {
	found := map[string]bool{}
	for _, file := range files {
		stem, ok := cutEnding(file.name)
		if file.series {
			stem, ok = file.name, true
		}
		if ok {
			if id, channel, ok := cutChannel(stem); ok && channel == "0000" {
				found[id] = true
			}
		}
	}
	return found
}
