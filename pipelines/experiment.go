package pipelines

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"noisystudent/io/store"
	"noisystudent/transforms/fit"
	"noisystudent/transforms/phantom"
	"noisystudent/transforms/plan"
	"noisystudent/transforms/report"
)

// ExperimentRequest says what is compared, on which cohort and for how long.
type ExperimentRequest struct {
	Out        string
	Cohort     string        // a preset of phantom, empty: flare-mini; Options.Dataset goes before it
	CT, Labels string        // a real scan that the cohort is deformed from, or empty
	Budget     time.Duration // from which steps are counted, once, before the start
	Steps      int           // of a student, in place of a budget; 0: the budget decides
	Seeds      int           // 0: one, or three from an hour on
	Rows       []string      // empty: core
	before     []string      // rows of the runs before
}

// experimentRow is one way to come by a model: a line of the ablation.
type experimentRow struct {
	name  string // also its role in the store
	text  string // for people
	set   string // core, mix, beyond, or empty: by its name only
	needs string // pool, truth or nothing beside the labelled cases
}

const (
	needsPool  = "pool"
	needsTruth = "truth"
)

// Sets of rows.
const (
	coreSet   = "core"
	mixSet    = "mix"
	beyondSet = "beyond"
)

var experimentRows = append([]experimentRow{
	{"full-width", "twice the features; mean of its folds", "", ""},
	{"low-footprint", "one teacher; mean of the folds", coreSet, ""},
	{"ensemble", "all teachers vote", coreSet, ""},
	{"student-plain", "student without extra noise: the teachers' augmentation", coreSet, needsPool},
	{"student", "student with noise, 1 labelled : 3 pseudo-labelled", coreSet, needsPool},
	{"finetuned", "and fine-tuned on the labelled cases", coreSet, needsPool},
	{"control", "labelled cases only, the student's augmentation, steps of student and fine-tune", coreSet, ""},
	{"control-loop", "the same for the steps of all models of the loop together", coreSet, ""},
	{"ceiling", "student with the true labels of the pool, steps of student and fine-tune", coreSet, needsTruth},
	{"mix-1:0", "labelled cases only, steps of the student", mixSet, ""},
	{"mix-1:1", "student, 1 labelled : 1 pseudo-labelled", mixSet, needsPool},
	{"mix-1:7", "student, 1 labelled : 7 pseudo-labelled", mixSet, needsPool},
}, beyondRows...)

// RowNames are the words that ExperimentRequest.Rows takes.
func RowNames() []string {
	names := []string{coreSet, mixSet, beyondSet, "all"}
	for _, r := range experimentRows {
		names = append(names, r.name)
	}
	return names
}

// complete fills in what was left open and refuses what cannot be meant.
func (q ExperimentRequest) complete() (ExperimentRequest, error) {
	if q.Cohort == "" {
		q.Cohort = phantom.FlareMini
	}
	if q.Seeds == 0 && q.Budget >= time.Hour {
		q.Seeds = 3
	} else if q.Seeds == 0 {
		q.Seeds = 1
	}
	if len(q.Rows) == 0 {
		q.Rows = []string{coreSet}
	}
	switch {
	case q.Out == "":
		return q, misuse("no folder for the experiment; give --out=DIR")
	case (q.Budget == 0) == (q.Steps == 0):
		return q, misuse("give either --budget, such as 30m, or --steps of a student")
	case q.Budget < 0 || q.Steps < 0 || q.Seeds < 0:
		return q, misuse("a budget of %v, %d steps and %d seeds; give positive ones", q.Budget, q.Steps, q.Seeds)
	case (q.CT == "") != (q.Labels == ""):
		return q, misuse("a cohort from a real scan needs both the CT and its labels")
	}
	if _, err := phantom.Preset(q.Cohort); err != nil {
		return q, &UsageError{err.Error()}
	}
	names := RowNames()
	for _, row := range q.Rows {
		if !slices.Contains(names, row) {
			return q, misuse("no row %q; use %s", row, strings.Join(names, ", "))
		}
	}
	return q, nil
}

// rows are the rows asked for, now or before, in the order of the tables. Those beyond the paper bring
// what they are compared with.
func (q ExperimentRequest) rows() (list []experimentRow) {
	asked := func(r experimentRow) bool {
		return slices.Contains(q.before, r.name) || slices.Contains(q.Rows, r.name) || slices.Contains(q.Rows, "all") || r.set != "" && slices.Contains(q.Rows, r.set)
	}
	beyond := slices.ContainsFunc(beyondRows, asked)
	for _, r := range experimentRows {
		if asked(r) || beyond && (r.name == "low-footprint" || r.name == "student") {
			list = append(list, r)
		}
	}
	return list
}

// place is an address below the experiment's folder.
func (q ExperimentRequest) place(elements ...string) string {
	return strings.TrimRight(q.Out, "/") + "/" + path.Join(elements...)
}

// prepare makes the cohort where no dataset is given, and sets what all stores share.
func (q ExperimentRequest) prepare(ctx context.Context, o Options) (Options, error) {
	o.Preset = plan.Demo
	o.Set = append([]string{"training.student_all_labels=false"}, o.Set...)
	if o.Dataset != "" {
		return o, nil
	}
	cohort, err := phantom.Preset(q.Cohort)
	if err != nil {
		return o, err
	}
	cohort.CT, cohort.Labels = q.CT, q.Labels
	o.Dataset = q.place("cohort")
	_, err = Phantom(ctx, o, PhantomRequest{Out: o.Dataset, Options: cohort})
	return o, err
}

