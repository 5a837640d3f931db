package pipelines

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"noisystudent/transforms/cases"
	"noisystudent/transforms/fit"
	"noisystudent/transforms/plan"
	"noisystudent/transforms/pseudo"
	"noisystudent/transforms/score"
)

// beyondRows are what goes beyond the paper, an option each: a student of the same fold
// and as many steps as the paper's.
var beyondRows = []experimentRow{
	{"mirror-plain", "student flipped along every axis, the paper's mirroring", beyondSet, needsPool},
	{"mirror-left-right", "student flipped left to right, labels of paired organs exchanged", beyondSet, needsPool},
	{"filter-organs", "student without the part of each organ's pseudo-labels that teachers doubt most", beyondSet, needsPool},
	{"filter-priors", "student without organs of an unusual size or in an unusual place", beyondSet, needsPool},
	{"filter-voxels", "student without voxels whose pseudo-label is not probable", beyondSet, needsPool},
	{"weigh-voxels", "student in which a voxel counts as often as its pseudo-label is probable", beyondSet, needsPool},
	{"soft", "student whose voxels are drawn: the pseudo-label with its probability, else the second class", beyondSet, needsPool},
	{"ema", "student that predicts with the moving average of its weights, of which each epoch keeps 0.8", beyondSet, needsPool},
	{"round-2", "student of pseudo-labels that the students of all folds have made", beyondSet, needsPool},
	{"round-2-stable", "the same without organs that have changed since the first round", beyondSet, needsPool},
}

// beyondRules are the rows that choose among pseudo-labels, with settings that were fixed
// before any was scored.
var beyondRules = map[string]plan.Pseudo{
	"filter-organs": {DropPart: 0.3, MinOrgans: 0.5},
	"filter-priors": {MaxDeviation: 3},
	"filter-voxels": {MinVoxelConfidence: 0.7},
	"weigh-voxels":  {WeighVoxels: true},
	"soft":          {Soft: true},
}

// secondRules are the rows that choose among the pseudo-labels of the second round.
var secondRules = map[string]plan.Pseudo{
	"round-2":        {},
	"round-2-stable": {MaxChange: 0.3},
}

// needsDoubts tells whether rows must know where teachers doubt.
func (l *lab) needsDoubts() bool {
	for _, rules := range []map[string]plan.Pseudo{beyondRules, secondRules} {
		for name, rule := range rules {
			if l.wants(name) && rule.ByDoubt() {
				return true
			}
		}
	}
	return false
}

// beyond are the jobs of the rows that are wanted.
func (l *lab) beyond(ctx context.Context) (map[string]func(fold int) fit.Job, error) {
	builders := map[string]func(fold int) fit.Job{
		"mirror-plain":      l.mirrored("plain"),
		"mirror-left-right": l.mirrored("left-right"),
		"ema": func(fold int) fit.Job {
			j := l.studentJob(l.pool)(fold)
			j.Plan.Training.WeightsEMA = 0.8
			return j
		},
	}
	if err := l.chosen(ctx, builders, l.voted, beyondRules); err != nil {
		return nil, err
	}
	if slices.ContainsFunc(slices.Collect(maps.Keys(secondRules)), l.wants) {
		b, err := l.secondRound(ctx)
		if err == nil {
			err = l.chosen(ctx, builders, b, secondRules)
		}
		if err != nil {
			return nil, err
		}
	}
	return builders, nil
}

// chosen adds the students of what rules leave of the pseudo-labels of a round.
func (l *lab) chosen(ctx context.Context, builders map[string]func(fold int) fit.Job, of ballot, rules map[string]plan.Pseudo) error {
	for _, name := range slices.Sorted(maps.Keys(rules)) {
		if !l.wants(name) {
			continue
		}
		rule := rules[name]
		pool, s, err := l.selected(ctx, of, rule)
		if err != nil {
			return err
		}
		if len(pool) == 0 {
			l.dropRow(name, "no pseudo-label is left")
			continue
		}
		if rule.ByOrgan() {
			l.remarks = append(l.remarks, fmt.Sprintf("seed %d: %s: %s", l.seed, name, countsOf(s)))
			if err := l.store.Write(ctx, "report/"+name+".csv", s.CSV(l.plan.Labels)); err != nil {
				return err
			}
		}
		builders[name] = func(fold int) fit.Job {
			j := l.studentJob(pool)(fold)
			j.Plan.Pseudo = rule
			return j
		}
	}
	return nil
}

// secondRound has the students label the pool.
func (l *lab) secondRound(ctx context.Context) (b ballot, err error) {
	b.round = l.voted.round + 1
	if b.models, err = l.modelsOf(ctx, fit.Student, l.run.folds(fit.Student)); err == nil {
		b.outcome, err = l.pseudolabel(ctx, b, l.of(cases.Unlabelled))
	}
	return b, err
}

