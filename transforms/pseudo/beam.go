package pseudo

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/register"

	"noisystudent/io/store"
	"noisystudent/transforms/cases"
	"noisystudent/transforms/manifest"
	"noisystudent/transforms/metrics"
)

func init() {
	register.DoFn4x1[context.Context, Prepared, func(string), func(cases.Rejected), error](&labelFn{})
	register.Emitter1[string]()
	register.Emitter1[cases.Rejected]()
	beam.RegisterType(reflect.TypeOf((*Prepared)(nil)).Elem())
}

// Labels labels a PCollection<Prepared>. It gives the ids of the cases that are
// labelled, PCollection<string>, and PCollection<cases.Rejected>. Work that the
// ledger says is done is not done again, but its id is given.
func Labels(s beam.Scope, c Config, prepared beam.PCollection) (done, rejected beam.PCollection) {
	s = s.Scope("pseudo.Labels")
	config, err := json.Marshal(c)
	if err != nil {
		panic(fmt.Sprintf("pseudo: encode configuration: %v", err)) // our own struct always encodes
	}
	return beam.ParDo2(s, &labelFn{Config: string(config)}, beam.Reshuffle(s, prepared))
}

type labelFn struct {
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

func (f *labelFn) ProcessElement(ctx context.Context, in Prepared, done func(string), rejected func(cases.Rejected)) error {
	ctx = metrics.Begin(ctx)
	row, err := Case(ctx, f.store, f.config, in)
	if err != nil || !f.outcomes.Done(ctx, row, rejected) {
		return err
	}
	done(in.Case)
	return nil
}
