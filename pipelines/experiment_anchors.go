package pipelines

import (
	"context"
	"fmt"
	"strings"

	"noisystudent/transforms/phantom"
	"noisystudent/transforms/score"
)

// Anchors are the two scores between which a method can show what it is worth, on a
// cohort's validation cases, and what more steps alone would give.
type Anchors struct {
	Cohort   string    `json:"cohort"`
	Schedule Schedule  `json:"schedule"`
	Organs   []string  `json:"organs"`
	Teacher  RowResult `json:"teacher"`
	Control  RowResult `json:"control"` // labelled cases only, as many steps as the ceiling
	Ceiling  RowResult `json:"ceiling"`
	// Gap is what the ceiling has over the teacher, Labels what it has over the control:
	// what labels give beyond steps. DSC in per cent; intervals are over cases.
	Gap    score.Interval `json:"gap"`
	Labels score.Interval `json:"labels"`
	Notes  []string       `json:"notes"`
}

// MeasureAnchors trains a single teacher, a supervised control of the student's steps, and
// a student that is given the true labels of the pool, and scores them on the cohort's validation cases. Test cases are not read.
func MeasureAnchors(ctx context.Context, o Options, q ExperimentRequest) (Anchors, error) {
	q.Rows, q.Seeds = []string{"low-footprint", "control", "ceiling"}, 1
	q, err := q.complete()
	if err != nil {
		return Anchors{}, err
	}
	if o, err = q.prepare(ctx, o); err != nil {
		return Anchors{}, err
	}
	var a Anchors
	if a.Cohort, err = cohortName(ctx, o.Dataset); err != nil {
		return a, err
	}
	if a.Schedule, err = q.schedule(ctx, o, func(int) int { return teacherUnits + 2*(studentUnits+finetuneUnits) }); err != nil {
		return a, err
	}
	l, err := q.lab(ctx, o, a.Schedule, 1)
	if err != nil {
		return a, err
	}
	l.folds = []int{0}
	if err := l.train(ctx); err != nil {
		return a, err
	}
	return a, l.anchor(ctx, &a)
}

// anchor scores the rows.
func (l *lab) anchor(ctx context.Context, a *Anchors) error {
	list, err := l.holdout(ctx, phantom.ValidationImages, phantom.ValidationLabels)
	if err != nil {
		return err
	}
	if len(list) == 0 || len(l.truth) == 0 {
		return fmt.Errorf("pipelines: experiment anchors: %s has no %s with labels, or no %s of its unlabelled cases; make a cohort with `noisystudent phantom --preset %s`", l.Dataset, phantom.ValidationImages, phantom.TruthFolder, phantom.FlareMini)
	}
	for i, to := range []*RowResult{&a.Teacher, &a.Control, &a.Ceiling} {
		if *to, a.Organs, err = l.scoreRow(ctx, "validation", l.rows[i], list); err != nil {
			return err
		}
	}
	for below, to := range map[*RowResult]*score.Interval{&a.Teacher: &a.Gap, &a.Control: &a.Labels} {
		gap, err := paired(a.Ceiling, *below, meanDSC)
		if err != nil {
			return err
		}
		*to = score.Bootstrap([][]float64{gap})
	}
	a.Notes = l.remarks
	return nil
}

// String gives the anchors, organ by organ.
func (a Anchors) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, %d validation cases\n%s\n%-22s %15s %15s %15s\n", a.Cohort, len(a.Teacher.Cases), a.Schedule, "DSC / NSD, %", "teacher", "control", "ceiling")
	for k, organ := range a.Organs {
		fmt.Fprintf(&b, "%-22s %15s %15s %15s\n", organ, a.Teacher.organ(k), a.Control.organ(k), a.Ceiling.organ(k))
	}
	fmt.Fprintf(&b, "%-22s %15s %15s %15s\n", "mean", a.Teacher.mean(), a.Control.mean(), a.Ceiling.mean())
	fmt.Fprintf(&b, "%-22s %15d %15d %15d\n", "steps", a.Teacher.Steps, a.Control.Steps, a.Ceiling.Steps)
	fmt.Fprintf(&b, "ceiling over teacher: %s DSC; over control: %s\none seed: cases vary within the intervals, training runs beyond them", percent(a.Gap), percent(a.Labels))
	for _, text := range a.Notes {
		b.WriteString("\n" + text)
	}
	return b.String()
}