// cohortName says on what figures were measured; every table begins with it.
func cohortName(ctx context.Context, dataset string) (string, error) {
	st, err := store.Open(ctx, dataset)
	if err != nil {
		return "", err
	}
	var c cohortRecord
	data, err := st.Read(ctx, cohortFile)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "dataset " + path.Base(strings.TrimRight(dataset, "/")), nil
	case err != nil:
		return "", err
	}
	if err := json.Unmarshal(data, &c); err != nil {
		return "", fmt.Errorf("pipelines: read %s: %w", st.Address(cohortFile), err)
	}
	kind := "phantoms"
	if c.Options.CT != "" {
		kind = "deformations of one scan"
	}
	name := c.Options.Preset
	if name == "" {
		name = "of its own"
	}
	return fmt.Sprintf("SYNTHETIC cohort %s (%s, seed %d)", name, kind, c.Options.Seed), nil
}

// PaperTables trains the rows of the paper's tables and of the controls, scores them on
// the test cases and says which of the paper's claims hold. A second run does only what
// is missing; more rows may be asked for later, with the same schedule.
func PaperTables(ctx context.Context, o Options, q ExperimentRequest) (Comparison, error) {
	q, err := q.complete()
	if err != nil {
		return Comparison{}, err
	}
	if o, err = q.prepare(ctx, o); err != nil {
		return Comparison{}, err
	}
	c := Comparison{Format: comparisonFormat}
	if c.Cohort, err = cohortName(ctx, o.Dataset); err != nil {
		return c, err
	}
	if c.Schedule, err = q.schedule(ctx, o, loopUnits); err != nil {
		return c, err
	}
	if q.before, err = q.rowsBefore(ctx); err != nil {
		return c, err
	}
	var labs []*lab
	for seed := 1; seed <= q.Seeds; seed++ {
		l, err := q.lab(ctx, o, c.Schedule, uint64(seed))
		if err == nil {
			err = l.train(ctx)
		}
		if err != nil {
			return c, err
		}
		labs = append(labs, l)
	}
	for _, l := range labs { // test cases are read once all models are there
		if err := l.compare(ctx, &c); err != nil {
			return c, err
		}
	}
	c.conclude(q.rows())
	return c, q.keep(ctx, c, labs[0])
}

// resultFile is the result of an experiment for programs.
const resultFile = "comparison.json"

// rowsBefore are the rows that the runs before have left, so that tables lose none.
func (q ExperimentRequest) rowsBefore(ctx context.Context) (names []string, err error) {
	st, err := store.Open(ctx, q.Out)
	if err != nil {
		return nil, err
	}
	var c Comparison
	if _, err := readJSON(ctx, st, resultFile, &c); err != nil {
		return nil, err
	}
	for _, s := range c.Seeds {
		names = slices.AppendSeq(names, maps.Keys(s.Rows))
	}
	return names, nil
}

// keep writes the result for programs and for people, whose page shows cases of the first seed.
func (q ExperimentRequest) keep(ctx context.Context, c Comparison, first *lab) error {
	st, err := store.Open(ctx, q.Out)
	if err != nil {
		return err
	}
	changed, err := renewed(ctx, st, resultFile, c)
	if err != nil {
		return err
	}
	if err := st.Write(ctx, "tables.txt", []byte(c.String()+"\n")); err != nil {
		return err
	}
	return first.writePage(ctx, st, pageKey, changed, func() (report.Page, error) { return q.page(ctx, c, first) })
}

// page shows the tables and claims of all seeds, and of one seed the cases and the training.
func (q ExperimentRequest) page(ctx context.Context, c Comparison, l *lab) (p report.Page, err error) {
	p = report.Page{
		Title: "noisystudent experiment paper-tables", Text: c.String(), Organs: l.plan.Labels, Commands: []string{q.line(l.Dataset)},
		Shown: fmt.Sprintf("fine-tuned, seed %d", l.seed), Scans: map[string]string{}, Rejected: l.refused, BudgetBytes: l.memory(),
	}
	list := l.testCases()
	for _, x := range list {
		p.Scans[x.ID] = x.Image
	}
	if p.Rows, err = l.rowsOf(ctx, "test_"+string(fit.Finetuned), list); err != nil {
		return p, err
	}
	if len(p.Rows) > 0 {
		p.Commands = append(p.Commands, viewLine(folderOf(list[0].Image), p.Rows[0]))
	}
	if p.Courses, err = l.histories(ctx, l.courses()); err != nil {
		return p, err
	}
	return p, l.showDoubts(ctx, &p)
}

// line is the command that goes on with the experiment.
func (q ExperimentRequest) line(dataset string) string {
	text := commandLine("experiment paper-tables", "out", q.Out, "rows", strings.Join(q.Rows, ","))
	if dataset != q.place("cohort") {
		text += " --dataset " + Quoted(dataset)
	} else {
		text += " --cohort " + q.Cohort
	}
	if q.CT != "" {
		text += " --from " + Quoted(q.CT+","+q.Labels)
	}
	if q.Budget > 0 {
		return fmt.Sprintf("%s --seeds %d --budget %v", text, q.Seeds, q.Budget)
	}
	return fmt.Sprintf("%s --seeds %d --steps %d", text, q.Seeds, q.Steps)
}