// mirrored is a student with another mirroring.
func (l *lab) mirrored(mode string) func(fold int) fit.Job {
	return func(fold int) fit.Job {
		j := l.studentJob(l.pool)(fold)
		j.Plan.Training.Mirror = mode
		return j
	}
}

// beyondTable compares the rows with the student, and lists how often left and right are
// confused.
func (c Comparison) beyondTable(b *strings.Builder) {
	if !slices.ContainsFunc(c.rows, func(r experimentRow) bool { return r.set == beyondSet }) {
		return
	}
	fmt.Fprintf(b, "\nBeyond the paper: over a student of equal steps, on %s\n%-18s %13s %24s %13s\n", c.Cohort, "row", "DSC / NSD, %", "over student, DSC", "left-right, %")
	for _, row := range c.rows {
		if row.set != beyondSet && row.name != "student" || len(c.all(row.name)) == 0 {
			continue
		}
		over := "-"
		if row.name != "student" {
			over = c.over(row.name, "student")
		}
		fmt.Fprintf(b, "%-18s %13s %24s %13.2f\n", row.name, c.organ(row.name, "mean"), over, 100*c.sides(row.name).Part())
	}
	for _, s := range c.Seeds {
		for _, q := range s.Filters {
			fmt.Fprintf(b, "seed %d, %s: %s", s.Seed, q.Row, q)
		}
	}
}

// sides of a row's predictions, of all seeds.
func (c Comparison) sides(row string) (all score.Sides) {
	for _, r := range c.all(row) {
		all = all.Plus(r.Sides)
	}
	return all
}

// FilterQuality is how good the pseudo-labels of organs are that a row keeps and leaves
// out, DSC against the truth, 0..1.
type FilterQuality struct {
	Row    string          `json:"row"`
	Organs []FilteredOrgan `json:"organs"`
	// Is what is kept over what is left out, mean over organs, in per cent; the interval is
	// over organs.
	Is score.Interval `json:"difference"`
}

// FilteredOrgan is one organ's kept and left-out pseudo-labels.
type FilteredOrgan struct {
	Name       string  `json:"organ"`
	Kept       int     `json:"kept"`
	LeftOut    int     `json:"left_out"`
	DSC        float64 `json:"kept_dsc"`
	LeftOutDSC float64 `json:"left_out_dsc"`
}

// String gives the table.
func (q FilterQuality) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "pseudo-labels against the truth, DSC, %%\n%-22s %6s %6s %9s %6s\n", "organ", "kept", "DSC", "left out", "DSC")
	for _, o := range q.Organs {
		fmt.Fprintf(&b, "%-22s %6d %6.1f %9d %6.1f\n", o.Name, o.Kept, 100*o.DSC, o.LeftOut, 100*o.LeftOutDSC)
	}
	fmt.Fprintf(&b, "kept over left out, mean of organs: %s, interval over organs\n", percent(q.Is))
	return b.String()
}

// judgeFilters compares what rows that choose organs leave with what they leave out.
func (l *lab) judgeFilters(ctx context.Context, name string) (list []FilterQuality, err error) {
	found := map[string]score.Row{}
	for _, row := range beyondRows {
		rule := beyondRules[row.name]
		if !rule.ByOrgan() || !l.wants(row.name) {
			continue
		}
		_, s, err := l.selected(ctx, l.voted, rule)
		if err != nil {
			return nil, err
		}
		for _, c := range s.Organs {
			if _, met := found[c.Case]; met {
				continue
			}
			var scored score.Row
			if _, err := l.readJSON(ctx, "scores/"+name+"/"+c.Case+".json", &scored); err != nil {
				return nil, err
			}
			found[c.Case] = scored
		}
		if q := filterQuality(row.name, s, found, l.plan); len(q.Organs) > 0 {
			list = append(list, q)
		}
	}
	return list, nil
}

// filterQuality joins choices with the scores of their cases; organs of which nothing is
// left out, or nothing is known, are not among them.
func filterQuality(row string, s pseudo.Selection, found map[string]score.Row, p plan.Plan) FilterQuality {
	q := FilterQuality{Row: row}
	var differences []float64
	for _, label := range p.Labels {
		o := FilteredOrgan{Name: label.Name}
		for _, c := range s.Organs {
			for _, scored := range found[c.Case].Organs {
				switch {
				case c.Label != label.ID || scored.Label != label.ID:
				case c.Why == "":
					o.Kept, o.DSC = o.Kept+1, o.DSC+scored.DSC
				default:
					o.LeftOut, o.LeftOutDSC = o.LeftOut+1, o.LeftOutDSC+scored.DSC
				}
			}
		}
		if o.Kept == 0 || o.LeftOut == 0 {
			continue
		}
		o.DSC, o.LeftOutDSC = o.DSC/float64(o.Kept), o.LeftOutDSC/float64(o.LeftOut)
		q.Organs = append(q.Organs, o)
		differences = append(differences, 100*(o.DSC-o.LeftOutDSC))
	}
	if len(differences) > 0 {
		q.Is = score.Bootstrap([][]float64{differences})
	}
	return q
}
