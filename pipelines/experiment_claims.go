package pipelines

import (
	"fmt"
	"math"

	"noisystudent/transforms/score"
)

// Claim is a statement about two rows and what this run says to it.
type Claim struct {
	Text    string         `json:"claim"`
	Verdict string         `json:"verdict"`    // holds, fails or open
	Is      score.Interval `json:"difference"` // in the unit of the claim
	Unit    string         `json:"unit,omitempty"`
	Why     string         `json:"why,omitempty"`
}

// String is the line that people read.
func (c Claim) String() string {
	text := fmt.Sprintf("%s: %s", c.Text, c.Verdict)
	if c.Is != (score.Interval{}) || c.Why == "" { // else it was not run
		text += fmt.Sprintf(", %+.2f %s, [%+.2f, %+.2f]", c.Is.Mean, c.Unit, c.Is.Low, c.Is.High)
	}
	if c.Why != "" {
		text += " (" + c.Why + ")"
	}
	return text
}

// noWorse is how much less still counts as at least as good, in DSC of 100.
const noWorse = 0.5

// statement says that a is better than b by more than margin, in per cent of what measure
// gives.
type statement struct {
	text    string
	a, b    string
	margin  float64
	unit    string
	measure func(r RowResult, organs []string, i int) float64
}

func meanDSC(r RowResult, _ []string, i int) float64 { return 100 * mean(r.DSC[i]) }

// organDSC measures one organ.
func organDSC(name string) func(RowResult, []string, int) float64 {
	return func(r RowResult, organs []string, i int) float64 {
		for k, o := range organs {
			if o == name {
				return 100 * r.DSC[i][k]
			}
		}
		return 0
	}
}

func networkSeconds(r RowResult, _ []string, i int) float64 { return r.Seconds[i] }

// dsc is the unit of most claims, in per cent.
const dsc = "DSC"

// claims are the paper's, then those about the controls.
var claims = []statement{
	{"student > low-footprint", "finetuned", "low-footprint", 0, dsc, meanDSC},
	{fmt.Sprintf("student >= full-width (no more than %g below)", noWorse), "finetuned", "full-width", -noWorse, dsc, meanDSC},
	{"full-width > low-footprint", "full-width", "low-footprint", 0, dsc, meanDSC},
	{"right adrenal gland: student < full-width", "full-width", "finetuned", 0, dsc, organDSC("right_adrenal_gland")},
	{"small cost at inference: seconds of student < full-width", "full-width", "finetuned", 0, "s", networkSeconds},
	{"student's noise helps: student > student-plain", "student", "student-plain", 0, dsc, meanDSC},
	{"fine-tuning helps: finetuned > student", "finetuned", "student", 0, dsc, meanDSC},
	{"finetuned > control of equal steps", "finetuned", "control", 0, dsc, meanDSC},
	{"finetuned > control of the whole loop's steps", "finetuned", "control-loop", 0, dsc, meanDSC},
	{fmt.Sprintf("finetuned >= ensemble (no more than %g below)", noWorse), "finetuned", "ensemble", -noWorse, dsc, meanDSC},
	{"room to improve: ceiling > low-footprint + 8", "ceiling", "low-footprint", 8, dsc, meanDSC},
	{"pseudo-labels help: 1:3 > 1:0", "student", "mix-1:0", 0, dsc, meanDSC},
	{"1:3 > 1:1", "student", "mix-1:1", 0, dsc, meanDSC},
	{"1:3 > 1:7", "student", "mix-1:7", 0, dsc, meanDSC},
}

