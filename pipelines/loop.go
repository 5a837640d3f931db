package pipelines

import (
	"context"
	"fmt"
	"slices"

	"noisystudent/transforms/cases"
	"noisystudent/transforms/fit"
	"noisystudent/transforms/score"
)

// Loop runs the whole method over a dataset and scores every model on its test cases.
func Loop(ctx context.Context, o Options) (Report, error) {
	r, err := openDataset(ctx, o)
	if err != nil {
		return Report{}, err
	}
	report, err := r.loop(ctx)
	if err != nil {
		return report, err
	}
	return report, r.writeJSON(ctx, "report/summary.json", report)
}

// loop is Loop in an open run; extra roles are trained and scored beside the method's own.
func (r *run) loop(ctx context.Context, extra ...fit.Role) (Report, error) {
	report := Report{Format: reportFormat}
	if err := r.needPlan(ctx); err != nil {
		return report, err
	}
	if err := r.needPrepared(ctx, cases.Labelled, cases.Unlabelled); err != nil {
		return report, err
	}
	if _, err := r.needTeachers(ctx, nil); err != nil {
		return report, err
	}
	tuned, err := r.needFinetuned(ctx)
	if err != nil {
		return report, err
	}
	if slices.Contains(extra, fit.Control) {
		if _, err := r.needControls(ctx, []int{0}); err != nil {
			return report, err
		}
	}
	if err := r.test(ctx, &report, tuned[0].Fold, slices.Contains(extra, fit.Control)); err != nil {
		return report, err
	}
	report.Pseudo = r.pseudo
	report.Rejected = r.refused
	report.Seconds = r.seconds
	report.PeakRSS = PeakRSS()
	return report, nil
}

// test scores every model on the test cases that have labels.
func (r *run) test(ctx context.Context, report *Report, best int, control bool) error {
	var list []cases.Case
	for _, c := range r.of(cases.Test) {
		if c.Labels != "" {
			list = append(list, c)
		}
	}
	if len(list) == 0 {
		r.progress.Note("test: no test cases with labels (imagesTs and labelsTs); nothing is scored")
		return nil
	}
	report.Cases = len(list)
	teachers, err := r.modelsOf(ctx, fit.Teacher, len(r.splits))
	if err != nil {
		return err
	}
	rate := func(name string, models ...model) (Scores, error) {
		table, err := r.scoreModel(ctx, "test "+name, list, models, score.FLARE22)
		report.Absent = table.Absent
		return scoresOf(table), err
	}
	for k, m := range teachers {
		s, err := rate(fmt.Sprintf("teacher %d", k), m)
		if err != nil {
			return err
		}
		report.Teachers = append(report.Teachers, s)
	}
	report.Teacher = meanOf(report.Teachers)
	if report.Ensemble, err = rate("ensemble", teachers...); err != nil {
		return err
	}
	one := func(role fit.Role, fold int) (Scores, error) {
		m, err := r.modelOf(ctx, role, fold)
		if err != nil {
			return Scores{}, err
		}
		return rate(string(role), m)
	}
	if report.Student, err = one(fit.Student, best); err != nil {
		return err
	}
	if report.Finetuned, err = one(fit.Finetuned, best); err != nil {
		return err
	}
	if control {
		s, err := one(fit.Control, 0)
		if err != nil {
			return err
		}
		report.Control = &s
	}
	return nil
}
