package pipelines

import (
	"context"
	"slices"

	"noisystudent/io/volume"
	"noisystudent/transforms/cases"
	"noisystudent/transforms/predict"
	"noisystudent/transforms/shard"
)

// shardsElsewhere is for runners that deal shards out to workers by chance, or to who knows how many.
const shardsElsewhere = 64

// deal divides work into shards by what the headers of its cases say that it costs. What
// the ledger knows, and what cannot be read, costs nothing: it is told of in no time.
func deal[T any](ctx context.Context, r *run, c predict.Config, list []cases.Case, work []T, standing map[string]bool) []shard.Shard {
	n := r.Shards
	switch {
	case n > 0:
	case r.Runner.InProcess():
		n = c.Options.Networks
	default:
		n = shardsElsewhere
	}
	return shard.Deal(work, passes(ctx, c, list, standing), n, r.Runner.InProcess())
}

// passes tells what each case costs, see predict.Config.Passes.
func passes(ctx context.Context, c predict.Config, list []cases.Case, standing map[string]bool) []float64 {
	missing := slices.DeleteFunc(slices.Clone(list), func(x cases.Case) bool { return standing[x.ID] })
	known := map[string]float64{}
	headers(ctx, missing, c.Plan.Orientation, func(x cases.Case, g volume.Geometry) { known[x.ID] = c.Passes(g) })
	costs := make([]float64, len(list))
	for i, x := range list {
		costs[i] = known[x.ID]
	}
	return costs
}
