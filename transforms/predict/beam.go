package predict

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/core/sdf"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/register"

	"noisystudent/io/store"
	"noisystudent/transforms/cases"
	"noisystudent/transforms/manifest"
	"noisystudent/transforms/metrics"
	"noisystudent/transforms/shard"
)

func init() {
	register.DoFn5x2[context.Context, *sdf.LockRTracker, string, func(string), func(cases.Rejected), sdf.ProcessContinuation, error](&scanFn{})
	register.DoFn4x1[context.Context, string, func(string), func(cases.Rejected), error](&calibrateFn{})
	register.Emitter1[string]()
	register.Emitter1[cases.Rejected]()
}

// Scans labels a PCollection<string> of shards of cases.Case. It gives the ids of those that are
// labelled, PCollection<string>, and PCollection<cases.Rejected>. Work that the
// ledger says is done is not done again, but its id is given.
func Scans(s beam.Scope, c Config, shards beam.PCollection) (done, rejected beam.PCollection) {
	s = s.Scope("predict.Scans")
	return beam.ParDo2(s, &scanFn{Config: encoded(c)}, beam.Reshuffle(s, shards))
}

type scanFn struct {
	shard.Fn
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

func (f *scanFn) ProcessElement(ctx context.Context, rt *sdf.LockRTracker, scans string, done func(string), rejected func(cases.Rejected)) (sdf.ProcessContinuation, error) {
	return shard.Each(ctx, rt, scans, func(scan cases.Case) error {
		ctx := metrics.Begin(ctx)
		row, err := Scan(ctx, f.store, f.config, scan)
		if err != nil || !f.outcomes.Done(ctx, row, rejected) {
			return err
		}
		done(scan.ID)
		return nil
	})
}

// encoded is a configuration as DoFns carry it.
func encoded(c Config) string {
	text, err := json.Marshal(c)
	if err != nil {
		panic(fmt.Sprintf("predict: encode configuration: %v", err)) // our own struct always encodes
	}
	return string(text)
}

// Calibrations measures a PCollection<string>, JSON of Prepared, see Calibrate. It gives
// the ids of those that are measured, PCollection<string>, and PCollection<cases.Rejected>.
func Calibrations(s beam.Scope, c Config, prepared beam.PCollection) (done, rejected beam.PCollection) {
	s = s.Scope("predict.Calibrations")
	return beam.ParDo2(s, &calibrateFn{Config: encoded(c)}, beam.Reshuffle(s, prepared))
}

type calibrateFn struct {
	Config   string // JSON of Config
	config   Config
	store    *store.Store
	outcomes manifest.Outcomes
}

func (f *calibrateFn) Setup(ctx context.Context) (err error) {
	f.outcomes = manifest.NewOutcomes("calibrate")
	if err = json.Unmarshal([]byte(f.Config), &f.config); err == nil {
		f.store, err = store.Open(ctx, f.config.Store)
	}
	return err
}

func (f *calibrateFn) ProcessElement(ctx context.Context, prepared string, done func(string), rejected func(cases.Rejected)) error {
	var in Prepared
	if err := json.Unmarshal([]byte(prepared), &in); err != nil {
		return fmt.Errorf("predict: decode case: %w", err)
	}
	ctx = metrics.Begin(ctx)
	row, err := Calibrate(ctx, f.store, f.config, in)
	if err != nil || !f.outcomes.Done(ctx, row, rejected) {
		return err
	}
	done(in.Case)
	return nil
}
