package resample

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/testing/passert"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/testing/ptest"

	"noisystudent/io/nifti"
	"noisystudent/io/store"
	"noisystudent/transforms/beamtest"
	"noisystudent/transforms/cases"
	"noisystudent/transforms/manifest"
	"noisystudent/transforms/plan"
)

func TestMain(m *testing.M) { beamtest.Main(m) }

// dataset writes three cases, the last cut short, and returns them.
func dataset(t *testing.T) []cases.Case {
	t.Helper()
	dir := t.TempDir()
	image, labels := theCase(-1)
	var im, la bytes.Buffer
	err := nifti.WriteVolume(&im, image, nifti.NewFrame(image.Geometry), nifti.Float32)
	if err == nil {
		err = nifti.WriteLabels(&la, labels, nifti.NewFrame(labels.Geometry))
	}
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{
		"a_0000.nii.gz": im.Bytes(), "a.nii.gz": la.Bytes(), "u_0000.nii.gz": im.Bytes(), "broken_0000.nii.gz": im.Bytes()[:im.Len()/2],
	}
	for name, data := range files {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return []cases.Case{
		{ID: "a", Set: cases.Labelled, Image: filepath.Join(dir, "a_0000.nii.gz"), Labels: filepath.Join(dir, "a.nii.gz")},
		{ID: "u", Set: cases.Unlabelled, Image: filepath.Join(dir, "u_0000.nii.gz")},
		{ID: "broken", Set: cases.Unlabelled, Image: filepath.Join(dir, "broken_0000.nii.gz")},
	}
}

func TestCasesUnderPrism(t *testing.T) {
	set, root := dataset(t), t.TempDir()
	thePlan := thePlan(t, -1)
	text, err := plan.Encode(thePlan)
	if err != nil {
		t.Fatal(err)
	}
	run := func(o Options, wantRefs, wantRejected int) {
		t.Helper()
		o.Plan = string(text)
		p, s := beam.NewPipelineWithRoot()
		refs, rejected := Cases(s, o, beam.CreateList(s, set))
		passert.Count(s, refs, "cases", wantRefs)
		passert.Count(s, rejected, "rejected", wantRejected)
		ptest.RunAndValidate(t, p)
	}
	run(Options{Store: root}, 2, 1)
	st := openStore(t, root)
	first := contents(t, st)
	rows, err := manifest.Rows(t.Context(), st, Stage)
	if err != nil || rows["broken"].Reason != cases.Truncated || rows["a"].Outcome != manifest.Done {
		t.Errorf("ledger %+v, %v", rows, err)
	}
	for _, id := range []string{"a", "u"} {
		s, err := OpenCase(t.Context(), st, Prefix(thePlan, id))
		if err != nil || s.Properties().Labelled != (id == "a") {
			t.Errorf("%s: %v", id, err)
		}
	}
	// Repeated, nothing is written but the same answers are given.
	run(Options{Store: root}, 2, 1)
	if again := contents(t, st); !slices.Equal(first, again) {
		t.Error("the second run changed the store")
	}
	run(Options{Store: t.TempDir(), BudgetBytes: 1000}, 0, 3)
}

// contents lists the stored cases with sizes and times.
func contents(t *testing.T, st *store.Store) []string {
	t.Helper()
	infos, err := st.List(t.Context(), "preprocessed/")
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, i := range infos {
		out = append(out, i.Key+i.ModTime.String())
	}
	if len(out) == 0 {
		t.Error("nothing is stored")
	}
	return out
}

func TestProcessGivesStoreFaults(t *testing.T) {
	c := dataset(t)[0]
	full := store.WithFault(openStore(t, t.TempDir()), func(op, key string) error {
		if strings.HasPrefix(key, "preprocessed/") && strings.Contains(key, "/labels/") {
			return os.ErrClosed
		}
		return nil
	})
	row, err := Process(t.Context(), full, c, thePlan(t, -1), 0)
	if err != nil || row.Outcome != manifest.Rejected || row.Reason != cases.NotWritten {
		t.Errorf("got %+v, %v", row, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if row, err := Process(ctx, openStore(t, t.TempDir()), c, thePlan(t, -1), 0); err == nil {
		t.Errorf("a run that was stopped is no outcome: %+v", row)
	}
}
