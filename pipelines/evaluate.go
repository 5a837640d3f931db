package pipelines

import (
	"context"
	"fmt"
	"path"
	"strings"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"

	"noisystudent/io/store"
	"noisystudent/transforms/cases"
	"noisystudent/transforms/predict"
	"noisystudent/transforms/report"
	"noisystudent/transforms/score"
)

// EvaluateRequest names predictions and what they are compared with.
type EvaluateRequest struct {
	Predictions string // folder or gs:// prefix
	References  string // folder or gs:// prefix
	Dataset     string // address of the dataset.json that names the labels; empty: beside References
	Rules       string // flare22, flare22-2024 or nnunet; empty: flare22
	// CrossValidation, instead of folders, is the role whose models label the validation
	// cases of their folds; Options.Dataset and Options.Store have them.
	CrossValidation string
	Calibrate       bool // with CrossValidation: also fit a temperature to the models' probabilities
	TryLargest      bool // also score the largest piece of each organ alone
}

// Evaluated is what evaluation reports.
type Evaluated struct {
	Table      score.Table  `json:"table"`
	Largest    *score.Table `json:"largest,omitempty"` // of the largest piece of each organ alone
	Calibrated *Calibrated  `json:"calibration,omitempty"`
	New        int          `json:"new"`    // pairs that this run scored
	Report     string       `json:"report"` // folder of index.html, table.json, scores.csv and nnU-Net's summary.json
	Rejected   []Rejected   `json:"rejected"`
}

// String gives the table.
func (e Evaluated) String() string {
	text := strings.TrimRight(e.Table.String(), "\n")
	if e.Largest != nil {
		text += "\n" + largestText(e.Table, *e.Largest)
	}
	if e.Calibrated != nil {
		text += "\n" + e.Calibrated.String()
	}
	return fmt.Sprintf("%s\n%d pairs are scored%s\nwritten to %s", text, e.Table.Cases, made(e.Table.Cases, e.New), e.Report)
}

// Evaluate scores every reference that has a prediction. A reference without one is
// rejected. nnU-Net's summary.json is written beside the predictions too.
func Evaluate(ctx context.Context, o Options, q EvaluateRequest) (Evaluated, error) {
	if q.CrossValidation != "" {
		if q.Predictions != "" || q.References != "" {
			return Evaluated{}, misuse("--cross-validation and folders of label files exclude each other")
		}
		return crossValidate(ctx, o, q)
	}
	if q.Calibrate {
		return Evaluated{}, misuse("--calibrate takes models, not folders of label files; give --cross-validation teacher, --store and --dataset")
	}
	if q.Predictions == "" || q.References == "" {
		return Evaluated{}, misuse("nothing to evaluate; give --predictions and --references, two folders of label files, or --cross-validation")
	}
	rules, err := score.ParseRules(q.Rules)
	if err != nil {
		return Evaluated{}, &UsageError{err.Error()}
	}
	if err := o.reachable(q.Predictions, q.References, q.Dataset); err != nil {
		return Evaluated{}, err
	}
	given := o.Store
	if o.Store == "" {
		o.Store = q.Predictions // ledger and report beside what is scored
	}
	r, err := open(ctx, o)
	if err != nil {
		return Evaluated{}, err
	}
	labels, ignore, err := cases.ReadScheme(ctx, q.scheme())
	switch {
	case store.Systemic(err):
		return Evaluated{}, err
	case err != nil:
		return Evaluated{}, fmt.Errorf("%w; name the labels with --dataset-json", err)
	}
	pairs, err := r.match(ctx, q)
	if err != nil {
		return Evaluated{}, err
	}
	c := score.Config{Store: r.store.Root(), Name: "evaluate", BudgetBytes: r.memory(), Options: score.Options{Rules: rules, Labels: labels, Ignore: max(ignore, 0)}}
	e, err := r.evaluated(ctx, c, pairs, q.TryLargest, commandLine("evaluate", "predictions", q.Predictions, "references", q.References, "store", given, "dataset-json", q.Dataset, "rules", q.Rules))
	if err != nil {
		return Evaluated{}, err
	}
	return e, r.summaryBeside(ctx, c, q.Predictions)
}

// evaluated scores pairs, and once more with the largest pieces alone where that is to
// be tried. command makes the same again.
func (r *run) evaluated(ctx context.Context, c score.Config, pairs []score.Pair, tryLargest bool, command string) (e Evaluated, err error) {
	if e.Table, e.New, err = r.score(ctx, c.Name, "", c, pairs); err != nil {
		return e, err
	}
	e.Report = r.store.Address("report/" + c.Name)
	if err := r.writePage(ctx, r.store, path.Join("report", c.Name, "index.html"), e.New > 0, func() (report.Page, error) {
		return r.scoresPage(ctx, c, e.Table, pairs, command)
	}); err != nil {
		return e, err
	}
	if tryLargest {
		c.Name, c.Options.KeepLargest = c.Name+"-largest", true
		largest, _, err := r.score(ctx, c.Name, "", c, pairs)
		if err != nil {
			return e, err
		}
		e.Largest = &largest
	}
	e.Rejected = r.refused
	return e, nil
}

