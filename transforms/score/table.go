package score

import (
	"bytes"
	"cmp"
	"encoding/csv"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Table is the scores of a set of cases: one line an organ and their mean.
type Table struct {
	Rules   Rules    `json:"rules"`
	Cases   int      `json:"cases"`
	Lines   []Line   `json:"organs"`
	Mean    Mean     `json:"mean"`                // over the organs that have a score, each weighing the same
	Absent  []string `json:"absent,omitempty"`    // organs that no reference holds, whatever the rules give them
	Ignored int64    `json:"ignored_voxels"`      // over all cases
	Flagged []string `json:"one_slice,omitempty"` // "case organ" where FLARE's script would have failed
	// Sides says how often left and right are confused; nil where no organ is paired.
	Sides *Sides `json:"left_right,omitempty"`
}

// Line is one organ over all cases.
type Line struct {
	Label       int     `json:"label"`
	Name        string  `json:"name"`
	ToleranceMM float64 `json:"tolerance_mm"`
	Mean                // over the cases that have a score
	DSCSD       float64 `json:"dsc_sd"` // population standard deviation over cases
	NSDSD       float64 `json:"nsd_sd"`
	Cases       int     `json:"cases"`    // with a score
	Unscored    int     `json:"unscored"` // absent in both, left out by the rules
}

// Sides counts voxels of the references' paired organs, and those of them that are
// predicted as the same organ of the other side.
type Sides struct {
	Voxels    int64 `json:"voxels"`
	OtherSide int64 `json:"other_side"`
}

// Part is the confused part, 0 to 1.
func (s Sides) Part() float64 { return float64(s.OtherSide) / max(float64(s.Voxels), 1) }

// Plus adds what other cases show.
func (s Sides) Plus(o Sides) Sides { return Sides{s.Voxels + o.Voxels, s.OtherSide + o.OtherSide} }

// Sides of a case; false where no organ is paired.
func (r Row) Sides() (s Sides, paired bool) {
	for _, o := range r.Organs {
		if o.Paired {
			s, paired = s.Plus(Sides{o.Voxels.Reference(), o.OtherSide}), true
		}
	}
	return s, paired
}

// Mean is a pair of scores, 0..1.
type Mean struct {
	DSC float64 `json:"dsc"`
	NSD float64 `json:"nsd"`
}

// Tabulate averages rows, which may come in any order: the result does not
// depend on it. Rows must share rules and organs.
func Tabulate(rows []Row) (Table, error) {
	if len(rows) == 0 {
		return Table{}, fmt.Errorf("score: no case to tabulate")
	}
	rows = sorted(rows)
	t := Table{Rules: rows[0].Rules, Cases: len(rows)}
	for _, r := range rows {
		if r.Rules != t.Rules || !slices.EqualFunc(r.Organs, rows[0].Organs, sameOrgan) {
			return Table{}, fmt.Errorf("score: %s and %s were scored by different rules or labels", rows[0].Case, r.Case)
		}
		t.Ignored += r.Ignored
		if s, paired := r.Sides(); paired {
			if t.Sides == nil {
				t.Sides = &Sides{}
			}
			*t.Sides = t.Sides.Plus(s)
		}
		for _, s := range r.Organs {
			if s.OneSlice {
				t.Flagged = append(t.Flagged, r.Case+" "+s.Name)
			}
		}
	}
	for i := range rows[0].Organs {
		t.addOrgan(rows, i)
	}
	t.average()
	return t, nil
}

// sorted returns rows by case.
func sorted(rows []Row) []Row {
	rows = slices.Clone(rows)
	slices.SortStableFunc(rows, func(a, b Row) int { return cmp.Compare(a.Case, b.Case) })
	return rows
}

func sameOrgan(a, b Organ) bool {
	return a.Label == b.Label && a.Name == b.Name && a.ToleranceMM == b.ToleranceMM
}

// addOrgan adds the line of organ i.
func (t *Table) addOrgan(rows []Row, i int) {
	first := rows[0].Organs[i]
	l := Line{Label: first.Label, Name: first.Name, ToleranceMM: first.ToleranceMM}
	var dsc, nsd []float64
	present := false
	for _, r := range rows {
		s := r.Organs[i]
		present = present || s.Voxels.Reference() > 0
		if !s.Scored {
			l.Unscored++
			continue
		}
		dsc, nsd = append(dsc, t.Rules.Round(s.DSC)), append(nsd, t.Rules.Round(s.NSD))
	}
	l.Cases = len(dsc)
	l.DSC, l.DSCSD = meanSD(dsc)
	l.NSD, l.NSDSD = meanSD(nsd)
	t.Lines = append(t.Lines, l)
	if !present {
		t.Absent = append(t.Absent, l.Name)
	}
}

// average fills in the mean over organs.
func (t *Table) average() {
	var dsc, nsd []float64
	for _, l := range t.Lines {
		if l.Cases > 0 {
			dsc, nsd = append(dsc, l.DSC), append(nsd, l.NSD)
		}
	}
	t.Mean.DSC, _ = meanSD(dsc)
	t.Mean.NSD, _ = meanSD(nsd)
}

// meanSD returns 0, 0 for no values.
func meanSD(values []float64) (mean, sd float64) {
	if len(values) == 0 {
		return 0, 0
	}
	for _, v := range values {
		mean += v
	}
	mean /= float64(len(values))
	for _, v := range values {
		sd += (v - mean) * (v - mean)
	}
	return mean, math.Sqrt(sd / float64(len(values)))
}

// String gives the table as people read it, in per cent with two decimals.
func (t Table) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%-22s %8s %8s %6s\n", fmt.Sprintf("%s, %d cases", t.Rules, t.Cases), "DSC", "NSD", "mm")
	for _, l := range t.Lines {
		if l.Cases == 0 {
			fmt.Fprintf(&b, "%-22s %8s %8s %6g\n", l.Name, "-", "-", l.ToleranceMM)
			continue
		}
		fmt.Fprintf(&b, "%-22s %8.2f %8.2f %6g\n", l.Name, 100*l.DSC, 100*l.NSD, l.ToleranceMM)
	}
	fmt.Fprintf(&b, "%-22s %8.2f %8.2f\n", "mean", 100*t.Mean.DSC, 100*t.Mean.NSD)
	if len(t.Absent) > 0 {
		fmt.Fprintf(&b, "in no reference: %s\n", strings.Join(t.Absent, ", "))
	}
	if s := t.Sides; s != nil {
		fmt.Fprintf(&b, "left-right confusions: %d of %d voxels of paired organs, %.2f %%\n", s.OtherSide, s.Voxels, 100*s.Part())
	}
	if t.Ignored > 0 {
		fmt.Fprintf(&b, "%d voxels with the ignore label left out\n", t.Ignored)
	}
	for _, f := range t.Flagged {
		fmt.Fprintf(&b, "one reference slice only: %s\n", f)
	}
	return b.String()
}

// CSV gives FLARE's table: a line a case, all DSC columns, then all NSD columns,
// four decimals; empty where the rules give no score.
func CSV(rows []Row) []byte {
	var out bytes.Buffer
	w := csv.NewWriter(&out)
	for i, r := range sorted(rows) {
		if i == 0 {
			w.Write(columns("Name", r.Organs, func(o Organ) (string, string) {
				return organOf(o.Name).short + "_DSC", organOf(o.Name).short + "_NSD"
			}))
		}
		w.Write(columns(r.Case+".nii.gz", r.Organs, func(o Organ) (string, string) {
			if !o.Scored {
				return "", ""
			}
			return decimals(o.DSC), decimals(o.NSD)
		}))
	}
	w.Flush() // a buffer takes everything
	return out.Bytes()
}

// columns puts the first of each pair before the second of each.
func columns(name string, organs []Organ, of func(Organ) (dsc, nsd string)) []string {
	line := make([]string, 1+2*len(organs))
	line[0] = name
	for i, o := range organs {
		line[1+i], line[1+len(organs)+i] = of(o)
	}
	return line
}

func decimals(score float64) string { return strconv.FormatFloat(FLARE22.Round(score), 'f', -1, 64) }
