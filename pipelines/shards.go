package pipelines

import (
	"context"
	"slices"

	"noisystudent/io/volume"
	"noisystudent/transforms/cases"
	"noisystudent/transforms/predict"
	"noisystudent/transforms/shard"
)

// shardsElsewhere is for runners that have who knows how many workers.
const shardsElsewhere = 64

// spareShards is how many shards of a heap there are for each worker, as a runner may
// give one worker two of them and another one none. Those that come last find nothing.
const spareShards = 8

// deal divides work into shards by what the headers of its cases say that it costs. What
// the ledger knows, and what cannot be read, costs nothing: it is told of in no time.
// Prism and Dataflow split a shard whose worker has too much left; Flink does not, so
// that its shards take from a heap, which over clears.
func deal[T any](ctx context.Context, r *run, c predict.Config, list []cases.Case, work []T, standing map[string]bool) []shard.Shard {
	costs := passes(ctx, c, list, standing)
	n := r.Shards
	switch {
	case n > 0:
	case r.Runner.InProcess():
		n = c.Options.Networks
	case r.Runner.AtOnce() > 0:
		n = r.Runner.AtOnce()
	default:
		n = shardsElsewhere
	}
	if n > 1 && !r.Runner.Splits() && slices.Max(costs) > 0 {
		heap, shards, err := shard.Pile(ctx, r.store, work, costs, n, n*spareShards)
		r.heap = &heap
		if err == nil {
			return shards
		} // if the store is ill, the work itself will tell
	}
	return shard.Deal(work, costs, n, r.Runner.InProcess())
}

// clearHeap removes what deal has put into the store.
func (r *run) clearHeap(ctx context.Context) error {
	if r.heap == nil {
		return nil
	}
	defer func() { r.heap = nil }()
	return r.heap.Clear(context.WithoutCancel(ctx), r.store)
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
