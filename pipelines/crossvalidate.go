package pipelines

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"noisystudent/transforms/cases"
	"noisystudent/transforms/fit"
	"noisystudent/transforms/plan"
	"noisystudent/transforms/score"
)

// crossValidate scores the labelled cases, each as the model of its fold labels it, which
// has not learned from it. Nothing is trained.
func crossValidate(ctx context.Context, o Options, q EvaluateRequest) (Evaluated, error) {
	role := fit.Role(q.CrossValidation)
	if role != fit.Teacher && role != fit.Student {
		return Evaluated{}, misuse("no cross-validation of %q; use teacher or student", role)
	}
	rules, err := score.ParseRules(q.Rules)
	if err != nil {
		return Evaluated{}, &UsageError{err.Error()}
	}
	r, err := openDataset(ctx, o)
	if err != nil {
		return Evaluated{}, err
	}
	if r.plan, err = plan.Load(ctx, r.store); err != nil {
		return Evaluated{}, err
	}
	if r.splits, err = plan.LoadSplits(ctx, r.store, r.plan.Training.Folds); err != nil {
		return Evaluated{}, err
	}
	if role == fit.Student && r.plan.Training.StudentAllLabels {
		return Evaluated{}, misuse("students of this plan have learned from all labelled cases (training.student_all_labels); use teacher")
	}
	if q.TryLargest {
		r.plan.Inference.KeepLargest = nil // what is tried
	}
	pairs, err := r.validationPairs(ctx, role)
	if err != nil {
		return Evaluated{}, err
	}
	e, err := r.evaluated(ctx, score.Config{
		Store: r.store.Root(), Name: "cross-validation-" + string(role), BudgetBytes: r.memory(),
		Options: score.Options{Rules: rules, Labels: r.plan.Labels, Ignore: max(r.plan.Ignore, 0)},
	}, pairs, q.TryLargest, commandLine("evaluate", "cross-validation", q.CrossValidation, "dataset", o.Dataset, "store", o.Store, "rules", q.Rules))
	if err == nil && q.Calibrate {
		e.Calibrated, err = r.calibrate(ctx, role)
		e.Rejected = r.refused
	}
	return e, err
}

// validationPairs labels the validation cases of each fold by its model. A case that
// validates several folds, as where there are few, counts for the first.
func (r *run) validationPairs(ctx context.Context, role fit.Role) (pairs []score.Pair, err error) {
	models, err := r.modelsOf(ctx, role, len(r.splits))
	if err != nil {
		return nil, err
	}
	for fold, list := range r.validated() {
		m := models[fold]
		if len(list) == 0 {
			continue
		}
		if err := r.makeRoom(ctx, list); err != nil {
			return nil, err
		}
		c, err := r.config(ctx, []model{m}, len(list))
		if err != nil {
			return nil, err
		}
		done, err := r.predict(ctx, "validate", fmt.Sprintf("%s fold %d", role, fold), c, list)
		if err != nil {
			return nil, err
		}
		pairs = append(pairs, r.predictedPairs(c, done.good)...)
	}
	if len(pairs) == 0 {
		return nil, fmt.Errorf("pipelines: cross-validation: no case could be labelled; see the rejected cases in %s", r.store.Address("ledger"))
	}
	return pairs, nil
}

// validated are the cases that each fold validates; a case of several folds is the first's.
func (r *run) validated() [][]cases.Case {
	met, folds := map[string]bool{}, make([][]cases.Case, len(r.splits))
	for fold := range folds {
		for _, c := range r.of(cases.Labelled) {
			if !met[c.ID] && slices.Contains(r.splits[fold].Val, c.ID) {
				met[c.ID], folds[fold] = true, append(folds[fold], c)
			}
		}
	}
	return folds
}

// largestText says organ by organ what keeping the largest piece changes, and for which
// organs it would help. As in nnU-Net's choice, that is where the mean DSC is higher.
func largestText(all, largest score.Table) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%-22s %8s %8s %8s\n", "largest piece alone", "DSC", "NSD", "change")
	var helps []string
	for i, l := range largest.Lines {
		if l.Cases == 0 {
			continue
		}
		change := l.DSC - all.Lines[i].DSC
		fmt.Fprintf(&b, "%-22s %8.2f %8.2f %+8.2f\n", l.Name, 100*l.DSC, 100*l.NSD, 100*change)
		if change > 0 {
			helps = append(helps, l.Name)
		}
	}
	if helps == nil {
		return b.String() + "--keep-largest would raise the DSC of no organ"
	}
	return b.String() + fmt.Sprintf("--keep-largest '%s' would raise the DSC of these organs; it is not set by this", strings.Join(helps, ","))
}
