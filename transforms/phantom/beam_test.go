package phantom

import (
	"bytes"
	"testing"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/testing/passert"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/testing/ptest"

	"noisystudent/transforms/beamtest"
)

func TestMain(m *testing.M) { beamtest.Main(m) }

// The transform makes the same files as Generate, one element a case.
func TestCohortTransform(t *testing.T) {
	o := small(t.TempDir()) // a runner may work in another process
	p, s := beam.NewPipelineWithRoot()
	written, _ := Cohort(s, o)
	passert.EqualsList(s, written, []Written{
		{"labelled_0000", "labelled", false},
		{"labelled_0001", "labelled", false},
		{"unlabelled_0000", "unlabelled", false},
		{"unlabelled_0001", "unlabelled", false},
		{"unlabelled_0002", "unlabelled", true},
		{"test_0000", "test", false},
		{"test_0001", "test", false},
	})
	ptest.RunAndValidate(t, p)
	want := small("mem://cohort-plain")
	if err := Generate(t.Context(), want, 1); err != nil {
		t.Fatal(err)
	}
	got := files(t, o.Out)
	for name, data := range files(t, want.Out) {
		if !bytes.Equal(data, got[name]) {
			t.Errorf("%s differs under a runner", name)
		}
	}
}
