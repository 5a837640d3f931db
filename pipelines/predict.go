package pipelines

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"

	"noisystudent/io/store"
	"noisystudent/transforms/cases"
	"noisystudent/transforms/fit"
	"noisystudent/transforms/plan"
	"noisystudent/transforms/predict"
)

// PredictRequest says what to label, by which model, and where the labels go.
type PredictRequest struct {
	Input  string
	Output string
	Model  string // finetuned, student, ensemble, control, teacher/K, or empty: the best there is
	Export string // labels or probabilities; empty: the plan's
	Mirror string // axes; empty: the plan's
}

// Predicted is what prediction reports.
type Predicted struct {
	Model    string     `json:"model"`
	Digest   string     `json:"digest"`
	Output   string     `json:"output"`
	Cases    int        `json:"cases"`
	New      int        `json:"new"`
	Rejected []Rejected `json:"rejected"`
}

// String says what was done.
func (p Predicted) String() string {
	what := fmt.Sprintf("%d of them now", p.New)
	if p.New == 0 {
		what = "nothing to do"
	}
	return fmt.Sprintf("%d scans are labelled by %s in %s; %s", p.Cases, p.Model, p.Output, what)
}

// Predict labels scans with a model of the store. It trains nothing.
func Predict(ctx context.Context, o Options, q PredictRequest) (Predicted, error) {
	switch {
	case q.Input == "":
		return Predicted{}, errors.New("pipelines: no scans; give --input with a glob, a folder or a gs:// prefix")
	case q.Output == "":
		return Predicted{}, errors.New("pipelines: no place for the labels; give --output")
	}
	r, err := open(ctx, o)
	if err != nil {
		return Predicted{}, err
	}
	if r.plan, err = plan.Load(ctx, r.store); err != nil {
		return Predicted{}, err
	}
	out, err := store.Open(ctx, q.Output)
	if err != nil {
		return Predicted{}, err
	}
	name, models, err := r.pick(ctx, q.Model)
	if err != nil {
		return Predicted{}, err
	}
	list, refused, err := cases.Scans(ctx, q.Input)
	if err != nil {
		return Predicted{}, err
	}
	r.refuse(refused...)
	if err := r.override(q); err != nil {
		return Predicted{}, err
	}
	c := r.config(models, len(list))
	c.Output = out.Root()
	p := Predicted{Model: name, Digest: c.Digest(), Output: out.Root()}
	good, fresh, err := r.predict(ctx, "predict", c, list)
	p.Cases, p.New, p.Rejected = len(good), fresh, r.refused
	return p, err
}

// override changes how the model is applied, not the plan in the store.
func (r *run) override(q PredictRequest) error {
	if q.Export != "" {
		r.plan.Inference.Export = q.Export
	}
	if q.Mirror != "" {
		r.plan.Inference.Mirror = q.Mirror
	}
	return r.plan.Check()
}

// predict labels scans; it returns those that are labelled and how many are new.
func (r *run) predict(ctx context.Context, name string, c predict.Config, list []cases.Case) (good []cases.Case, fresh int, err error) {
	if len(list) == 0 {
		return nil, 0, nil
	}
	count := r.rowsOf(c.Stage(), list)
	before, err := count(ctx)
	if err != nil {
		return nil, 0, err
	}
	err = r.stage(ctx, name, int64(len(list)), "case", count, func(ctx context.Context) error {
		return r.submit(ctx, predictGraph(c, list))
	})
	if err != nil {
		return nil, 0, err
	}
	good, err = r.settle(ctx, c.Stage(), list)
	return good, max(len(list)-int(before), 0), err
}

func predictGraph(c predict.Config, list []cases.Case) *beam.Pipeline {
	p, s := beam.NewPipelineWithRoot()
	predict.Scans(s, c, beam.CreateList(s, list))
	return p
}

// pick finds the models that a name means.
func (r *run) pick(ctx context.Context, name string) (string, []model, error) {
	one := func(role fit.Role, fold int) (string, []model, error) {
		m, err := r.modelOf(ctx, role, fold)
		return fmt.Sprintf("%s fold %d", role, fold), []model{m}, err
	}
	role, number, numbered := strings.Cut(name, "/")
	switch {
	case name == "":
		for _, best := range []string{"finetuned", "student", "ensemble"} {
			if n, models, err := r.pick(ctx, best); err == nil {
				return n, models, nil
			}
		}
		return "", nil, fmt.Errorf("pipelines: %s has no trained model; run `noisystudent loop` or `noisystudent train` first", r.store.Root())
	case name == "ensemble":
		models, err := r.modelsOf(ctx, fit.Teacher, r.plan.Training.Folds)
		return fmt.Sprintf("the ensemble of %d teachers", len(models)), models, err
	case numbered:
		fold, err := strconv.Atoi(number)
		if err != nil || fold < 0 {
			return "", nil, fmt.Errorf("pipelines: no model %q; write for example teacher/0", name)
		}
		return one(fit.Role(role), fold)
	case name == string(fit.Finetuned):
		for fold := range r.plan.Training.Folds {
			if n, models, err := one(fit.Finetuned, fold); err == nil {
				return n, models, nil
			}
		}
		return "", nil, fmt.Errorf("pipelines: %s has no fine-tuned model; run `noisystudent train --role finetuned` first", r.store.Root())
	case name == string(fit.Student):
		var best foldScore
		if _, err := r.readJSON(ctx, bestKey, &best); err != nil {
			return "", nil, err
		}
		return one(fit.Student, best.Best)
	case name == string(fit.Control):
		return one(fit.Control, 0)
	}
	return "", nil, fmt.Errorf("pipelines: no model %q; use finetuned, student, ensemble, control or teacher/K", name)
}
