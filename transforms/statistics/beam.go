package statistics

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
	register.DoFn4x1[context.Context, cases.Case, func(string), func(cases.Rejected), error](&casesFn{})
	register.DoFn2x2[context.Context, []string, string, error](&reportFn{})
	register.Emitter1[string]()
	register.Emitter1[cases.Rejected]()
}

// Cases measures a PCollection<cases.Case> of scans with labels and gives
// PCollection<string>, JSON of Row, and PCollection<cases.Rejected>. Scans that the
// ledger says are done are not measured again but their row is given.
func Cases(s beam.Scope, c Config, scans beam.PCollection) (rows, rejected beam.PCollection) {
	s = s.Scope("statistics.Cases")
	return beam.ParDo2(s, &casesFn{Config: encoded(c)}, beam.Reshuffle(s, scans))
}

// Report combines the rows of Cases, writes the report (see Publish) and gives a
// singleton PCollection<string>, JSON of []Flag. No row gives nothing.
func Report(s beam.Scope, c Config, rows beam.PCollection) beam.PCollection {
	s = s.Scope("statistics.Report")
	return beam.ParDo(s, &reportFn{Config: encoded(c)}, manifest.Gather(s, rows))
}

// encoded is a configuration as DoFns carry it, whatever the coder.
func encoded(c Config) string {
	text, err := json.Marshal(c)
	if err != nil {
		panic(fmt.Sprintf("statistics: encode configuration: %v", err)) // our own struct always encodes
	}
	return string(text)
}

type casesFn struct {
	Config   string
	config   Config
	store    *store.Store
	outcomes manifest.Outcomes
}

func (f *casesFn) Setup(ctx context.Context) (err error) {
	f.outcomes = manifest.NewOutcomes("statistics")
	if err = json.Unmarshal([]byte(f.Config), &f.config); err == nil {
		f.store, err = store.Open(ctx, f.config.Store)
	}
	return err
}

func (f *casesFn) ProcessElement(ctx context.Context, scan cases.Case, emit func(string), reject func(cases.Rejected)) error {
	ctx = metrics.Begin(ctx)
	row, done, err := Process(ctx, f.store, f.config, scan)
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
	var c Config
	if err := json.Unmarshal([]byte(f.Config), &c); err != nil {
		return "", fmt.Errorf("statistics: decode configuration: %w", err)
	}
	rows, err := manifest.Decode[Row](texts)
	if err != nil {
		return "", fmt.Errorf("statistics: %w", err)
	}
	st, err := store.Open(ctx, c.Store)
	if err != nil {
		return "", err
	}
	flags, err := Publish(ctx, st, c, rows)
	if err != nil {
		return "", err
	}
	text, err := json.Marshal(flags)
	return string(text), err
}
