package pipelines

import (
	"context"
	"fmt"
	"slices"

	"noisystudent/io/store"
	"noisystudent/transforms/cases"
	"noisystudent/transforms/fit"
	"noisystudent/transforms/report"
	"noisystudent/transforms/score"
)

// Loop runs the whole method over a dataset and scores every model on its test
// cases. The report is kept as report/summary.json.
func Loop(ctx context.Context, o Options) (Report, error) {
	r, err := openDataset(ctx, o)
	if err != nil {
		return Report{}, err
	}
	report, err := r.loop(ctx)
	if err != nil {
		return report, err
	}
	return report, r.publish(ctx, r.store, "report/summary.json", report, o.loopLine())
}

// publish writes a report as JSON where it is wanted, and its page into the store.
func (r *run) publish(ctx context.Context, st *store.Store, key string, found Report, command string) error {
	changed, err := renewed(ctx, st, key, found)
	if err != nil {
		return err
	}
	r.clock.closed = true
	return r.writePage(ctx, r.store, pageKey, changed, func() (report.Page, error) { return r.loopPage(ctx, found, command) })
}

// loop is Loop in an open run; extra roles are trained and scored beside the method's own.
func (r *run) loop(ctx context.Context, extra ...fit.Role) (Report, error) {
	control := slices.Contains(extra, fit.Control)
	if err := r.needPlan(ctx); err != nil {
		return Report{}, err
	}
	if err := r.fitBudget(ctx, fit.Finetuned, nil); err != nil {
		return Report{}, err
	}
	if control {
		if err := r.needStudentAndControl(ctx); err != nil {
			return Report{}, err
		}
	}
	tuned, err := r.needFinetuned(ctx, nil)
	if err != nil {
		return Report{}, err
	}
	report := newReport()
	if err := r.test(ctx, &report, tuned[0].Fold, control); err != nil {
		return Report{}, err
	}
	report.Warnings = r.warnings()
	report.Pseudo = r.pseudo.PseudoCounts
	report.Rejected = r.refused
	report.Training = r.courses()
	report.Seconds = r.clock.seconds()
	report.PeakRSS = r.clock.peakRSS()
	r.clock.write(ctx, r.store)
	return report, nil
}

// warnings are what of the data limits what was learned or measured.
func (r *run) warnings() []string {
	list := append([]string{}, r.plan.Warnings()...)
	if all, labelled := len(r.of(cases.Test)), len(r.testCases()); labelled < all {
		list = append(list, fmt.Sprintf("%d of %d test cases have no labels and are in no score; `noisystudent predict` labels them", all-labelled, all))
	}
	return list
}

// contender is one row of the test: a model, or several that vote.
type contender struct {
	name   string
	models []model
	scores *Scores
}

// test scores every model on the test cases that have labels.
func (r *run) test(ctx context.Context, report *Report, best int, control bool) error {
	list := r.testCases()
	if len(list) == 0 {
		r.progress.Note("test: no test cases with labels (imagesTs and labelsTs); nothing is scored")
		return nil
	}
	report.Cases = len(list)
	contenders, err := r.contenders(ctx, report, best, control)
	if err != nil {
		return err
	}
	for _, c := range contenders {
		table, err := r.scoreModel(ctx, "test", c.name, list, c.models, score.FLARE22)
		if err != nil {
			return err
		}
		*c.scores = scoresOf(table)
		report.Absent = append([]string{}, table.Absent...)
	}
	report.Teacher = meanOf(report.Teachers)
	return nil
}

// testCases are the test cases that have labels.
func (r *run) testCases() []cases.Case {
	return slices.DeleteFunc(r.of(cases.Test), func(c cases.Case) bool { return c.Labels == "" })
}

// contenders are all that is tested, with the places of their scores in the report.
func (r *run) contenders(ctx context.Context, report *Report, best int, control bool) ([]contender, error) {
	teachers, err := r.modelsOf(ctx, fit.Teacher, len(r.splits))
	if err != nil {
		return nil, err
	}
	var list []contender
	report.Teachers = make([]Scores, len(teachers))
	for k, m := range teachers {
		list = append(list, contender{fmt.Sprintf("teacher %d", k), []model{m}, &report.Teachers[k]})
	}
	list = append(list, contender{"ensemble", teachers, &report.Ensemble})
	one := func(role fit.Role, fold int, scores *Scores) error {
		m, err := r.modelOf(ctx, role, fold)
		list = append(list, contender{string(role), []model{m}, scores})
		return err
	}
	if err := one(fit.Student, best, &report.Student); err != nil {
		return nil, err
	}
	if err := one(fit.Finetuned, best, &report.Finetuned); err != nil {
		return nil, err
	}
	if control {
		report.Control = &Scores{}
		return list, one(fit.Control, 0, report.Control)
	}
	return list, nil
}