// judge gives the verdict on a claim from all seeds. With a single seed nobody knows how
// training runs vary: the interval over cases is widened by how the folds' teachers do.
func (c Comparison) judge(of statement) Claim {
	out := Claim{Text: of.text, Verdict: "open", Unit: of.unit}
	var differences [][]float64
	spread := math.NaN()
	for _, s := range c.Seeds {
		a, foundA := s.Rows[of.a]
		b, foundB := s.Rows[of.b]
		if !foundA || !foundB {
			missing := of.a
			if foundA {
				missing = of.b
			}
			out.Why = fmt.Sprintf("row %s was not run; --rows %s", missing, missing)
			return out
		}
		row, err := paired(a, b, func(r RowResult, _ []string, i int) float64 { return of.measure(r, c.Organs, i) })
		if err != nil {
			out.Why = err.Error()
			return out
		}
		differences = append(differences, row)
		spread = runSpread(s)
	}
	out.Is = score.Bootstrap(differences)
	if trained := out.Unit == dsc; trained && len(c.Seeds) == 1 {
		if math.IsNaN(spread) {
			out.Why = "one seed, and too few teachers to know how training runs vary"
			return out
		}
		out.Is, out.Why = out.Is.Widened(spread), "one seed; widened by the spread of the teachers"
	}
	out.Verdict = verdict(out.Is, of.margin)
	return out
}

// runSpread is the standard deviation of the difference between two single training
// runs, DSC of 100, as the teachers of the folds show it; NaN where there are not two.
func runSpread(s SeedResult) float64 {
	var list []float64
	for _, m := range s.Rows["low-footprint"].Models {
		list = append(list, 100*m.DSC)
	}
	if len(list) < 2 {
		return math.NaN()
	}
	return math.Sqrt2 * deviation(list)
}

// crossValidation is the paper's claim about its Table 6, from the folds of all seeds.
func (c Comparison) crossValidation() Claim {
	const margin = 0.5
	out := Claim{Text: fmt.Sprintf("student > low-footprint by %g in cross-validation", margin), Verdict: "open", Unit: dsc}
	var differences [][]float64
	for _, s := range c.Seeds {
		var row []float64
		for fold := range s.Student {
			if s.Student[fold] >= 0 && s.Teacher[fold] >= 0 {
				row = append(row, 100*(s.Student[fold]-s.Teacher[fold]))
			}
		}
		if len(row) < 2 {
			out.Why = "students of fewer than two folds were validated"
			return out
		}
		differences = append(differences, row)
	}
	if len(differences) == 0 {
		return out
	}
	out.Is = score.Bootstrap(differences)
	out.Verdict = verdict(out.Is, margin)
	return out
}

// verdict says whether an interval lies beyond a margin.
func verdict(i score.Interval, margin float64) string {
	switch {
	case i.Low > margin:
		return "holds"
	case i.High < margin:
		return "fails"
	}
	return "open"
}

// paired are the differences between two rows, case by case.
func paired(a, b RowResult, measure func(RowResult, []string, int) float64) ([]float64, error) {
	at := map[string]int{}
	for i, id := range b.Cases {
		at[id] = i
	}
	var out []float64
	for i, id := range a.Cases {
		if k, both := at[id]; both {
			out = append(out, measure(a, nil, i)-measure(b, nil, k))
		}
	}
	if len(out) != len(a.Cases) || len(out) != len(b.Cases) {
		return nil, fmt.Errorf("not all cases could be labelled by both: %d of %d and %d", len(out), len(a.Cases), len(b.Cases))
	}
	return out, nil
}

func mean(list []float64) float64 {
	sum := 0.0
	for _, v := range list {
		sum += v
	}
	return sum / max(float64(len(list)), 1)
}

// deviation is the sample standard deviation; 0 of fewer than two values.
func deviation(list []float64) float64 {
	if len(list) < 2 {
		return 0
	}
	m, sum := mean(list), 0.0
	for _, v := range list {
		sum += (v - m) * (v - m)
	}
	return math.Sqrt(sum / float64(len(list)-1))
}

// percent is an interval as people read it.
func percent(i score.Interval) string {
	return fmt.Sprintf("%+.1f [%+.1f, %+.1f]", i.Mean, i.Low, i.High)
}
