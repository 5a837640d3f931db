package pipelines

import (
	"fmt"
	"strings"

	"noisystudent/transforms/score"
)

// reportFormat of summary.json.
const reportFormat = 1

// Report is what the loop found, summary.json. Scores are over the test cases, by
// FLARE 2022's rules, 0..1; means are over the organs that a reference holds.
type Report struct {
	Format    int                `json:"format"`
	Note      string             `json:"note,omitempty"`
	Teacher   Scores             `json:"teacher"` // mean of the teachers
	Ensemble  Scores             `json:"ensemble"`
	Student   Scores             `json:"student"`
	Finetuned Scores             `json:"finetuned"`
	Control   *Scores            `json:"control,omitempty"` // supervised, as many steps as student and fine-tune
	Teachers  []Scores           `json:"teachers"`
	Pseudo    PseudoCounts       `json:"pseudo_labels"`
	Training  []Course           `json:"training"`      // of every model
	Absent    []string           `json:"absent_organs"` // that no test case holds
	Cases     int                `json:"test_cases"`
	Warnings  []string           `json:"warnings"` // what of the data limits what was learned or measured
	Rejected  []Rejected         `json:"rejected"`
	Seconds   map[string]float64 `json:"seconds"` // wall seconds of each stage that ran
	PeakRSS   int64              `json:"peak_rss_bytes"`
}

// newReport has no null where a list or a map belongs.
func newReport() Report {
	none := func() Scores { return Scores{PerOrgan: map[string]Organ{}} }
	return Report{
		Format: reportFormat, Teacher: none(), Ensemble: none(), Student: none(), Finetuned: none(),
		Teachers: []Scores{}, Training: []Course{}, Absent: []string{}, Warnings: []string{}, Rejected: []Rejected{}, Seconds: map[string]float64{},
	}
}

// PseudoCounts says what selection did.
type PseudoCounts struct {
	Kept    int `json:"kept"`
	Dropped int `json:"dropped"`
	Organs  int `json:"organs_left_out,omitempty"` // of those kept
}

func (p PseudoCounts) String() string {
	text := fmt.Sprintf("%d pseudo-labels kept, %d dropped", p.Kept, p.Dropped)
	if p.Organs > 0 {
		text += fmt.Sprintf("; %d organs of those kept are left out", p.Organs)
	}
	return text
}

// Scores is one model's row of the table.
type Scores struct {
	DSC      float64          `json:"mean_dsc"`
	NSD      float64          `json:"mean_nsd"`
	PerOrgan map[string]Organ `json:"per_organ"`
	order    []string
}

// Organ is one organ's mean over the test cases.
type Organ struct {
	DSC   float64 `json:"dsc"`
	NSD   float64 `json:"nsd"`
	Cases int     `json:"cases"`
}

// scoresOf leaves absent organs out of the mean: FLARE's rule gives them 1.
func scoresOf(t score.Table) Scores {
	absent := map[string]bool{}
	for _, name := range t.Absent {
		absent[name] = true
	}
	s := Scores{PerOrgan: map[string]Organ{}}
	for _, l := range t.Lines {
		if absent[l.Name] || l.Cases == 0 {
			continue
		}
		s.PerOrgan[l.Name] = Organ{DSC: l.DSC, NSD: l.NSD, Cases: l.Cases}
		s.order = append(s.order, l.Name)
		s.DSC += l.DSC
		s.NSD += l.NSD
	}
	if n := float64(len(s.order)); n > 0 {
		s.DSC, s.NSD = s.DSC/n, s.NSD/n
	}
	return s
}

// meanOf averages models organ by organ.
func meanOf(list []Scores) Scores {
	mean := Scores{PerOrgan: map[string]Organ{}, order: list[0].order}
	n := float64(len(list))
	for _, s := range list {
		mean.DSC += s.DSC / n
		mean.NSD += s.NSD / n
		for name, o := range s.PerOrgan {
			m := mean.PerOrgan[name]
			mean.PerOrgan[name] = Organ{DSC: m.DSC + o.DSC/n, NSD: m.NSD + o.NSD/n, Cases: o.Cases}
		}
	}
	return mean
}

// String gives the table: DSC / NSD in per cent, a column a model.
func (r Report) String() string {
	var b strings.Builder
	if r.Cases > 0 {
		r.table(&b)
	} else {
		b.WriteString("no test cases with labels: nothing was scored\n")
	}
	b.WriteString(r.Pseudo.String())
	if len(r.Absent) > 0 {
		fmt.Fprintf(&b, "\nin no test case, and in no mean: %s", strings.Join(r.Absent, ", "))
	}
	if text := skippedText(r.Training); text != "" {
		b.WriteString("\n" + text)
	}
	for _, text := range r.Warnings {
		b.WriteString("\nwarning: " + text)
	}
	if r.Note != "" {
		b.WriteString("\n" + r.Note)
	}
	return b.String()
}

// contenders are the models of the table.
func (r Report) contenders() (names []string, columns []Scores) {
	names = []string{"teacher", "ensemble", "student", "fine-tuned"}
	columns = []Scores{r.Teacher, r.Ensemble, r.Student, r.Finetuned}
	if r.Control != nil {
		names, columns = append(names, "control"), append(columns, *r.Control)
	}
	return names, columns
}

func (r Report) table(b *strings.Builder) {
	names, columns := r.contenders()
	fmt.Fprintf(b, "%-22s", "DSC / NSD, %")
	for _, name := range names {
		fmt.Fprintf(b, " %13s", name)
	}
	for _, organ := range r.Ensemble.order {
		fmt.Fprintf(b, "\n%-22s", organ)
		for _, c := range columns {
			fmt.Fprintf(b, " %5.1f / %5.1f", 100*c.PerOrgan[organ].DSC, 100*c.PerOrgan[organ].NSD)
		}
	}
	fmt.Fprintf(b, "\n%-22s", "mean")
	for _, c := range columns {
		fmt.Fprintf(b, " %5.1f / %5.1f", 100*c.DSC, 100*c.NSD)
	}
	fmt.Fprintf(b, "\n%d test cases; teacher is the mean of %d", r.Cases, len(r.Teachers))
	if r.Control != nil {
		b.WriteString("; control: labelled cases only, as many steps as student and fine-tune")
	}
	b.WriteByte('\n')
}
