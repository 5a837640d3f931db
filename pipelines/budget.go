package pipelines

import (
	"context"
	"fmt"
	"math"
	"strings"
	"time"

	"noisystudent/transforms/cases"
	"noisystudent/transforms/fit"
	"noisystudent/transforms/plan"
)

// budgeted are the fields of the plan that a time budget decides.
var budgeted = []string{"training.teacher_epochs", "training.student_epochs", "training.finetune_epochs"}

// paid is a stage of training that a budget pays for: so many models of a role.
type paid struct {
	role   fit.Role
	models int
	rate   float64 // steps a second of all that train at once
}

// epochs of one model of the role.
func (p paid) epochs(t plan.Training) int {
	switch p.role {
	case fit.Teacher:
		return t.TeacherEpochs
	case fit.Student:
		return t.StudentEpochs
	case fit.Finetuned:
		return t.FinetuneEpochs
	}
	return t.StudentEpochs + t.FinetuneEpochs
}

// paid lists what is trained until some folds of a role are there; none: as many as the
// role gets without being asked for folds.
func (r *run) paid(role fit.Role, folds []int) []paid {
	n := len(folds)
	if n == 0 {
		n = r.folds(role)
	}
	teachers := paid{role: fit.Teacher, models: r.folds(fit.Teacher)}
	switch role {
	case fit.Student:
		return []paid{teachers, {role: role, models: n}}
	case fit.Finetuned:
		students := paid{role: fit.Student, models: n}
		if len(folds) == 0 {
			n = 1 // the best
		}
		return []paid{teachers, students, {role: role, models: n}}
	}
	return []paid{{role: role, models: n}}
}

// budgetShare is the part of a budget that is for training: the rest prepares cases, and where there are
// students labels the pool and scores.
func budgetShare(role fit.Role) float64 {
	if role == fit.Teacher || role == fit.Control {
		return 0.95
	}
	return trainingShare
}

// fitBudget scales the plan's epochs to the time budget, all by one factor, and keeps the
// plan. It does so once: a plan that was fitted is gone by, however fast the machine is now.
func (r *run) fitBudget(ctx context.Context, role fit.Role, folds []int) error {
	budget, t := r.TimeBudget, r.plan.Training
	at := r.store.Address(plan.File)
	switch {
	case budget == 0:
		return nil
	case t.TimeBudget == budget.String():
		r.progress.Note(fmt.Sprintf("time budget: %s was fitted to %v before: %s", at, budget, epochsText(t)))
		return nil
	case t.TimeBudget != "":
		return fmt.Errorf("pipelines: %s was fitted to a time budget of %s, not %v; leave --time-budget out to go on with it, or give --replan --retrain, or another --store", at, t.TimeBudget, budget)
	}
	if err := r.unbegun(ctx); err != nil {
		return err
	}
	if err := r.needPrepared(ctx, cases.Labelled); err != nil {
		return err
	}
	stages, err := r.timed(ctx, r.paid(role, folds))
	if err != nil {
		return err
	}
	spend := time.Duration(budgetShare(role) * float64(budget))
	fitted, took := fitEpochs(t, stages, spend)
	if took > spend {
		return r.tooShort(stages, took, spend)
	}
	fitted.TimeBudget = budget.String()
	r.plan.Training = fitted
	r.plan.Reasons["training.time_budget"] = "given"
	for _, path := range budgeted {
		r.plan.Reasons[path] = fmt.Sprintf("fitted to a time budget of %v at %.3g steps a second, measured before the start", budget, stages[0].rate)
	}
	r.progress.Note(fmt.Sprintf("time budget: of %s as planned, %v allow %s, at %.3g steps a second; about %v of training; kept in %s",
		epochsText(t), budget, epochsText(fitted), stages[0].rate, took.Round(time.Second), at))
	return plan.Save(ctx, r.store, r.plan)
}