// scheme is the address of the dataset.json that names the labels.
func (q EvaluateRequest) scheme() string {
	if q.Dataset != "" {
		return q.Dataset
	}
	scheme, rest := "", strings.TrimRight(q.References, "/")
	if at := strings.Index(rest, "://"); at >= 0 {
		scheme, rest = rest[:at+3], rest[at+3:]
	}
	return scheme + path.Join(path.Dir(rest), "dataset.json")
}

// match pairs references with predictions by file name.
func (r *run) match(ctx context.Context, q EvaluateRequest) ([]score.Pair, error) {
	predicted, refused, err := masks(ctx, q.Predictions)
	if err != nil {
		return nil, err
	}
	references, unusable, err := cases.Masks(ctx, q.References)
	if err != nil {
		return nil, err
	}
	refused = append(refused, unusable...)
	var pairs []score.Pair
	for _, c := range references {
		if predicted[c.ID] == "" {
			fault := &cases.Fault{Kind: cases.Missing, File: c.Labels, Remedy: "predict the scan first, or remove the reference", Err: fmt.Errorf("%s has no prediction", q.Predictions)}
			x, _ := cases.Reject(c.ID, "evaluate", fault)
			refused = append(refused, x)
			continue
		}
		pairs = append(pairs, score.Pair{Case: c.ID, Reference: c.Labels, Prediction: predicted[c.ID]})
	}
	if len(pairs) == 0 {
		return nil, fmt.Errorf("pipelines: evaluate: no file of %s has a namesake in %s", q.References, q.Predictions)
	}
	return pairs, r.refuseFiles(ctx, "evaluate", refused)
}

// score runs the scoring of pairs and returns its table and how many pairs were new.
func (r *run) score(ctx context.Context, name, detail string, c score.Config, pairs []score.Pair) (t score.Table, fresh int, err error) {
	if err := c.Check(); err != nil {
		return t, 0, err
	}
	list := make([]cases.Case, len(pairs))
	for i, p := range pairs {
		list[i] = cases.Case{ID: p.Case}
	}
	o, err := r.over(ctx, caseWork{
		name: name, detail: detail, ledger: "score-" + c.Name, list: list,
		graph: func(context.Context, map[string]bool) *beam.Pipeline { return scoreGraph(c, pairs) },
	})
	if err != nil {
		return t, 0, err
	}
	if len(o.good) == 0 {
		return t, 0, fmt.Errorf("pipelines: %s: none of %d pairs could be scored: %s", name, len(pairs), r.refused[len(r.refused)-1].Message)
	}
	if found, err := r.readJSON(ctx, path.Join("report", c.Name, "table.json"), &t); err != nil || !found {
		return t, 0, fmt.Errorf("pipelines: %s: the table was not written (%v); run the command again", name, err)
	}
	return t, len(o.fresh), nil
}

func scoreGraph(c score.Config, pairs []score.Pair) *beam.Pipeline {
	p, s := beam.NewPipelineWithRoot()
	rows, rejected := score.Cases(s, c, beam.CreateList(s, pairs))
	read(s, score.Report(s, c, rows), rejected)
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

// scoreModel labels cases that have labels of their own with some models and scores
// them; which says whose they are, such as "teacher 0".
func (r *run) scoreModel(ctx context.Context, name, which string, list []cases.Case, models []model, rules score.Rules) (score.Table, error) {
	if err := r.makeRoom(ctx, list); err != nil {
		return score.Table{}, err
	}
	c, err := r.config(ctx, models, len(list))
	if err != nil {
		return score.Table{}, err
	}
	return r.scoreConfig(ctx, name, which, list, c, rules)
}

// scoreConfig is scoreModel for models that are configured.
func (r *run) scoreConfig(ctx context.Context, name, which string, list []cases.Case, c predict.Config, rules score.Rules) (score.Table, error) {
	o, err := r.predict(ctx, name, which, c, list)
	if err != nil {
		return score.Table{}, err
	}
	pairs := r.predictedPairs(c, o.good)
	if len(pairs) == 0 {
		return score.Table{}, fmt.Errorf("pipelines: %s: no case could be labelled; see the rejected cases in %s", name, r.store.Address("ledger/"+c.Stage()))
	}
	s := score.Config{
		Store: r.store.Root(), Name: strings.ReplaceAll(name+" "+which, " ", "_"), BudgetBytes: r.memory(),
		Options: score.Options{Rules: rules, Labels: r.plan.Labels, Ignore: max(r.plan.Ignore, 0)},
	}
	table, _, err := r.score(ctx, name+" scores", which, s, pairs)
	return table, err
}

// predictedPairs pairs the labels of labelled cases with what was predicted.
func (r *run) predictedPairs(c predict.Config, list []cases.Case) (pairs []score.Pair) {
	for _, x := range list {
		pairs = append(pairs, score.Pair{Case: x.ID, Reference: x.Labels, Prediction: r.store.Address(c.Key(x.ID))})
	}
	return pairs
}
