package pipelines

import (
	"fmt"
	"slices"
	"strings"

	"noisystudent/transforms/score"
)

// comparisonFormat of comparison.json.
const comparisonFormat = 1

// Comparison is the result of an experiment, comparison.json.
type Comparison struct {
	Format   int          `json:"format"`
	Cohort   string       `json:"cohort"` // says that it is synthetic, if it is
	Schedule Schedule     `json:"schedule"`
	Organs   []string     `json:"organs"` // that a test case holds
	Seeds    []SeedResult `json:"seeds"`
	Claims   []Claim      `json:"claims"`
	Notes    []string     `json:"notes"`
	rows     []experimentRow
}

// note adds what people should know, once.
func (c *Comparison) note(text string) {
	if !slices.Contains(c.Notes, text) {
		c.Notes = append(c.Notes, text)
	}
}

// conclude judges all claims.
func (c *Comparison) conclude(rows []experimentRow) {
	c.rows = rows
	c.Claims = []Claim{}
	for i, of := range claims {
		if i == 1 { // after the same claim about the test cases
			c.Claims = append(c.Claims, c.crossValidation())
		}
		c.Claims = append(c.Claims, c.judge(of))
	}
	for _, row := range rows {
		if row.set == beyondSet {
			c.Claims = append(c.Claims, c.judge(statement{row.name + " > student", row.name, "student", 0, dsc, meanDSC}))
		}
	}
}

// paperOrgan is a line of the paper's Table 7, DSC / NSD in per cent: nnU-Net,
// low-footprint, student.
type paperOrgan struct {
	name   string
	scores [3][2]float64
}

var paperTable7 = []paperOrgan{
	{"liver", [3][2]float64{{96.73, 94.33}, {96.5, 94.43}, {97.58, 97.43}}},
	{"right_kidney", [3][2]float64{{85.2, 83.59}, {80.44, 77.3}, {86.61, 85.88}}},
	{"spleen", [3][2]float64{{93.87, 92.25}, {92.45, 91.16}, {95.75, 95.32}}},
	{"pancreas", [3][2]float64{{82.11, 91.04}, {83.86, 92.4}, {84.05, 93.4}}},
	{"aorta", [3][2]float64{{97.13, 98.52}, {96.96, 98.25}, {96.58, 98.8}}},
	{"inferior_vena_cava", [3][2]float64{{87.64, 87.25}, {87.22, 87.02}, {88.17, 88.36}}},
	{"right_adrenal_gland", [3][2]float64{{85.43, 94.95}, {80.27, 89.73}, {80.73, 90.94}}},
	{"left_adrenal_gland", [3][2]float64{{88.23, 96.96}, {82.7, 91.71}, {88.13, 97.57}}},
	{"gallbladder", [3][2]float64{{57.19, 56.91}, {62.95, 62.0}, {67.18, 66.31}}},
	{"esophagus", [3][2]float64{{86.01, 92.72}, {83.92, 90.3}, {88.56, 96.16}}},
	{"stomach", [3][2]float64{{87.82, 88.41}, {80.82, 84.68}, {88.4, 90.95}}},
	{"duodenum", [3][2]float64{{71.94, 84.83}, {74.07, 86.74}, {77.75, 89.7}}},
	{"left_kidney", [3][2]float64{{86.2, 85.73}, {82.51, 79.83}, {91.13, 91.01}}},
	{"mean", [3][2]float64{{85.04, 88.27}, {83.44, 86.58}, {86.97, 90.91}}},
}

// systems are the paper's three, as rows.
var systems = [3]string{"full-width", "low-footprint", "finetuned"}

// String gives the tables and a line a claim.
func (c Comparison) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s; %s\nPaper: FLARE 2022, patients. Ours and the paper's figures lie on different data: compare differences, not levels.\n", c.Cohort, c.Schedule)
	c.table1(&b)
	c.table6(&b)
	c.table7(&b)
	c.ablation(&b)
	c.beyondTable(&b)
	fmt.Fprintf(&b, "\nClaims, on %s\n", c.Cohort)
	for _, claim := range c.Claims {
		fmt.Fprintf(&b, "%s\n", claim)
	}
	for _, text := range c.Notes {
		fmt.Fprintf(&b, "note: %s\n", text)
	}
	return strings.TrimRight(b.String(), "\n")
}

// head is a table's first line.
func (c Comparison) head(b *strings.Builder, title string, columns ...string) {
	fmt.Fprintf(b, "\n%s, on %s\n%-22s", title, c.Cohort, "ours (paper)")
	for _, name := range columns {
		fmt.Fprintf(b, " %29s", name)
	}
	b.WriteByte('\n')
}

func line(b *strings.Builder, name string, columns ...string) {
	fmt.Fprintf(b, "%-22s", name)
	for _, text := range columns {
		fmt.Fprintf(b, " %29s", text)
	}
	b.WriteByte('\n')
}

