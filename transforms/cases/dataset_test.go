package cases

import (
	"context"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func FuzzParseDataset(f *testing.F) {
	f.Add([]byte(datasetJSON))
	f.Add([]byte(`{"modality": {"0": "CT"}, "labels": {"background": "0", "a": [1, 2], "ignore": 3}, "file_ending": ".nii"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 1<<16 {
			return
		}
		d, _, err := parseDataset(data)
		if err != nil {
			if errors.Is(err, ErrMalformed) == errors.Is(err, ErrUnsupported) {
				t.Fatalf("neither or both of malformed and unsupported: %v", err)
			}
			return
		}
		for i, l := range d.Labels {
			if l.ID != i+1 {
				t.Fatalf("labels %v", d.Labels)
			}
		}
		if d.Ignore != -1 && d.Ignore != d.Classes() || d.Classes() < 2 || d.Classes() > 255 {
			t.Fatalf("dataset %+v", d)
		}
	})
}

// An object store has no folders, only keys; the dataset is the same.
func TestLoadFromAnObjectStore(t *testing.T) {
	memory(t, "cases-load", map[string][]byte{
		"sets/mini/dataset.json":                []byte(datasetJSON),
		"sets/mini/imagesTr/a_0000.nii.gz":      nil,
		"sets/mini/labelsTr/a.nii.gz":           nil,
		"sets/mini2/imagesTr/other_0000.nii.gz": nil,
		"pool/2024-01.nii.gz":                   nil,
		"pool/2024-02.nii.gz":                   nil,
		"pool/2025-01.nii.gz":                   nil,
	})
	d, rejected, err := Load(context.Background(), "mem://cases-load/sets/mini", Options{UnlabelledScans: "mem://cases-load/pool/2024"})
	if err != nil || len(rejected) != 0 {
		t.Fatalf("rejected %v, error %v", rejected, err)
	}
	want := []Case{
		{ID: "a", Set: Labelled, Image: "mem://cases-load/sets/mini/imagesTr/a_0000.nii.gz", Labels: "mem://cases-load/sets/mini/labelsTr/a.nii.gz"},
		{ID: "2024-01", Set: Unlabelled, Image: "mem://cases-load/pool/2024-01.nii.gz"},
		{ID: "2024-02", Set: Unlabelled, Image: "mem://cases-load/pool/2024-02.nii.gz"},
	}
	if diff := cmp.Diff(want, d.Cases); diff != "" {
		t.Errorf("cases (-want +got)\n%s", diff)
	}
	for address, n := range map[string]int{"mem://cases-load": 0, "mem://cases-load/pool": 3, "mem://cases-load/pool/*-01.nii.gz": 2, "mem://cases-load/*/2024*": 2} {
		found, _, err := Scans(context.Background(), address)
		if len(found) != n || err != nil {
			t.Errorf("%s: %d scans, error %v; want %d", address, len(found), err, n)
		}
	}
}
