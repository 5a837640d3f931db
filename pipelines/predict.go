package pipelines

import (
	"context"
	"fmt"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"

	"noisystudent/io/store"
	"noisystudent/transforms/cases"
	"noisystudent/transforms/plan"
	"noisystudent/transforms/predict"
	"noisystudent/transforms/shard"
)

// PredictRequest says what to label, by which model, and where the labels go.
type PredictRequest struct {
	Input  string
	Output string
	Model  string // finetuned, student, ensemble, control, ROLE/FOLD, or empty: the best there is
	Export string // labels or probabilities; empty: the plan's
	Mirror string // axes; empty: the plan's
	Tiles  string // all, body or region; empty: the plan's
}

// check reports what cannot be meant, before anything is opened.
func (q PredictRequest) check(o Options) error {
	switch {
	case q.Input == "":
		return misuse("no scans; give --input with a glob, a folder or a gs:// prefix")
	case q.Output == "":
		return misuse("no place for the labels; give --output")
	}
	if q.Model != "" {
		if _, err := parseModel(q.Model); err != nil {
			return err
		}
	}
	return o.reachable(q.Input, q.Output)
}

// Predicted is what prediction reports.
type Predicted struct {
	Model    string     `json:"model"`
	Digest   string     `json:"digest"`
	Output   string     `json:"output"`
	Cases    int        `json:"cases"`
	New      int        `json:"new"` // that this run labelled
	Rejected []Rejected `json:"rejected"`
}

// String says what was done.
func (p Predicted) String() string {
	return fmt.Sprintf("%d scans are labelled by %s in %s%s", p.Cases, p.Model, p.Output, made(p.Cases, p.New))
}

// Predict labels scans with a model of the store. It trains nothing.
func Predict(ctx context.Context, o Options, q PredictRequest) (Predicted, error) {
	r, err := openPredict(ctx, o, q)
	if err != nil {
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
	if err := r.refuseFiles(ctx, "predict", refused); err != nil {
		return Predicted{}, err
	}
	if err := r.makeRoom(ctx, list); err != nil {
		return Predicted{}, err
	}
	c, err := r.config(ctx, models, len(list))
	if err != nil {
		return Predicted{}, err
	}
	c.Output, r.outputs = out.Root(), []*store.Store{out}
	done, err := r.predict(ctx, "predict", "", c, list)
	return Predicted{name, c.Digest(), c.Output, len(done.good), len(done.fresh), r.refused}, err
}

// openPredict opens a run that needs a plan and no dataset.
func openPredict(ctx context.Context, o Options, q PredictRequest) (*run, error) {
	if err := q.check(o); err != nil {
		return nil, err
	}
	r, err := open(ctx, o)
	if err != nil {
		return nil, err
	}
	if r.plan, err = plan.Load(ctx, r.store); err != nil {
		return nil, err
	}
	return r, r.override(q)
}

// override changes how the model is applied, not the plan in the store.
func (r *run) override(q PredictRequest) error {
	if q.Export != "" {
		r.plan.Inference.Export = q.Export
	}
	if q.Mirror != "" {
		r.plan.Inference.Mirror = q.Mirror
	}
	if q.Tiles != "" {
		r.plan.Inference.Tiles = q.Tiles
	}
	if r.Precision != "" && r.Precision != auto {
		r.plan.Inference.Precision = r.Precision
	}
	if err := r.plan.Check(); err != nil {
		return &UsageError{err.Error()}
	}
	return nil
}

// predict labels scans.
func (r *run) predict(ctx context.Context, name, detail string, c predict.Config, list []cases.Case) (outcome, error) {
	o, err := r.over(ctx, caseWork{
		name: name, detail: detail, ledger: c.Stage(), model: c.Digest(), network: true, list: list,
		graph: func(ctx context.Context, standing map[string]bool) *beam.Pipeline {
			return predictGraph(c, deal(ctx, r, c, list, list, standing))
		},
	})
	if err == nil {
		r.headerNotes(ctx, o)
	}
	return o, err
}

func predictGraph(c predict.Config, shards []shard.Shard) *beam.Pipeline {
	p, s := beam.NewPipelineWithRoot()
	done, rejected := predict.Scans(s, c, beam.CreateList(s, encoded(shards)))
	read(s, done, rejected)
	return p
}
