package pipelines

import (
	"context"
	"fmt"
	"strings"

	"noisystudent/transforms/cases"
	"noisystudent/transforms/fit"
	"noisystudent/transforms/plan"
)

// Trained is what training commands report.
type Trained struct {
	Models   []TrainedModel `json:"models"`
	Rejected []Rejected     `json:"rejected"`
}

// TrainedModel is one model of the store.
type TrainedModel struct {
	Course
	New int64 `json:"new"` // epochs that this run trained
}

// String gives one line a model.
func (t Trained) String() string {
	var b strings.Builder
	for _, m := range t.Models {
		fmt.Fprintf(&b, "%s fold %d: loss %.3f after %d epochs%s%s (%s)\n", m.Role, m.Fold, m.Loss, m.Epochs, m.pseudo(), made(int(m.Epochs), int(m.New)), pace([]Course{m.Course}))
	}
	return b.String()
}

// Train trains the folds of a role (none: all of them), after making what they need.
// Fine-tuning without a fold takes the best student's.
func Train(ctx context.Context, o Options, role fit.Role, folds []int) (Trained, error) {
	needs := map[fit.Role]func(*run, context.Context, []int) ([]TrainedModel, error){
		fit.Teacher: (*run).needTeachers, fit.Control: (*run).needControls,
		fit.Student: (*run).needStudents, fit.Finetuned: (*run).needFinetuned,
	}
	need, known := needs[role]
	if !known {
		return Trained{}, misuse("no role %q; use teacher, student, finetuned or control", role)
	}
	r, err := openDataset(ctx, o)
	if err != nil {
		return Trained{}, err
	}
	if err := r.needPlan(ctx); err != nil {
		return Trained{}, err
	}
	if err := r.checkFolds(role, folds); err != nil {
		return Trained{}, err
	}
	if err := r.fitBudget(ctx, role, folds); err != nil {
		return Trained{}, err
	}
	models, err := need(r, ctx, folds)
	if err == nil && r.Precision == auto {
		err = r.tryAll(ctx, models)
	}
	return Trained{models, r.refused}, err
}

// checkFolds refuses folds that the role does not have.
func (r *run) checkFolds(role fit.Role, folds []int) error {
	for _, fold := range folds {
		if n := r.folds(role); fold < 0 || fold >= n {
			return misuse("no fold %d of role %s; there are 0 to %d", fold, role, n-1)
		}
	}
	return nil
}

// folds is how many models a role has: one where all its models see the same cases.
func (r *run) folds(role fit.Role) int {
	if role != fit.Teacher && r.plan.Training.StudentAllLabels {
		return 1
	}
	return len(r.splits)
}

func (r *run) needTeachers(ctx context.Context, folds []int) ([]TrainedModel, error) {
	if err := r.needPrepared(ctx, cases.Labelled); err != nil {
		return nil, err
	}
	return r.train(ctx, fit.Teacher, folds, func(fold int) fit.Job {
		return r.job(fit.Teacher, fold, r.splits[fold].Train)
	})
}

func (r *run) needControls(ctx context.Context, folds []int) ([]TrainedModel, error) {
	if err := r.needPrepared(ctx, cases.Labelled); err != nil {
		return nil, err
	}
	return r.train(ctx, fit.Control, folds, r.controlJob)
}

func (r *run) controlJob(fold int) fit.Job {
	return r.job(fit.Control, fold, r.studentCases(fold))
}

// train runs the jobs of some folds on the runner, or of all where folds is empty.
func (r *run) train(ctx context.Context, role fit.Role, folds []int, build func(fold int) fit.Job) ([]TrainedModel, error) {
	if len(folds) == 0 {
		for fold := range r.folds(role) {
			folds = append(folds, fold)
		}
	}
	jobs, err := r.jobs(role, folds, build)
	if err == nil {
		err = r.trainJobs(ctx, "train "+string(role), jobs)
	}
	if err != nil {
		return nil, err
	}
	var out []TrainedModel
	for _, fold := range folds {
		out = append(out, r.models[fit.Folder(role, fold)])
	}
	return out, nil
}

// jobs builds those of some folds but for models that this run has seen trained.
func (r *run) jobs(role fit.Role, folds []int, build func(fold int) fit.Job) (jobs []fit.Job, err error) {
	for _, fold := range folds {
		if _, met := r.models[fit.Folder(role, fold)]; met {
			continue
		}
		j := build(fold)
		if len(j.Labelled) == 0 {
			return nil, fmt.Errorf("pipelines: %s has no labelled case that could be prepared; see the rejected cases in %s, and whether %s names cases of this dataset", j.Name(), r.store.Address("ledger/preprocess"), r.store.Address(plan.SplitsFile))
		}
		jobs = append(jobs, j.Sealed())
	}
	return jobs, nil
}
