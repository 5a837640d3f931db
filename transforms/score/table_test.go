package score

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// someRows is three cases with liver and spleen; no reference holds a spleen.
func someRows(rules Rules) []Row {
	row := func(id string, dsc, nsd float64, spleen Organ) Row {
		spleen.Label, spleen.Name, spleen.ToleranceMM = 3, "spleen", 3
		return Row{Case: id, Rules: rules, Reference: "r/" + id, Prediction: "p/" + id, Organs: []Organ{
			{Label: 1, Name: "liver", ToleranceMM: 5, Scored: true, DSC: dsc, NSD: nsd, Voxels: Voxels{TP: 6, FP: 2, FN: 2, TN: 10}},
			spleen,
		}}
	}
	absent := Organ{Scored: rules.flare(), Voxels: Voxels{TN: 20}}
	if absent.Scored {
		absent.DSC, absent.NSD = 1, 1
	}
	return []Row{
		row("b", 0.8, 0.9, absent),
		row("a", 0.90014999, 1, absent),
		row("c", 0.7, 0.8, Organ{Scored: true, Voxels: Voxels{FP: 4, TN: 16}}),
	}
}

func TestTabulate(t *testing.T) {
	liver := Line{Label: 1, Name: "liver", ToleranceMM: 5, Cases: 3}
	for _, c := range []struct {
		rules      Rules
		liverDSC   float64
		spleen     float64
		scored     int
		meanOfBoth float64
	}{
		{FLARE22, 2.4001 / 3, 2. / 3, 3, (2.4001/3 + 2./3) / 2},
		{NNUNet, (0.8 + 0.90014999 + 0.7) / 3, 0, 1, (0.8 + 0.90014999 + 0.7) / 6},
	} {
		got, err := Tabulate(someRows(c.rules))
		if err != nil {
			t.Fatal(err)
		}
		if near := func(a, b float64) bool { return a-b < 1e-12 && b-a < 1e-12 }; !near(got.Lines[0].DSC, c.liverDSC) ||
			!near(got.Lines[1].DSC, c.spleen) || !near(got.Mean.DSC, c.meanOfBoth) {
			t.Errorf("%s: got %+v", c.rules, got)
		}
		if got.Lines[0].Name != liver.Name || got.Lines[0].Cases != 3 || got.Lines[1].Cases != c.scored || got.Lines[1].Unscored != 3-c.scored {
			t.Errorf("%s: got lines %+v", c.rules, got.Lines)
		}
		if diff := cmp.Diff([]string{"spleen"}, got.Absent); diff != "" {
			t.Error(diff)
		}
		if !strings.Contains(got.String(), "in no reference: spleen") {
			t.Errorf("the table does not list absent organs:\n%s", got)
		}
	}
}

func TestTabulateDoesNotDependOnOrder(t *testing.T) {
	rows := someRows(NNUNet)
	want, err := Tabulate(rows)
	if err != nil {
		t.Fatal(err)
	}
	for range 5 {
		rand.Shuffle(len(rows), func(i, j int) { rows[i], rows[j] = rows[j], rows[i] })
		got, err := Tabulate(rows)
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%v %s", err, diff)
		}
	}
}

func TestTabulateRefuses(t *testing.T) {
	if _, err := Tabulate(nil); err == nil {
		t.Error("no rows: no error")
	}
	if _, err := Tabulate(append(someRows(FLARE22), someRows(NNUNet)...)); err == nil {
		t.Error("two rule sets: no error")
	}
	fewer := someRows(FLARE22)
	fewer[1].Organs = fewer[1].Organs[:1]
	if _, err := Tabulate(fewer); err == nil {
		t.Error("other organs: no error")
	}
}

// TestSummaryOfAbsentClasses checks what nnU-Net makes of NaN: left out of the
// mean of a class, kept in the foreground mean.
func TestSummaryOfAbsentClasses(t *testing.T) {
	rows := someRows(NNUNet)
	text, err := Summary(rows[:2])
	if err != nil {
		t.Fatal(err)
	}
	if n := bytes.Count(text, []byte(`"Dice": NaN`)); n != 4 { // two cases, mean, foreground mean
		t.Errorf("got %d NaN, want 4:\n%s", n, text)
	}
	text, err = Summary(rows)
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Foreground map[string]float64            `json:"foreground_mean"`
		Mean       map[string]map[string]float64 `json:"mean"`
	}
	if err := json.Unmarshal(bytes.ReplaceAll(text, []byte("NaN"), []byte("-1")), &got); err != nil {
		t.Fatal(err)
	}
	if got.Mean["1"]["Dice"] != 0.75 || got.Mean["3"]["Dice"] != 0 || got.Foreground["Dice"] != 0.375 || got.Foreground["TN"] != (10+(20+20+16)/3.)/2 {
		t.Errorf("got %+v", got)
	}
}

func TestCSV(t *testing.T) {
	want := "Name,Liver_DSC,Spleen_DSC,Liver_NSD,Spleen_NSD\n" +
		"a.nii.gz,0.9001,1,1,1\nb.nii.gz,0.8,1,0.9,1\nc.nii.gz,0.7,0,0.8,0\n"
	if diff := cmp.Diff(want, string(CSV(someRows(FLARE22)))); diff != "" {
		t.Error(diff)
	}
}

// TestToleranceByName lists FLARE's tolerances and other spellings of its organs.
func TestToleranceByName(t *testing.T) {
	for i, want := range []float64{5, 3, 3, 5, 2, 2, 2, 2, 2, 3, 5, 7, 3} {
		l := flareLabels()[i]
		if got := ToleranceMM(l.Name); got != want {
			t.Errorf("%s: got %g mm, want %g", l.Name, got, want)
		}
		if tubular := l.ID == 5 || l.ID == 6 || l.ID == 10; organOf(l.Name).tubular != tubular {
			t.Errorf("%s: tubular is %v", l.Name, !tubular)
		}
	}
	for name, want := range map[string]float64{
		"Left_Kidney": 3, "IVC": 2, "postcava": 2, "Gall bladder": 2, "oesophagus": 3, "DUODENUM": 7, "pancreas ": 5, "lesion": 2,
	} {
		if got := ToleranceMM(name); got != want {
			t.Errorf("%s: got %g mm, want %g", name, got, want)
		}
	}
}
