package pipelines

import (
	"context"
	"fmt"
	"slices"

	"noisystudent/transforms/cases"
	"noisystudent/transforms/fit"
	"noisystudent/transforms/manifest"
	"noisystudent/transforms/score"
)

// needStudents trains students: labelled and pseudo-labelled cases in every batch.
func (r *run) needStudents(ctx context.Context, folds []int) ([]TrainedModel, error) {
	kept, err := r.needPseudoLabels(ctx)
	if err != nil {
		return nil, err
	}
	return r.train(ctx, fit.Student, folds, r.studentJob(kept))
}

func (r *run) studentJob(pseudo []fit.Ref) func(fold int) fit.Job {
	return func(fold int) fit.Job {
		j := r.job(fit.Student, fold, r.studentCases(fold))
		j.Pseudo = pseudo
		return j
	}
}

// needStudentAndControl trains both of the demo's single models at once: two networks
// with a thread each get more done than one after the other with two.
func (r *run) needStudentAndControl(ctx context.Context) error {
	kept, err := r.needPseudoLabels(ctx)
	if err != nil {
		return err
	}
	student, err := r.jobs(fit.Student, []int{0}, r.studentJob(kept))
	if err != nil {
		return err
	}
	control, err := r.jobs(fit.Control, []int{0}, r.controlJob)
	if err != nil {
		return err
	}
	return r.trainJobs(ctx, "train student and control", append(student, control...))
}

// needFinetuned fine-tunes students on their labelled cases; without folds the best one.
func (r *run) needFinetuned(ctx context.Context, folds []int) ([]TrainedModel, error) {
	if _, err := r.needStudents(ctx, folds); err != nil {
		return nil, err
	}
	if len(folds) == 0 {
		best, err := r.bestFold(ctx)
		if err != nil {
			return nil, err
		}
		folds = []int{best}
	}
	students := map[int]model{}
	for _, fold := range folds {
		m, err := r.modelOf(ctx, fit.Student, fold)
		if err != nil {
			return nil, err
		}
		students[fold] = m
	}
	return r.train(ctx, fit.Finetuned, folds, func(fold int) fit.Job { return r.finetuneJob(fold, students[fold]) })
}

// finetuneJob starts from a student.
func (r *run) finetuneJob(fold int, student model) fit.Job {
	j := r.job(fit.Finetuned, fold, r.studentCases(fold))
	j.Init, j.InitDigest = student.Weights, student.Digest
	return j
}

// bestKey is where the choice of the best fold is kept.
const bestKey = "models/student/best.json"

// foldScore says how the best fold was chosen.
type foldScore struct {
	Digest string    `json:"digest"` // of the models compared
	DSC    []float64 `json:"dsc"`    // mean foreground DSC of each fold's validation cases; -1: none could be labelled
	Best   int       `json:"best"`
}

// bestFold returns the fold whose student does best on the fold's own validation
// cases: mean foreground DSC by nnU-Net's rule, whole cases, final weights; ties go
// to the lower fold. It chooses; results come from test cases only.
func (r *run) bestFold(ctx context.Context) (int, error) {
	folds := r.folds(fit.Student)
	if folds == 1 {
		return 0, nil
	}
	models, err := r.modelsOf(ctx, fit.Student, folds)
	if err != nil {
		return 0, err
	}
	s := foldScore{Digest: manifest.Digest("best fold", ensembleDigest(models), r.splits, r.plan.Digest())}
	var old foldScore
	if found, err := r.readJSON(ctx, bestKey, &old); err != nil {
		return 0, err
	} else if found && old.Digest == s.Digest {
		r.progress.Note("validate: the best student is known; nothing to do")
		r.clock.recall("validate")
		r.clock.recall("validate scores")
		return old.Best, nil
	}
	for fold, m := range models {
		dsc, err := r.validate(ctx, fold, m)
		if err != nil {
			return 0, err
		}
		s.DSC = append(s.DSC, dsc)
		if dsc > s.DSC[s.Best] {
			s.Best = fold
		}
	}
	return s.Best, writeJSON(ctx, r.store, bestKey, s)
}

// validation are the fold's validation cases that can be used.
func (r *run) validation(fold int) (list []cases.Case) {
	for _, c := range r.of(cases.Labelled) {
		if _, usable := r.prepared[c.ID]; usable && slices.Contains(r.splits[fold].Val, c.ID) {
			list = append(list, c)
		}
	}
	return list
}

// validate scores a model on its fold's validation cases; -1 where none is left.
func (r *run) validate(ctx context.Context, fold int, m model) (float64, error) {
	list := r.validation(fold)
	if len(list) == 0 {
		r.progress.Note(fmt.Sprintf("validate: fold %d has no validation case that can be used, so it cannot be the best", fold))
		return -1, nil
	}
	table, err := r.scoreModel(ctx, "validate", fmt.Sprintf("%s fold %d", m.Role, fold), list, []model{m}, score.NNUNet)
	return table.Mean.DSC, err
}
