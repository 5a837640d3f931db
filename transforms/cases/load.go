package cases

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"noisystudent/io/store"
)

// Options of Load.
type Options struct {
	// UnlabelledScans adds scans to those of imagesUn: a folder, a glob or a gs://
	// prefix, as Scans takes it.
	UnlabelledScans string
}

// Load finds the cases of a dataset in a folder or under a gs:// prefix. Files that
// cannot be used are returned as rejected, each with its remedy; the rest goes
// on. An error means that there is nothing to go on with: no dataset.json, one
// that asks for what is not supported, or no labelled case at all.
//
// An id belongs to one case of the whole dataset, because everything made from a
// case is kept under its id. Where sets share one, labelled goes before test and
// test before unlabelled: a test case is never trained on.
func Load(ctx context.Context, root string, o Options) (*Dataset, []Rejected, error) {
	st, err := store.Open(ctx, root)
	if err != nil {
		return nil, nil, fmt.Errorf("cases: load: %w", err)
	}
	d, raw, err := readDataset(ctx, st)
	if err != nil {
		return nil, nil, fmt.Errorf("cases: load %s: %w", st.Address("dataset.json"), err)
	}
	f := &finder{}
	for _, folder := range []struct {
		set            Set
		images, labels string
	}{{Labelled, "imagesTr", "labelsTr"}, {Test, "imagesTs", "labelsTs"}, {Unlabelled, "imagesUn", ""}} {
		if err := f.folder(ctx, st, folder.set, folder.images, folder.labels); err != nil {
			return nil, nil, fmt.Errorf("cases: load: %w", err)
		}
	}
	if o.UnlabelledScans != "" {
		more, rejected, err := Scans(ctx, o.UnlabelledScans)
		if err != nil {
			return nil, nil, err
		}
		f.cases, f.rejected = append(f.cases, more...), append(f.rejected, rejected...)
	}
	d.Cases = f.distinct()
	d.countCases(raw.NumTraining)
	if !slices.ContainsFunc(d.Cases, func(c Case) bool { return c.Set == Labelled }) {
		return d, f.sorted(), noneLabelled(st, f.rejected)
	}
	return d, f.sorted(), nil
}

func readDataset(ctx context.Context, st *store.Store) (*Dataset, *rawDataset, error) {
	info, err := st.Stat(ctx, "dataset.json")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, errors.New("there is none; a dataset is a folder in nnU-Net v2's raw layout: dataset.json, imagesTr/<case>_0000.nii.gz, labelsTr/<case>.nii.gz")
	}
	if err != nil {
		return nil, nil, err
	}
	if info.Size > maxDatasetJSON {
		return nil, nil, fmt.Errorf("it has %d bytes; a dataset.json of nnU-Net v2 has a few thousand", info.Size)
	}
	data, err := st.Read(ctx, "dataset.json")
	if err != nil {
		return nil, nil, err
	}
	d, raw, err := parseDataset(data)
	if err != nil {
		return nil, nil, err
	}
	d.Root = st.Root()
	if d.Name == "" {
		d.Name = baseName(d.Root)
	}
	return d, raw, nil
}

// countCases warns where numTraining promises other than what was found: a copy
// that broke off looks like this.
func (d *Dataset) countCases(promised *int) {
	found := 0
	for _, c := range d.Cases {
		if c.Set == Labelled {
			found++
		}
	}
	if promised != nil && *promised != found {
		d.Warnings = append(d.Warnings, fmt.Sprintf("dataset.json says numTraining %d, but %d labelled cases can be used", *promised, found))
	}
}

func noneLabelled(st *store.Store, rejected []Rejected) error {
	if len(rejected) > 0 {
		return fmt.Errorf("cases: load %s: no labelled case can be used; the first of %d refusals: %s", st.Root(), len(rejected), rejected[0].Message)
	}
	return fmt.Errorf("cases: load %s: imagesTr holds no scan; want imagesTr/<case>_0000.nii.gz and labelsTr/<case>.nii.gz", st.Root())
}

// distinct sorts the cases by set (labelled, test, unlabelled) and id, keeps the
// first of each id and rejects the others.
func (f *finder) distinct() []Case {
	slices.SortFunc(f.cases, func(a, b Case) int {
		return cmp.Or(cmp.Compare(a.Set, b.Set), cmp.Compare(a.ID, b.ID), cmp.Compare(a.Image, b.Image))
	})
	first := map[string]Case{}
	var kept []Case
	for _, c := range f.cases {
		other, taken := first[c.ID]
		switch {
		case !taken:
			first[c.ID] = c
			kept = append(kept, c)
		case other.Image != c.Image: // the same file found twice is no fault
			f.reject(c.ID, DuplicateCase, c.Image, "give it another name", fmt.Errorf("%s is a %s case of the same id", other.Image, other.Set))
		}
	}
	return kept
}

func (f *finder) sorted() []Rejected {
	slices.SortFunc(f.rejected, func(a, b Rejected) int {
		return cmp.Or(cmp.Compare(a.Case, b.Case), cmp.Compare(a.File, b.File))
	})
	return f.rejected
}
