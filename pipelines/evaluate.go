package pipelines

import (
	"context"
	"errors"

	"noisystudent/transforms/cases"
	"noisystudent/transforms/score"
)

// EvaluateRequest names predictions and what they are compared with.
type EvaluateRequest struct{ Predictions, References, Dataset, Rules string }

// Evaluated is what evaluation reports.
type Evaluated struct {
	Table    score.Table `json:"table"`
	Rejected []Rejected  `json:"rejected"`
}

func (e Evaluated) String() string { return e.Table.String() }

func Evaluate(ctx context.Context, o Options, q EvaluateRequest) (Evaluated, error) {
	return Evaluated{}, errors.New("not yet")
}

func (r *run) scoreModel(ctx context.Context, name string, list []cases.Case, models []model, rules score.Rules) (score.Table, error) {
	return score.Table{}, errors.New("not yet")
}
