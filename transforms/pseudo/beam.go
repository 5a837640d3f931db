package pseudo

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
	register.DoFn5x2[context.Context, *sdf.LockRTracker, string, func(string), func(cases.Rejected), sdf.ProcessContinuation, error](&labelFn{})
	register.Emitter1[string]()
	register.Emitter1[cases.Rejected]()
}

// Labels labels a PCollection<string> of shards of Prepared. It gives the ids of the cases that are
// labelled, PCollection<string>, and PCollection<cases.Rejected>. Work that the
// ledger says is done is not done again, but its id is given.
func Labels(s beam.Scope, c Config, shards beam.PCollection) (done, rejected beam.PCollection) {
	s = s.Scope("pseudo.Labels")
	config, err := json.Marshal(c)
	if err != nil {
		panic(fmt.Sprintf("pseudo: encode configuration: %v", err)) // our own struct always encodes
	}
	return beam.ParDo2(s, &labelFn{Config: string(config)}, beam.Reshuffle(s, shards))
}

type labelFn struct {
	shard.Fn
	Config   string // JSON of Config
	config   Config
	store    *store.Store
	outcomes manifest.Outcomes
}

func (f *labelFn) Setup(ctx context.Context) (err error) {
	f.outcomes = manifest.NewOutcomes("pseudo")
	if err = json.Unmarshal([]byte(f.Config), &f.config); err == nil {
		f.store, err = store.Open(ctx, f.config.Store)
	}
	return err
}

func (f *labelFn) ProcessElement(ctx context.Context, rt *sdf.LockRTracker, prepared string, done func(string), rejected func(cases.Rejected)) (sdf.ProcessContinuation, error) {
	return shard.Each(ctx, rt, prepared, func(in Prepared) error {
		ctx := metrics.Begin(ctx)
		row, err := Case(ctx, f.store, f.config, in)
		if err != nil || !f.outcomes.Done(ctx, row, rejected) {
			return err
		}
		done(in.Case)
		return nil
	})
}