func epochsText(t plan.Training) string {
	return fmt.Sprintf("%d epochs of a teacher, %d of a student, %d of a fine-tune, %d steps each", t.TeacherEpochs, t.StudentEpochs, t.FinetuneEpochs, t.StepsPerEpoch)
}

// unbegun refuses a store in which models were begun: their epochs are decided.
func (r *run) unbegun(ctx context.Context) error {
	infos, err := r.store.List(ctx, "models/")
	if err != nil {
		return err
	}
	for _, i := range infos {
		if strings.HasSuffix(i.Key, "/latest") && !r.Retrain {
			return fmt.Errorf("pipelines: %s was begun without a time budget; leave --time-budget out to go on with it, or give --retrain to start it over, or another --store",
				r.store.Address(strings.TrimSuffix(i.Key, "/latest")))
		}
	}
	return nil
}

// timed measures the pace of stages, once for each number of models that train at once.
func (r *run) timed(ctx context.Context, stages []paid) ([]paid, error) {
	rates := map[int]float64{}
	for i, s := range stages {
		var jobs []fit.Job
		for k := range s.models {
			fold := k % len(r.splits)
			j := r.job(fit.Teacher, fold, r.splits[fold].Train)
			if len(j.Labelled) == 0 {
				return nil, fmt.Errorf("pipelines: time budget: fold %d has no labelled case that could be prepared", fold)
			}
			if s.role != fit.Teacher {
				j.Augment = r.plan.Training.StudentAugment
			}
			jobs = append(jobs, j)
		}
		o, err := r.fitOptions(jobs)
		if err != nil {
			return nil, err
		}
		at := min(o.Jobs, len(jobs))
		if rates[at] == 0 {
			if rates[at], err = fit.Pace(ctx, jobs[:at], o); err != nil {
				return nil, err
			}
		}
		stages[i].rate = rates[at]
	}
	return stages, nil
}

// fitEpochs scales the epochs of a training so that its stages take a time at most, at
// least one epoch each where there were any, and says what they take.
func fitEpochs(t plan.Training, stages []paid, spend time.Duration) (plan.Training, time.Duration) {
	took := func(t plan.Training) (seconds float64) {
		for _, s := range stages {
			seconds += float64(s.models*s.epochs(t)*t.StepsPerEpoch) / s.rate
		}
		return seconds
	}
	scaled := func(by float64) plan.Training {
		fitted := t
		for _, n := range []*int{&fitted.TeacherEpochs, &fitted.StudentEpochs, &fitted.FinetuneEpochs} {
			*n = min(max(int(math.Floor(float64(*n)*by)), min(*n, 1)), 1e6)
		}
		return fitted
	}
	epochs := func(t plan.Training) [3]int { return [3]int{t.TeacherEpochs, t.StudentEpochs, t.FinetuneEpochs} }
	least := epochs(scaled(0))
	for by := spend.Seconds() / took(t); ; by *= 0.98 {
		if fitted := scaled(by); took(fitted) <= spend.Seconds() || epochs(fitted) == least {
			return fitted, time.Duration(took(fitted) * float64(time.Second))
		}
	}
}

// tooShort says what one epoch of every model takes.
func (r *run) tooShort(stages []paid, took, spend time.Duration) error {
	need := time.Duration(float64(r.TimeBudget) * took.Seconds() / spend.Seconds())
	need = need.Truncate(time.Minute) + time.Minute
	models := 0
	for _, s := range stages {
		models += s.models
	}
	steps := r.plan.Training.StepsPerEpoch
	remedy := fmt.Sprintf("give --time-budget %v or more", need)
	if fewer := int(float64(steps) * spend.Seconds() / took.Seconds()); fewer > 0 {
		remedy += fmt.Sprintf(", or shorter epochs: --replan --set training.steps_per_epoch=%d", fewer)
	}
	return fmt.Errorf("pipelines: a time budget of %v is too short for one epoch of %d steps of each of %d models at %.3g steps a second; %s", r.TimeBudget, steps, models, stages[0].rate, remedy)
}
