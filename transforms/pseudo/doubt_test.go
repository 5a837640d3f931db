package pseudo

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"noisystudent/io/store"
	"noisystudent/transforms/cases"
	"noisystudent/transforms/manifest"
	"noisystudent/transforms/metrics"
	"noisystudent/transforms/resample"
)

// without lists the objects of pseudo/ but for doubts and the note, with their bytes: the
// host, which blends where doubts are asked for, adds probabilities up in another order
// than a device, and the last digits of a note's confidence show it.
func without(t *testing.T, st *store.Store) map[string][]byte {
	t.Helper()
	infos, err := st.List(t.Context(), "pseudo/")
	if err != nil {
		t.Fatal(err)
	}
	out := map[string][]byte{}
	for _, i := range infos {
		if strings.Contains(i.Key, ".certain.zarr") || strings.Contains(i.Key, ".second.zarr") || strings.HasSuffix(i.Key, ".json") && !strings.HasSuffix(i.Key, "zarr.json") {
			continue
		}
		if out[i.Key], err = st.Read(t.Context(), i.Key); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

// TestDoubtsChangeNoLabels: they are found in the pass that labels, or in one more where
// labels were there before; rows and labels are the same either way.
func TestDoubtsChangeNoLabels(t *testing.T) {
	plain, c, list := ready(t, 3, 1)
	want := label(t, plain, c, list[0])
	st, asking, list := ready(t, 3, 1)
	asking.Doubts = true
	ctx := metrics.Begin(t.Context())
	row, err := Case(ctx, st, asking, list[0])
	if err != nil || row.Key() != want.Key() {
		t.Fatalf("row %+v, want %+v (%v)", row, want, err)
	}
	labelled, found := contents(t, st), without(t, st)
	if d := cmp.Diff(without(t, plain), found); d != "" {
		t.Errorf("doubts change pseudo-labels\n%s", d)
	}
	doubts, err := ReadDoubts(t.Context(), st, 1, "case0")
	if err != nil || len(doubts.Agreement) != 4 || doubts.Of(1) <= 0 || doubts.Of(1) >= 1 {
		t.Errorf("doubts %+v, %v", doubts, err)
	}
	stored, err := resample.OpenCase(t.Context(), st, list[0].Prefix)
	if err != nil {
		t.Fatal(err)
	}
	certain, err := stored.Certain(t.Context(), st, CertainPrefix(1, "case0"))
	if err != nil {
		t.Fatal(err)
	}
	shape := stored.Shape()
	values := make([]uint8, shape[0]*shape[1]*shape[2])
	if err := certain.Read(t.Context(), [3]int{}, shape, values); err != nil || bytes.Contains(values, []byte{0}) {
		t.Errorf("a label of probability 0, or %v", err) // 4 classes: at least a quarter
	}
	for i := range values {
		values[i] = 255 - values[i]
	}
	doubt, err := ReadMap(t.Context(), st, 1, list[0])
	if err != nil || !cmp.Equal(doubt.Data, stored.Properties().Restore(values).Data) || !slices.ContainsFunc(doubt.Data, func(v uint8) bool { return v > 0 }) {
		t.Errorf("the map of doubts is not what is stored (%v)", err)
	}
	var fault *cases.Fault
	if _, err := ReadMap(t.Context(), st, 2, list[0]); !errors.As(err, &fault) || fault.Kind != cases.Unreadable {
		t.Errorf("doubts of a round that was not: %v", err)
	}
	if label(t, st, asking, list[0]); !cmp.Equal(labelled, contents(t, st)) {
		t.Error("doubts are looked for again")
	}
	// Asked for later, labels stay.
	c.Doubts = true
	if row = label(t, plain, c, list[0]); row.Key() != want.Key() {
		t.Errorf("row %+v", row)
	}
	later, err := ReadDoubts(t.Context(), plain, 1, "case0")
	if d := cmp.Diff(doubts, later); err != nil || d != "" || !cmp.Equal(found, without(t, plain)) {
		t.Errorf("asked for later: %v %s", err, d)
	}
	ledger, found2, err := manifest.Lookup(t.Context(), plain, DoubtStage(1), "case0")
	if err != nil || !found2 || ledger.Outcome != manifest.Done {
		t.Errorf("row %+v, %v", ledger, err)
	}
}

// TestSelectOrgans: of each organ the most doubted part is left out, and cases with too
// little left are dropped, each with its reason.
func TestSelectOrgans(t *testing.T) {
	var notes []Note
	var doubts []Doubts
	nowhere := make([][3]float64, 4)
	for i, d := range [][2]float64{{0.1, 0.8}, {0.2, 0.9}, {0.6, 0.3}, {0.7, 0.95}} { // agreement on two organs
		id := string(rune('a' + i))
		notes = append(notes, Note{Case: id, Confidence: 1, Voxels: []int64{9, 5, 5, 0}})
		doubts = append(doubts, Doubts{Case: id, Agreement: []float64{1, d[0], d[1], 1}, Entropy: []float64{0, 0.1, 0.1, 0}, Centers: nowhere, Changes: []float64{0, 0, float64(i) / 4, 0}})
	}
	s := Select(notes, doubts, Rule{DropPart: 0.5})
	left := map[string][]uint8{}
	for _, n := range notes {
		left[n.Case] = s.LeftOut(n.Case)
	}
	want := map[string][]uint8{"a": {1, 2}, "b": {1}, "c": {2}, "d": nil}
	if d := cmp.Diff(want, left); d != "" || len(s.Kept) != 4 || len(s.Organs) != 8 {
		t.Errorf("%+v (-want +got)\n%s", s, d)
	}
	s = Select(notes, doubts, Rule{DropPart: 0.5, MinOrgans: 0.5})
	if d := cmp.Diff([]string{"a"}, s.Dropped); d != "" || s.Why["a"] != "0 of its 2 organs are left, under a part of 0.5" {
		t.Errorf("%v %s", s.Why, d)
	}
	s = Select(notes, doubts, Rule{MaxDoubt: 0.47})
	if d := cmp.Diff([]uint8{1}, s.LeftOut("a")); d != "" || s.LeftOut("b") != nil || s.Organs[0].Why != "doubted by 0.500, more than 0.47" {
		t.Errorf("%+v %s", s.Organs, d)
	}
	s = Select(notes, doubts, Rule{MaxChange: 0.5})
	if d := cmp.Diff([]uint8{2}, s.LeftOut("d")); d != "" || s.LeftOut("c") != nil || s.Organs[7].Why != "0.750 of it changed since the round before, more than 0.5" {
		t.Errorf("%+v %s", s.Organs, d)
	}
	csv := string(Select(notes, doubts, Rule{DropPart: 0.25, MinOrgans: 1}).CSV([]cases.Label{{ID: 1, Name: "liver"}, {ID: 2, Name: "spleen"}, {ID: 3, Name: "aorta"}}))
	for _, line := range []string{
		"case,organ,kept,agreement,entropy,doubt,deviation,change,reason\n",
		"a,,false,,,,,,\"1 of its 2 organs are left, under a part of 1\"\n",
		"a,liver,false,0.1000,0.1000,0.5000,0.0000,0.0000,among the 1 of 4 cases in which it is doubted most\n",
		"b,,true,,,,,,\n", "b,spleen,true,0.9000,0.1000,0.1000,0.0000,0.2500,\n",
	} {
		if !strings.Contains(csv, line) {
			t.Errorf("no line %q in\n%s", line, csv)
		}
	}
}
