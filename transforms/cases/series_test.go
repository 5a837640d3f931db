package cases

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/suyashkumar/dicom/pkg/tag"

	"noisystudent/io/dicom/dicomtest"
	"noisystudent/io/nifti"
	"noisystudent/io/store"
	"noisystudent/io/store/storetest"
)

// slicesOf are the files of a small series.
func slicesOf(uid string) [][]byte {
	s := dicomtest.Series{
		UID: uid, Shape: [3]int{3, 4, 5}, Spacing: [3]float64{5, 0.8, 0.8},
		Value: func(z, y, x int) int { return 100*z + 10*y + x + 1 },
	}
	var files [][]byte
	for _, slice := range s.Slices() {
		files = append(files, slice.Bytes())
	}
	return files
}

// series puts slices into objects below a name.
func series(objects map[string][]byte, name, uid string) {
	for i, b := range slicesOf(uid) {
		objects[fmt.Sprintf("%sIM%04d", name, i)] = b
	}
}

func archive(uid string) []byte {
	files := map[string][]byte{}
	series(files, "deep/", uid)
	return dicomtest.Zip(files)
}

func TestSeriesAreScans(t *testing.T) {
	objects := map[string][]byte{
		"n_0000.nii.gz": nil, "carl.zip": archive("1.2.3"), "texts.zip": dicomtest.Zip(map[string][]byte{"a.txt": nil}), "cut.zip": archive("1.2.3")[:300],
		"anna/DICOMDIR": []byte("x"), "anna/report.txt": []byte("x"), "notes/README": []byte("x"), "notes/1": []byte("x"), ".cache/IM1": slicesOf("1.2.3")[0],
		"bad/1.dcm": []byte("text"), "deep/er.zip": archive("1.2.3"), "labels/readme.pdf": nil, "broken/IM1": slicesOf("1.2.3")[0][:180], "st/preprocessed/a.zarr/c/0": []byte("x"),
	}
	series(objects, "anna/study/1/", "1.2.3")
	series(objects, "bert/", "1.2.840.111111")
	series(objects, "bert/", "1.2.840.111111") // the same files
	series(objects, "bert/second/", "1.2.840.222222")
	series(objects, "dora_0000/", "1.2.4")
	series(objects, "", "1.2.5") // loose
	st := memory(t, "series", objects)
	l, err := List(t.Context(), st.Root())
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, c := range l.Cases {
		got[c.ID] = strings.TrimPrefix(c.Image, "mem://")
		if info, ok := l.Files[c.Image]; !ok || c.ID != "n" && (info.Size == 0 || info.Generation == 0) {
			t.Errorf("%s: %+v, %v", c.Image, info, ok)
		}
	}
	want := map[string]string{
		"n": "series/n_0000.nii.gz", "carl": "series/carl.zip#1.2.3", "anna": "series/anna#1.2.3", "dora": "series/dora_0000#1.2.4",
		"bert#111111": "series/bert#1.2.840.111111", "bert#222222": "series/bert#1.2.840.222222", "series": "series/.#1.2.5",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	_, refused := short(nil, l.Rejected)
	if diff := cmp.Diff([]string{"unsupported-type:bad", "truncated:broken", "bad-archive:cut", "unsupported-type:deep", "unsupported-type:texts"}, refused); diff != "" {
		t.Errorf("rejected (-want +got)\n%s", diff)
	}
	for _, c := range l.Cases {
		if c.ID == "n" {
			continue
		}
		v, frame, err := ReadImage(t.Context(), c, nifti.RAS, 0)
		if err != nil || v.Voxels() != 60 || frame.Source != "dicom" {
			t.Errorf("%s: %v", c.ID, err)
			continue
		}
		if g, err := ReadGeometry(t.Context(), c, nifti.RAS); err != nil || g != v.Geometry {
			t.Errorf("%s: %v, %v", c.ID, g, err)
		}
	}
}

func TestSeriesByAddress(t *testing.T) {
	storetest.Bucket(t, "addresses")
	for _, root := range []string{"mem://addresses", "gs://addresses", t.TempDir()} {
		testAddresses(t, root)
	}
}

func testAddresses(t *testing.T, root string) {
	objects := map[string][]byte{"pool/a.zip": archive("1.1")}
	series(objects, "pool/p1/ct/", "1.2.3")
	series(objects, "pool/p2/ct/", "1.2.4")
	st, err := store.Open(t.Context(), root)
	if err != nil {
		t.Fatal(err)
	}
	for key, b := range objects {
		if err := st.Write(t.Context(), key, b); err != nil {
			t.Fatal(err)
		}
	}
	for address, want := range map[string][]string{
		"pool":       {"a", "p1", "p2"},
		"pool/p1/ct": {"ct"},
		"pool/p":     {"p1", "p2"},
		"pool/*":     {"a", "p1", "p2"},
		"pool/p?":    {"p1", "p2"},
		"pool/p1*":   {"p1"},
		"pool/*.zip": {"a"},
		"pool/a.zip": {"a"},
	} {
		found, rejected, err := Scans(t.Context(), st.Address(address))
		var ids []string
		for _, c := range found {
			ids = append(ids, c.ID)
			if v, _, err := ReadImage(t.Context(), c, nifti.RAS, 0); err != nil || v.Voxels() != 60 {
				t.Errorf("%s: %s: %v", st.Address(address), c.ID, err)
			}
		}
		if err != nil || len(rejected) > 0 || !slices.Equal(ids, want) {
			t.Errorf("%s: %v, %v, %v", st.Address(address), ids, rejected, err)
		}
	}
	// Two patients' folders of one name are two cases of one id.
	if _, rejected, _ := Scans(t.Context(), st.Address("pool/*/ct")); len(rejected) != 1 || rejected[0].Reason != DuplicateCase {
		t.Errorf("%v", rejected)
	}
	if _, _, err := Masks(t.Context(), st.Address("pool")); err == nil {
		t.Error("series were taken for labels")
	}
}

func TestSeriesOfADataset(t *testing.T) {
	objects := map[string][]byte{
		"dataset.json": []byte(datasetJSON), "labelsTr/a.nii.gz": nil, "labelsTr/b.nii.gz": nil, "imagesTr/b_0000.zip": archive("1.2"), "imagesTr/1.dcm": slicesOf("1.2")[0],
	}
	series(objects, "imagesTr/a_0000/", "1.2.3")
	series(objects, "imagesTr/c/", "1.2.3")
	series(objects, "imagesUn/two_0000/", "1.2.3.111111")
	series(objects, "imagesUn/two_0000/more/", "1.2.3.222222")
	series(objects, "labelsTr/d/", "1.2.3")
	st := memory(t, "datasets", objects)
	d, rejected, err := Load(t.Context(), st.Root(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	got, refused := short(d.Cases, rejected)
	if diff := cmp.Diff([]string{"labelled:a", "labelled:b", "unlabelled:two#111111", "unlabelled:two#222222"}, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if diff := cmp.Diff([]string{"unsupported-type:1", "missing-file:c"}, refused); diff != "" {
		t.Errorf("rejected (-want +got)\n%s", diff)
	}
}

// Each fault of a series has its reason and names the series.
func TestSeriesFaults(t *testing.T) {
	all := func(t tag.Tag, v any) func([]dicomtest.Slice) []dicomtest.Slice {
		return func(list []dicomtest.Slice) []dicomtest.Slice {
			for _, s := range list {
				s[t] = v
			}
			return list
		}
	}
	one := func(t tag.Tag, v any) func([]dicomtest.Slice) []dicomtest.Slice {
		return func(list []dicomtest.Slice) []dicomtest.Slice { list[1][t] = v; return list }
	}
	for kind, spoil := range map[Kind]func([]dicomtest.Slice) []dicomtest.Slice{
		GantryTilt:        all(tag.ImageOrientationPatient, dicomtest.Numbers(1, 0, 0, 0, 0.8, 0.6)),
		MissingSlices:     func(l []dicomtest.Slice) []dicomtest.Slice { return slices.Delete(l, 1, 2) },
		DuplicateSlices:   func(l []dicomtest.Slice) []dicomtest.Slice { return append(l, l[1]) },
		MixedSlices:       one(tag.PixelSpacing, dicomtest.Numbers(2, 2)),
		SeveralReferences: one(tag.FrameOfReferenceUID, []string{"1"}),
		OtherModality:     all(tag.Modality, []string{"MR"}),
		Localizer:         all(tag.ImageType, []string{"DERIVED", "PRIMARY", "LOCALIZER"}),
		NoPixelData: func(l []dicomtest.Slice) []dicomtest.Slice {
			for _, s := range l {
				delete(s, tag.PixelData)
			}
			return l
		},
		MultiFrame:      all(tag.NumberOfFrames, []string{"2"}),
		TransferSyntax:  all(tag.TransferSyntaxUID, []string{"1.2.840.10008.1.2.4.80"}),
		BadGeometry:     all(tag.PixelSpacing, []string{"NaN", "1"}),
		BadDimensions:   all(tag.Columns, []int{0}),
		HeaderMismatch:  all(tag.Rows, []int{5}),
		UnsupportedType: all(tag.SamplesPerPixel, []int{3}),
		Empty:           all(tag.PixelData, make([]byte, 4*4*5*2/4)),
		TooLarge:        func(l []dicomtest.Slice) []dicomtest.Slice { return l },
	} {
		list := spoil(dicomtest.Series{UID: "1.2", Shape: [3]int{4, 4, 5}, Spacing: [3]float64{5, 1, 1}}.Slices())
		objects := map[string][]byte{}
		for i, s := range list {
			objects[fmt.Sprintf("anna/%d", i)] = s.Bytes()
		}
		st := memory(t, "fault-"+string(kind), objects)
		found, rejected, err := Scans(t.Context(), st.Root())
		if err != nil || len(found) != 1 || len(rejected) > 0 {
			t.Errorf("%s: %v, %v, %v", kind, found, rejected, err)
			continue
		}
		budget := int64(0)
		if kind == TooLarge {
			budget = 4 * 79
		}
		_, _, err = ReadImage(t.Context(), found[0], nifti.RAS, budget)
		x, ok := Reject("anna", "preprocess", err)
		if !ok || x.Reason != kind || x.File != st.Address("anna")+"#1.2" || strings.Contains(x.Message, "DOE") {
			t.Errorf("%s: %+v, %v", kind, x, err)
		}
	}
}

// Trouble with the place is nobody's series.
func TestSeriesOfABrokenPlace(t *testing.T) {
	objects := map[string][]byte{}
	series(objects, "anna/", "1.2.3")
	st := memory(t, "brokenplace", objects)
	found, _, err := Scans(t.Context(), st.Root())
	if err != nil || len(found) != 1 {
		t.Fatalf("%v, %v", found, err)
	}
	for key := range maps.Keys(objects) {
		if err := st.Remove(t.Context(), key); err != nil {
			t.Fatal(err)
		}
	}
	_, _, err = ReadImage(t.Context(), found[0], nifti.RAS, 0)
	if x, ok := Reject("anna", "preprocess", err); !ok || x.Reason != Missing {
		t.Errorf("a folder that went away: %+v, %v", x, err)
	}
	series(objects, "anna/", "1.2.3")
	defer store.FaultUnder(st.Root(), func(op, _ string) error {
		if op == "read" {
			return fmt.Errorf("connection lost")
		}
		return nil
	})()
	for key, b := range objects {
		if err := st.Write(t.Context(), key, b); err != nil {
			t.Fatal(err)
		}
	}
	_, _, err = ReadImage(t.Context(), found[0], nifti.RAS, 0)
	if x, ok := Reject("anna", "preprocess", err); !ok || x.Reason != Unreadable {
		t.Errorf("a lost connection: %+v, %v", x, err)
	}
}
