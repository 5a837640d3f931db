package resample

import (
	"context"
	"errors"
	"path"

	"noisystudent/io/store"
	"noisystudent/transforms/cases"
	"noisystudent/transforms/manifest"
	"noisystudent/transforms/plan"
)

// Stage names preprocessing in the ledger.
const Stage = "preprocess"

// Process preprocesses and stores one case unless the ledger says that it is done.
// A case that cannot be is a rejected row and no error.
func Process(ctx context.Context, st *store.Store, c cases.Case, p plan.Plan, budgetBytes int64) (manifest.Row, error) {
	wanted := manifest.Row{Stage: Stage, Case: c.ID, Version: version, Plan: Digest(p)}
	var err error
	if wanted.Input, err = manifest.InputDigest(ctx, st, c); err != nil {
		var fault *cases.Fault
		if errors.As(err, &fault) {
			return manifest.Reject(ctx, st, wanted, fault)
		}
		return wanted, err
	}
	return manifest.Once(ctx, st, wanted, func(row *manifest.Row) error {
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
	release, err := Admit(ctx, PredictBytes(g, p), budgetBytes)
	if errors.Is(err, ErrBudget) {
		return &cases.Fault{Kind: cases.TooLarge, File: c.Image, Remedy: "allow more memory, or crop or split the scan", Err: err}
	}
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
		return &cases.Fault{Kind: cases.NotWritten, File: st.Address(prefix), Remedy: "make room or check the store, then run the command again", Err: err}
	}
	return nil
}
