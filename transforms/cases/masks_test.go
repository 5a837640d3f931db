package cases

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestMasks(t *testing.T) {
	root := t.TempDir()
	for _, f := range []string{"t_0000.nii.gz", "t_0001.nii.gz", "a.nii", "twice.nii", "twice.nii.gz", "b.nrrd", "summary.json", ".hidden.nii", "report/c.csv"} {
		put(t, root, f, "")
	}
	found, rejected, err := Masks(context.Background(), root)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, c := range found {
		if c.Image != "" || c.Labels == "" {
			t.Errorf("%+v", c)
		}
		got = append(got, c.ID)
	}
	_, refused := short(nil, rejected)
	if diff := cmp.Diff([][]string{{"a", "t_0000", "t_0001"}, {"unsupported-type:b", "duplicate-case:twice"}}, [][]string{got, refused}); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if _, _, err := Masks(context.Background(), t.TempDir()); err == nil {
		t.Error("an empty folder is no error")
	}
}
