package fingerprint

import (
	"context"
	"strings"
	"testing"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/testing/passert"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/testing/ptest"
	"github.com/google/go-cmp/cmp"

	"noisystudent/transforms/beamtest"
	"noisystudent/transforms/cases"
)

func TestMain(m *testing.M) { beamtest.Main(m) }

// A damaged case is rejected and the rest gives the fingerprint that plain calls give.
func TestCollect(t *testing.T) {
	ctx := context.Background()
	st := open(t, "mem://fingerprint-collect")
	config := Config{Store: st.Root(), Orientation: "ras", Options: options()}
	var list []cases.Case
	var facts Facts
	for i := range uint64(5) {
		v, l := scan(i)
		id := string(rune('a' + i))
		if i%2 == 1 {
			for j := range v.Data {
				v.Data[j] *= 1.37
			}
		}
		list = append(list, put(t, st, id, v, l))
		facts = facts.Merge(Measure(id, v, l, options()))
	}
	v, l := scan(9)
	v.Data = make([]float32, len(v.Data))
	list = append(list, put(t, st, "zero", v, l))

	p, s, col := ptest.CreateList(list)
	text, rejected := Collect(s, config, col)
	passert.Count(s, text, "fingerprints", 1)
	passert.Equals(s, rejected, cases.Rejected{
		Case: "zero", Stage: Stage, Reason: cases.Empty, File: list[5].Image,
		Message: list[5].Image + ": empty-scan; every voxel is zero; export the scan again",
	})
	ptest.RunAndValidate(t, p)

	want, err := Summarise(facts, "ras")
	if err != nil {
		t.Fatal(err)
	}
	got, err := Load(ctx, st)
	if d := cmp.Diff(want, got); err != nil || d != "" {
		t.Errorf("error %v, fingerprint (-plain +Beam)\n%s", err, d)
	}
}

func TestCollectNeedsOneCase(t *testing.T) {
	config := Config{Store: "mem://fingerprint-none", Orientation: "ras", Options: options()}
	p, s, col := ptest.CreateList([]cases.Case{{ID: "x", Image: "mem://fingerprint-none/x.nii.gz"}})
	_, rejected := Collect(s, config, col)
	beam.ParDo0(s, drop, rejected)
	if err := ptest.Run(p); err == nil || !strings.Contains(err.Error(), "no labelled case could be read") {
		t.Errorf("error %v", err)
	}
}

func drop(cases.Rejected) {}

func init() { beam.RegisterFunction(drop) }
