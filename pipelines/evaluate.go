package pipelines

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strings"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"

	"noisystudent/io/store"
	"noisystudent/transforms/cases"
	"noisystudent/transforms/score"
)

// EvaluateRequest names predictions and what they are compared with.
type EvaluateRequest struct {
	Predictions string // folder or gs:// prefix
	References  string // folder or gs:// prefix
	Dataset     string // address of the dataset.json that names the labels; empty: beside References
	Rules       string // flare22, flare22-2024 or nnunet
}

// Evaluated is what evaluation reports.
type Evaluated struct {
	Table    score.Table `json:"table"`
	Report   string      `json:"report"` // folder of table.json, scores.csv and nnU-Net's summary.json
	Rejected []Rejected  `json:"rejected"`
}

// String gives the table.
func (e Evaluated) String() string {
	return strings.TrimRight(e.Table.String(), "\n") + "\nwritten to " + e.Report
}

// Evaluate scores every reference that has a prediction. A reference without one is
// rejected. nnU-Net's summary.json is written beside the predictions too.
func Evaluate(ctx context.Context, o Options, q EvaluateRequest) (Evaluated, error) {
	if q.Predictions == "" || q.References == "" {
		return Evaluated{}, errors.New("pipelines: evaluate: give --predictions and --references, two folders of label files")
	}
	rules, err := score.ParseRules(q.Rules)
	if err != nil {
		return Evaluated{}, err
	}
	if o.Store == "" {
		o.Store = q.Predictions // ledger and report beside what is scored
	}
	r, err := open(ctx, o)
	if err != nil {
		return Evaluated{}, err
	}
	if q.Dataset == "" {
		q.Dataset = path.Join(path.Dir(strings.TrimRight(q.References, "/")), "dataset.json")
		if bucket, ok := strings.CutPrefix(q.References, "gs://"); ok {
			q.Dataset = "gs://" + path.Join(path.Dir(strings.TrimRight(bucket, "/")), "dataset.json")
		}
	}
	labels, ignore, err := cases.ReadScheme(ctx, q.Dataset)
	if err != nil {
		return Evaluated{}, fmt.Errorf("%w; name the labels with --dataset-json", err)
	}
	pairs, err := r.match(ctx, q)
	if err != nil {
		return Evaluated{}, err
	}
	c := score.Config{Store: r.store.Root(), Name: "evaluate", Options: score.Options{Rules: rules, Labels: labels, Ignore: ignore}}
	table, err := r.score(ctx, "evaluate", c, pairs)
	e := Evaluated{Table: table, Report: r.store.Address("report/" + c.Name), Rejected: r.refused}
	if err != nil {
		return e, err
	}
	return e, r.summaryBeside(ctx, c, q.Predictions)
}

// match pairs references with predictions by file name.
func (r *run) match(ctx context.Context, q EvaluateRequest) ([]score.Pair, error) {
	predictions, err := store.Open(ctx, q.Predictions)
	if err != nil {
		return nil, err
	}
	references, _, err := cases.Scans(ctx, q.References)
	if err != nil {
		return nil, err
	}
	var pairs []score.Pair
	for _, ref := range references {
		key := ref.ID + ".nii.gz"
		if _, err := predictions.Stat(ctx, key); err != nil {
			fault := cases.FaultOf(predictions.Address(key), err)
			fault.Remedy = "predict the scan first, or remove the reference"
			x, _ := cases.Reject(ref.ID, "evaluate", fault)
			r.refuse(x)
			continue
		}
		pairs = append(pairs, score.Pair{Case: ref.ID, Reference: ref.Image, Prediction: predictions.Address(key)})
	}
	if len(pairs) == 0 {
		return nil, fmt.Errorf("pipelines: evaluate: no file of %s has a namesake in %s", q.References, q.Predictions)
	}
	return pairs, nil
}

// score runs the scoring of pairs and returns its table.
func (r *run) score(ctx context.Context, name string, c score.Config, pairs []score.Pair) (score.Table, error) {
	if err := c.Check(); err != nil {
		return score.Table{}, err
	}
	list := make([]cases.Case, len(pairs))
	for i, p := range pairs {
		list[i] = cases.Case{ID: p.Case}
	}
	stage := "score-" + c.Name
	err := r.stage(ctx, name, int64(len(pairs)), "case", r.rowsOf(stage, list), func(ctx context.Context) error {
		return r.submit(ctx, scoreGraph(c, pairs))
	})
	if err != nil {
		return score.Table{}, err
	}
	good, err := r.settle(ctx, stage, list)
	if err != nil {
		return score.Table{}, err
	}
	if len(good) == 0 {
		return score.Table{}, fmt.Errorf("pipelines: %s: none of %d pairs could be scored: %s", name, len(pairs), r.refused[len(r.refused)-1].Message)
	}
	var t score.Table
	if found, err := r.readJSON(ctx, path.Join("report", c.Name, "table.json"), &t); err != nil || !found {
		return t, fmt.Errorf("pipelines: %s: the table was not written (%v); run the command again", name, err)
	}
	return t, nil
}

func scoreGraph(c score.Config, pairs []score.Pair) *beam.Pipeline {
	p, s := beam.NewPipelineWithRoot()
	rows, _ := score.Cases(s, c, beam.CreateList(s, pairs))
	score.Report(s, c, rows)
	return p
}

// summaryBeside copies nnU-Net's summary.json to where its tools look for it.
func (r *run) summaryBeside(ctx context.Context, c score.Config, folder string) error {
	data, err := r.store.Read(ctx, path.Join("report", c.Name, "summary.json"))
	if err != nil {
		return err
	}
	st, err := store.Open(ctx, folder)
	if err != nil {
		return err
	}
	return st.Write(ctx, "summary.json", data)
}

// scoreModel labels cases that have labels of their own with some models and scores them.
func (r *run) scoreModel(ctx context.Context, name string, list []cases.Case, models []model, rules score.Rules) (score.Table, error) {
	c := r.config(models, len(list))
	good, _, err := r.predict(ctx, name, c, list)
	if err != nil {
		return score.Table{}, err
	}
	var pairs []score.Pair
	for _, x := range good {
		pairs = append(pairs, score.Pair{Case: x.ID, Reference: x.Labels, Prediction: r.store.Address(c.Key(x.ID))})
	}
	if len(pairs) == 0 {
		return score.Table{}, fmt.Errorf("pipelines: %s: no case could be labelled; see the rejected cases", name)
	}
	s := score.Config{
		Store: r.store.Root(), Name: strings.ReplaceAll(name, " ", "_"),
		Options: score.Options{Rules: rules, Labels: r.plan.Labels, Ignore: max(r.plan.Ignore, 0)},
	}
	return r.score(ctx, name+" scores", s, pairs)
}

