package pipelines

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"

	"noisystudent/io/store"
	"noisystudent/transforms/cases"
	"noisystudent/transforms/plan"
	"noisystudent/transforms/predict"
	"noisystudent/transforms/shard"
	"noisystudent/transforms/statistics"
)

// PredictRequest says what to label, by which model, and where the labels go.
type PredictRequest struct {
	Input  string
	Output string
	Model  string // finetuned, student, ensemble, control, ROLE/FOLD, or empty: the best there is
	Export string // labels or probabilities; empty: the plan's
	Mirror string // axes; empty: the plan's
	Tiles  string // all, body or region; empty: the plan's
	// KeepLargest names organs of which the largest piece is kept, or none; empty: the plan's.
	KeepLargest []string
	Statistics  bool // also measure the organs, and flag what a person should look at
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
	// Statistics of the labels, where they were asked for.
	Statistics *Measured `json:"statistics,omitempty"`
}

// String says what was done.
func (p Predicted) String() string {
	text := fmt.Sprintf("%d scans are labelled by %s in %s%s", p.Cases, p.Model, p.Output, made(p.Cases, p.New))
	if p.Statistics != nil {
		text += "\n" + p.Statistics.String()
	}
	return text
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
	p := Predicted{Model: name, Digest: c.Digest(), Output: c.Output, Cases: len(done.good), New: len(done.fresh)}
	if err == nil && q.Statistics && p.Cases > 0 {
		p.Statistics, err = r.predictedStatistics(ctx, c, done.good)
	}
	p.Rejected = r.refused
	return p, err
}

// predictedStatistics measures the organs of scans that were labelled; the report is
// report/statistics/predict-<digest>/ of the store.
func (r *run) predictedStatistics(ctx context.Context, c predict.Config, labelled []cases.Case) (*Measured, error) {
	list := slices.Clone(labelled)
	for i, x := range list {
		list[i].Labels = r.store.Address(c.Key(x.ID))
	}
	m, err := r.measuredScans(ctx, statistics.Config{
		Store: r.store.Root(), Name: c.Stage(), Labels: r.plan.Labels, Ignore: r.plan.Ignore,
		BudgetBytes: r.memory(), Certainty: predict.TookPrefix(c.Stage()),
	}, list)
	return &m, err
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
	if len(q.KeepLargest) > 0 {
		r.plan.Inference.KeepLargest = q.KeepLargest
		if slices.Equal(q.KeepLargest, []string{"none"}) {
			r.plan.Inference.KeepLargest = nil
		}
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
			shards := deal(ctx, r, c, list, list, standing)
			r.noteMemory(strings.TrimSpace(name+" "+detail), c)
			return predictGraph(c, shards)
		},
	})
	if err == nil {
		r.headerNotes(ctx, o)
	}
	return o, err
}

// noteMemory says what the largest scan takes, before it is read.
func (r *run) noteMemory(work string, c predict.Config) {
	if need := r.footprint.Bytes(); need > 0 {
		r.once(fmt.Sprintf("memory, %s: the largest scan takes %v; networks %d x %d MiB; %d MiB for scans at once",
			work, r.footprint, c.Options.Networks, r.networks.infer>>20, c.Options.Memory>>20))
	}
}

func predictGraph(c predict.Config, shards []shard.Shard) *beam.Pipeline {
	p, s := beam.NewPipelineWithRoot()
	done, rejected := predict.Scans(s, c, beam.CreateList(s, encoded(shards)))
	read(s, done, rejected)
	return p
}
