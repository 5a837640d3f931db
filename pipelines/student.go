package pipelines

import (
	"context"
	"fmt"

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
	return r.train(ctx, folds, r.studentFolds(), func(fold int) (fit.Job, error) {
		j := r.job(fit.Student, fold, r.studentCases(fold))
		j.Pseudo = kept
		return j, nil
	})
}

// needFinetuned fine-tunes the best student on its labelled cases.
func (r *run) needFinetuned(ctx context.Context) ([]TrainedModel, error) {
	if _, err := r.needStudents(ctx, nil); err != nil {
		return nil, err
	}
	best, err := r.bestFold(ctx)
	if err != nil {
		return nil, err
	}
	student, err := r.modelOf(ctx, fit.Student, best)
	if err != nil {
		return nil, err
	}
	return r.train(ctx, []int{best}, best+1, func(fold int) (fit.Job, error) {
		j := r.job(fit.Finetuned, fold, r.studentCases(fold))
		j.Init, j.InitDigest = student.Weights, student.Digest
		return j, nil
	})
}

// bestKey is where the choice of the best fold is kept.
const bestKey = "models/student/best.json"

// foldScore says how the best fold was chosen.
type foldScore struct {
	Digest string    `json:"digest"` // of the models compared
	DSC    []float64 `json:"dsc"`    // mean foreground DSC of each fold's validation cases
	Best   int       `json:"best"`
}

// bestFold returns the fold whose student does best on the fold's own validation
// cases: mean foreground DSC by nnU-Net's rule, whole cases, final weights; ties go
// to the lower fold. It chooses; results come from test cases only.
func (r *run) bestFold(ctx context.Context) (int, error) {
	folds := r.studentFolds()
	if folds == 1 {
		return 0, nil
	}
	models, err := r.modelsOf(ctx, fit.Student, folds)
	if err != nil {
		return 0, err
	}
	digest := manifest.Digest("best fold", ensembleDigest(models), r.splits, r.plan.Digest())
	var old foldScore
	if found, err := r.readJSON(ctx, bestKey, &old); err != nil || found && old.Digest == digest {
		return old.Best, err
	}
	s := foldScore{Digest: digest}
	for fold, m := range models {
		list := r.named(r.splits[fold].Val)
		table, err := r.scoreModel(ctx, fmt.Sprintf("validate student fold %d", fold), list, []model{m}, score.NNUNet)
		if err != nil {
			return 0, err
		}
		s.DSC = append(s.DSC, table.Mean.DSC)
		if table.Mean.DSC > s.DSC[s.Best] {
			s.Best = fold
		}
	}
	return s.Best, r.writeJSON(ctx, bestKey, s)
}

// named returns the labelled cases of some ids.
func (r *run) named(ids []string) []cases.Case {
	want := map[string]bool{}
	for _, id := range ids {
		want[id] = true
	}
	var out []cases.Case
	for _, c := range r.of(cases.Labelled) {
		if want[c.ID] {
			out = append(out, c)
		}
	}
	return out
}
