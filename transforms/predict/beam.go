package predict

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
	register.DoFn4x1[context.Context, cases.Case, func(string), func(cases.Rejected), error](&scanFn{})
	register.Emitter1[string]()
	register.Emitter1[cases.Rejected]()
}

// Scans labels a PCollection<cases.Case>. It gives the ids of those that are
// labelled, PCollection<string>, and PCollection<cases.Rejected>. Work that the
// ledger says is done is not done again, but its id is given.
func Scans(s beam.Scope, c Config, scans beam.PCollection) (done, rejected beam.PCollection) {
	s = s.Scope("predict.Scans")
	config, err := json.Marshal(c)
	if err != nil {
		panic(fmt.Sprintf("predict: encode configuration: %v", err)) // our own struct always encodes
	}
	return beam.ParDo2(s, &scanFn{Config: string(config)}, beam.Reshuffle(s, scans))
}

type scanFn struct {
	Config   string // JSON of Config
	config   Config
	store    *store.Store
	outcomes manifest.Outcomes
}

func (f *scanFn) Setup(ctx context.Context) (err error) {
	f.outcomes = manifest.NewOutcomes("predict")
	if err = json.Unmarshal([]byte(f.Config), &f.config); err == nil {
		f.store, err = store.Open(ctx, f.config.Store)
	}
	return err
}

func (f *scanFn) ProcessElement(ctx context.Context, scan cases.Case, done func(string), rejected func(cases.Rejected)) error {
	ctx = metrics.Begin(ctx)
	row, err := Scan(ctx, f.store, f.config, scan)
	if err != nil || !f.outcomes.Done(ctx, row, rejected) {
		return err
	}
	done(scan.ID)
	return nil
}
