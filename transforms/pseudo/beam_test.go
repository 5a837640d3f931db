package pseudo

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/testing/passert"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/testing/ptest"

	"noisystudent/transforms/beamtest"
	"noisystudent/transforms/cases"
	"noisystudent/transforms/shard"
)

func TestMain(m *testing.M) { beamtest.Main(m) }

func TestLabelsUnderPrism(t *testing.T) {
	st, c, list := ready(t, 2, 4)
	c.Options.Networks = 2
	list = append(list, Prepared{Case: "gone", Prefix: "preprocessed/gone.zarr", Digest: "gone"})
	var before []string
	for range 2 {
		p, s := beam.NewPipelineWithRoot()
		done, rejected := Labels(s, c, beam.CreateList(s, dealt(t, list, 3)))
		passert.Equals(s, done, "case0", "case1", "case2", "case3")
		passert.Equals(s, beam.ParDo(s, reason, rejected), "gone unreadable")
		ptest.RunAndValidate(t, p)
		// Repeated, nothing is written but the same answers are given.
		after := contents(t, st)
		if before != nil && !slices.Equal(before, after) {
			t.Error("the second run changed the store")
		}
		before = after
	}
	for _, in := range list[:4] {
		alone, c, _ := ready(t, 2, 4)
		label(t, alone, c, in)
		_, want := stored(t, alone, in)
		if _, got := stored(t, st, in); !slices.Equal(got, want) {
			t.Errorf("%s: other labels than alone", in.Case)
		}
	}
}

// dealt makes elements of prepared cases.
func dealt(t *testing.T, list []Prepared, shards int) (texts []string) {
	t.Helper()
	for _, one := range shard.Apart(shard.Deal(list, make([]float64, len(list)), shards)) {
		text, err := json.Marshal(one)
		if err != nil {
			t.Fatal(err)
		}
		texts = append(texts, string(text))
	}
	return texts
}

func reason(r cases.Rejected) string { return r.Case + " " + string(r.Reason) }

func init() { beam.RegisterFunction(reason) }
