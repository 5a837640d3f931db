package resample

import (
	"context"
	"math"
	"path"

	"noisystudent/io/store"
	"noisystudent/io/volume"
	"noisystudent/transforms/cases"
	"noisystudent/transforms/manifest"
	"noisystudent/transforms/memory"
	"noisystudent/transforms/plan"
)

// Stage names preprocessing in the ledger.
const Stage = "preprocess"

// Process preprocesses and stores one case unless the ledger says that it is done.
// A case that cannot be is a rejected row and no error.
func Process(ctx context.Context, st *store.Store, c cases.Case, p plan.Plan, budgetBytes int64) (manifest.Row, error) {
	wanted := manifest.Row{Stage: Stage, Case: c.ID, Version: version, Plan: Digest(p)}
	return manifest.Settle(ctx, st, c, wanted, func(row *manifest.Row) error {
		prefix := Prefix(p, c.ID)
		row.Output = path.Join(prefix, "zarr.json")
		return prepare(ctx, st, prefix, c, p, budgetBytes)
	})
}

// prepare does the work of Process under the memory budget.
func prepare(ctx context.Context, st *store.Store, prefix string, c cases.Case, p plan.Plan, budgetBytes int64) error {
	g, err := cases.ReadGeometry(ctx, c, p.Orientation)
	if err != nil {
		return err
	}
	release, err := memory.Admit(ctx, c.Image, PredictBytes(g, p), budgetBytes)
	if err != nil {
		return err
	}
	defer release()
	prepared, err := Load(ctx, c, p, 0)
	if err != nil {
		return err
	}
	if err := Write(ctx, st, prefix, prepared); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if store.Systemic(err) {
			return err
		}
		return &cases.Fault{Kind: cases.NotWritten, File: st.Address(prefix), Remedy: "make room or check the store, then run the command again", Err: err}
	}
	return nil
}

// PredictBytes is what preprocessing a scan of a grid takes at its peak: the scan
// while its axes are put in order (twice in float32), or the scan and its labels
// beside the result, whose planes are all made before they go through z.
func PredictBytes(g volume.Geometry, p plan.Plan) int64 {
	const fixed = 64 << 20 // a shard being packed, positions, lines
	source := float64(g.Voxels())
	result, planes := source, source
	for a := range 3 {
		ratio := g.Spacing[a] / p.Spacing[a]
		result *= ratio
		if a == 0 {
			ratio = max(ratio, 1)
		}
		planes *= ratio
	}
	need := max(8*source, 6*source+4*planes+result) + fixed
	return int64(min(need, math.MaxInt64/2))
}
