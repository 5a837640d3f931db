package score

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/register"

	"noisystudent/io/store"
	"noisystudent/transforms/cases"
	"noisystudent/transforms/manifest"
	"noisystudent/transforms/metrics"
)

func init() {
	register.DoFn4x1[context.Context, Pair, func(string), func(cases.Rejected), error](&casesFn{})
	register.DoFn2x2[context.Context, []string, string, error](&reportFn{})
	register.Emitter1[string]()
	register.Emitter1[cases.Rejected]()
}

// Cases scores a PCollection<Pair> and gives PCollection<string>, JSON of Row, and
// PCollection<cases.Rejected>. Pairs that the ledger says are done are not scored
// again but their row is given. A pair takes two bytes a voxel of memory, and as
// much again while it is read.
func Cases(s beam.Scope, c Config, pairs beam.PCollection) (rows, rejected beam.PCollection) {
	s = s.Scope("score.Cases")
	return beam.ParDo2(s, &casesFn{Config: encoded(c)}, beam.Reshuffle(s, pairs))
}

// Report combines the rows of Cases, writes report/<name>/ (see Publish) and gives
// a singleton PCollection<string>, JSON of Table. No row gives no table.
func Report(s beam.Scope, c Config, rows beam.PCollection) beam.PCollection {
	s = s.Scope("score.Report")
	return beam.ParDo(s, &reportFn{Config: encoded(c)}, manifest.Gather(s, rows))
}

// encoded is a configuration as DoFns carry it: JSON, which holds the map of
// tolerances whatever the coder.
func encoded(c Config) string {
	text, err := json.Marshal(c)
	if err != nil {
		panic(fmt.Sprintf("score: a configuration that Check refuses: %v", err))
	}
	return string(text)
}

func decoded(text string) (c Config, err error) {
	if err = json.Unmarshal([]byte(text), &c); err == nil {
		err = c.Check()
	}
	return c, err
}

type casesFn struct {
	Config   string
	config   Config
	store    *store.Store
	outcomes manifest.Outcomes
}

func (f *casesFn) Setup(ctx context.Context) (err error) {
	f.outcomes = manifest.NewOutcomes("score")
	if f.config, err = decoded(f.Config); err == nil {
		f.store, err = store.Open(ctx, f.config.Store)
	}
	return err
}

func (f *casesFn) ProcessElement(ctx context.Context, p Pair, emit func(string), reject func(cases.Rejected)) error {
	ctx = metrics.Begin(ctx)
	row, done, err := Process(ctx, f.store, f.config, p)
	if err != nil || !f.outcomes.Done(ctx, done, reject) {
		return err
	}
	text, err := json.Marshal(row)
	if err != nil {
		return err
	}
	emit(string(text))
	return nil
}

// reportFn writes the report of all rows.
type reportFn struct{ Config string }

func (f *reportFn) ProcessElement(ctx context.Context, texts []string) (string, error) {
	c, err := decoded(f.Config)
	if err != nil {
		return "", err
	}
	rows, err := manifest.Decode[Row](texts)
	if err != nil {
		return "", fmt.Errorf("score: %w", err)
	}
	st, err := store.Open(ctx, c.Store)
	if err != nil {
		return "", err
	}
	t, err := Publish(ctx, st, c, rows)
	if err != nil {
		return "", err
	}
	text, err := json.Marshal(t)
	return string(text), err
}
