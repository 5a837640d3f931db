package pipelines

import (
	"context"
	"slices"

	"noisystudent/io/nifti"
	"noisystudent/io/volume"
	"noisystudent/transforms/cases"
	"noisystudent/transforms/predict"
	"noisystudent/transforms/resample"
	"noisystudent/transforms/shard"
)

// shardsElsewhere is for runners that have who knows how many workers.
const shardsElsewhere = 64

// spareShards is how many shards of a heap there are for each worker, as a runner may
// give one worker two of them and another one none. Those that come last find nothing.
const spareShards = 8

// deal divides work into shards by what the headers of its cases say that it costs. What
// the ledger knows, and what cannot be read, costs nothing: it is told of in no time.
func deal[T any](ctx context.Context, r *run, c predict.Config, list []cases.Case, work []T, standing map[string]bool) []shard.Shard {
	costs, workers := r.passes(ctx, c, list, standing), r.labellers(c)
	shards := shard.Deal(work, costs, workers)
	if workers > 1 && !r.Runner.Splits() && slices.Max(costs) > 0 {
		n := spareShards * workers
		if r.Runner.InProcess() {
			n = workers + 1 // each at work reads a case before it has a network
		}
		heap, piled, err := shard.Pile(ctx, r.store, work, costs, workers, n)
		if r.heap = &heap; err == nil {
			shards = piled
		} // if the store is ill, the work itself will tell
	}
	if r.Runner.InProcess() {
		shard.Apart(shards)
	}
	return shards
}

// labellers is how many workers label at once.
func (r *run) labellers(c predict.Config) int {
	switch n := r.Runner.AtOnce(); {
	case r.Shards > 0:
		return r.Shards
	case r.Runner.InProcess():
		return c.Options.Networks
	case n > 0:
		return n
	}
	return shardsElsewhere
}

// clearHeap removes what deal has put into the store.
func (r *run) clearHeap(ctx context.Context) error {
	if r.heap == nil {
		return nil
	}
	defer func() { r.heap = nil }()
	return r.heap.Clear(context.WithoutCancel(ctx), r.store)
}

// passes tells what each case costs, see predict.Config.Passes, and keeps the headers' notes.
func (r *run) passes(ctx context.Context, c predict.Config, list []cases.Case, standing map[string]bool) []float64 {
	missing := slices.DeleteFunc(slices.Clone(list), func(x cases.Case) bool { return standing[x.ID] })
	known := map[string]float64{}
	r.footprint = predict.Footprint{}
	headers(ctx, missing, c.Plan.Orientation, func(x cases.Case, g volume.Geometry, f nifti.Frame) {
		known[x.ID], r.notes[x.Image] = c.Passes(g), f.Note
		if need := c.Footprint(g, f); resample.CheckGrid(g, c.Plan) == nil && need.Bytes() > r.footprint.Bytes() {
			r.footprint = need
		}
	})
	costs := make([]float64, len(list))
	for i, x := range list {
		costs[i] = known[x.ID]
	}
	return costs
}