func (c Comparison) table1(b *strings.Builder) {
	c.head(b, "Table 1: cost of a case", "nnU-Net", "low-footprint", "student")
	paper := [3]struct{ memory, time string }{{"5.911 GB of GPU", "535.4 s"}, {"1.834 GB of GPU", "122.3 s"}, {"1.722 GB of GPU", "53.5 s"}}
	var memory, time []string
	for i, name := range systems {
		m, t := "-", "-"
		if list := c.all(name); len(list) > 0 {
			sum := 0.0
			for _, r := range list {
				sum += mean(r.Seconds) / float64(len(list))
			}
			m, t = fmt.Sprintf("%d MiB", c.Seeds[0].Memory[name]>>20), fmt.Sprintf("%.3f s", sum)
		}
		memory, time = append(memory, m+" ("+paper[i].memory+")"), append(time, t+" ("+paper[i].time+")")
	}
	line(b, "network memory", memory...)
	line(b, "network time", time...)
}

func (c Comparison) table6(b *strings.Builder) {
	c.head(b, "Table 6: cross-validation, mean foreground DSC of folds ± sd", "low-footprint", "student")
	paper := []string{"93.5 ± 0.4", "94.0 ± 0.4"}
	var columns []string
	for i, of := range []func(SeedResult) []float64{
		func(s SeedResult) []float64 { return s.Teacher }, func(s SeedResult) []float64 { return s.Student },
	} {
		var folds []float64
		for _, s := range c.Seeds {
			for _, dsc := range of(s) {
				if dsc >= 0 {
					folds = append(folds, 100*dsc)
				}
			}
		}
		text := "-"
		if len(folds) > 0 {
			text = fmt.Sprintf("%.1f ± %.1f", mean(folds), deviation(folds))
		}
		columns = append(columns, text+" ("+paper[i]+")")
	}
	line(b, "DSC, %", columns...)
}

func (c Comparison) table7(b *strings.Builder) {
	c.head(b, "Table 7: held-out DSC / NSD, %", "nnU-Net", "low-footprint", "student")
	for _, of := range paperTable7 {
		var columns []string
		for i, name := range systems {
			columns = append(columns, fmt.Sprintf("%s (%.1f / %.1f)", c.organ(name, of.name), of.scores[i][0], of.scores[i][1]))
		}
		line(b, of.name, columns...)
	}
}

// organ is DSC / NSD of an organ, or of the mean, over all seeds.
func (c Comparison) organ(row, organ string) string {
	list := c.all(row)
	k := slices.Index(c.Organs, organ)
	if len(list) == 0 || k < 0 && organ != "mean" {
		return "-"
	}
	var dsc, nsd []float64
	for _, r := range list {
		d, n := r.means(k)
		dsc, nsd = append(dsc, d), append(nsd, n)
	}
	return fmt.Sprintf("%.1f / %.1f", mean(dsc), mean(nsd))
}

// all are the results of a row, by seed.
func (c Comparison) all(row string) (list []RowResult) {
	for _, s := range c.Seeds {
		if r, ok := s.Rows[row]; ok {
			list = append(list, r)
		}
	}
	return list
}

// means of organ k over cases, in per cent; -1: of all organs.
func (r RowResult) means(k int) (dsc, nsd float64) {
	for i := range r.Cases {
		d, n := mean(r.DSC[i]), mean(r.NSD[i])
		if k >= 0 {
			d, n = r.DSC[i][k], r.NSD[i][k]
		}
		dsc, nsd = dsc+100*d/float64(len(r.Cases)), nsd+100*n/float64(len(r.Cases))
	}
	return dsc, nsd
}

func (r RowResult) organ(k int) string {
	dsc, nsd := r.means(k)
	return fmt.Sprintf("%.1f / %.1f", dsc, nsd)
}

func (r RowResult) mean() string { return r.organ(-1) }

// ablation is every row beside the single teacher.
func (c Comparison) ablation(b *strings.Builder) {
	fmt.Fprintf(b, "\nAll rows: held-out means over seeds 1 to %d, on %s\n%-18s %13s %24s %9s  %s\n", len(c.Seeds), c.Cohort, "row", "DSC / NSD, %", "over low-footprint, DSC", "steps", "what")
	for _, row := range c.rows {
		list := c.all(row.name)
		if len(list) == 0 {
			continue
		}
		over := "-"
		if row.name != "low-footprint" {
			over = c.over(row.name, "low-footprint")
		}
		fmt.Fprintf(b, "%-18s %13s %24s %9d  %s\n", row.name, c.organ(row.name, "mean"), over, list[0].Steps, row.text)
	}
	for _, s := range c.Seeds {
		if s.Pseudo.Kept+s.Pseudo.Dropped > 0 {
			fmt.Fprintf(b, "seed %d: single models train on fold %d; %s\n", s.Seed, s.Fold, s.Pseudo)
		}
	}
}

// over is the paired difference of two rows, DSC of 100; - where not every seed has both.
func (c Comparison) over(a, b string) string {
	var differences [][]float64
	for _, s := range c.Seeds {
		if d, err := paired(s.Rows[a], s.Rows[b], meanDSC); err == nil {
			differences = append(differences, d)
		}
	}
	if len(differences) != len(c.Seeds) || len(differences) == 0 || len(differences[0]) == 0 {
		return "-"
	}
	return percent(score.Bootstrap(differences))
}
