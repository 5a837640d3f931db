package statistics

import (
	"slices"
	"strings"
	"testing"

	"noisystudent/io/store"
)

// How sure the models were is read beside what is measured, and flagged where it is low.
func TestCertainty(t *testing.T) {
	st, err := store.Open(t.Context(), "mem://certainty")
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"patient": `{"case":"patient","seconds":3,"certainty":[0,0.95,0,0.6]}`,
		"torn":    `{"case":"torn","cert`,
	} {
		if err := st.Write(t.Context(), "report/"+name+".json", []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	r := patient(t, nil)
	if err := r.addCertainty(t.Context(), st, "report"); err != nil {
		t.Fatal(err)
	}
	if got := []float64{r.Organs[0].Certainty, r.Organs[1].Certainty, r.Organs[2].Certainty}; !slices.Equal(got, []float64{0.95, 0, 0.6}) {
		t.Errorf("certainty %v", got)
	}
	if flags := Flags(r, nil); len(flags) != 1 || flags[0].Organ != "spleen" || flags[0].Kind != Disagree || !strings.Contains(flags[0].Message, "0.60") {
		t.Errorf("flags %+v", flags)
	}
	r = patient(t, nil)
	r.Case = "somebody-elses"
	if err := r.addCertainty(t.Context(), st, "report"); err != nil || len(Flags(r, nil)) != 0 {
		t.Errorf("labels without a record: %v, %v", err, Flags(r, nil))
	}
	r.Case = "torn"
	if err := r.addCertainty(t.Context(), st, "report"); err == nil || !strings.Contains(err.Error(), "torn") {
		t.Errorf("a torn record: %v", err)
	}
}
