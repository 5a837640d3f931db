package score

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path"

	"noisystudent/io/nifti"
	"noisystudent/io/store"
	"noisystudent/io/volume"
	"noisystudent/transforms/cases"
	"noisystudent/transforms/manifest"
	"noisystudent/transforms/memory"
	"noisystudent/transforms/statistics"
)

// Pair is a prediction with its reference; both are addresses of label files.
type Pair struct {
	Case       string
	Reference  string
	Prediction string
}

// Config is a scoring of many pairs: what Cases and Report do.
type Config struct {
	Store   string // root of the store
	Name    string // of this scoring, such as "test" or "fold_0": results lie under scores/ and report/ by it
	Options Options
	// BudgetBytes is the memory for all pairs in work in one process; 0: memory.Budget.
	BudgetBytes int64
}

// Check says what makes the configuration unusable. Cases and Report expect one
// that was checked.
func (c Config) Check() error {
	if err := cases.CheckID(c.Name); err != nil {
		return fmt.Errorf("score: name: %w", err)
	}
	return c.Options.validate()
}

// stage names the scoring in the ledger.
func (c Config) stage() string { return "score-" + c.Name }

// rowKey is where a case's row is stored.
func (c Config) rowKey(id string) string { return path.Join("scores", c.Name, id+".json") }

// Process scores one pair and stores its row, unless the ledger says that it is
// done. A pair that cannot be scored is a rejected ledger row and no error; its Row
// is then empty.
func Process(ctx context.Context, st *store.Store, c Config, p Pair) (Row, manifest.Row, error) {
	if err := c.Check(); err != nil {
		return Row{}, manifest.Row{}, err
	}
	wanted := manifest.Row{Stage: c.stage(), Case: p.Case, Version: version, Plan: manifest.Digest(c.Options)}
	var digests [2]string
	for i, address := range []string{p.Reference, p.Prediction} {
		var err error
		if digests[i], err = manifest.FileDigest(ctx, st, address); err != nil {
			var fault *cases.Fault
			if !errors.As(err, &fault) {
				return Row{}, wanted, err
			}
			done, err := manifest.Reject(ctx, st, wanted, fault)
			return Row{}, done, err
		}
	}
	wanted.Input = manifest.Digest(digests, p.Reference, p.Prediction)
	return manifest.Value(ctx, st, c.rowKey(p.Case), func(work func(*manifest.Row) error) (manifest.Row, error) {
		return manifest.Once(ctx, st, wanted, work)
	}, func() (Row, error) { return Files(ctx, c, p) })
}

// Files reads a pair in the files' own axis order and scores it. What is wrong with
// a file is a *cases.Fault. It waits until the process has memory for both.
func Files(ctx context.Context, c Config, p Pair) (Row, error) {
	o := c.Options
	scheme := cases.Scheme{Ignore: -1}
	for _, l := range o.Labels {
		scheme.Classes = max(scheme.Classes, l.ID+1)
	}
	if o.Ignore > 0 {
		scheme.Ignore = o.Ignore
	}
	release, err := admit(ctx, c, p)
	if err != nil {
		return Row{}, err
	}
	defer release()
	var pair [2]*volume.Labels
	var faults [2]error
	parallel(2, func(i int) {
		c := cases.Case{ID: p.Case, Labels: [2]string{p.Reference, p.Prediction}[i]}
		pair[i], _, faults[i] = cases.ReadLabels(ctx, c, scheme, nifti.Stored, 0)
	})
	if err := cmp.Or(faults[:]...); err != nil {
		return Row{}, err
	}
	if o.KeepLargest {
		ids := make([]int, len(o.Labels))
		for i, l := range o.Labels {
			ids[i] = l.ID
		}
		statistics.KeepLargest(pair[1].Data, pair[1].Shape, ids)
	}
	row, err := Case(pair[0], pair[1], o)
	var grids *GridError
	if errors.As(err, &grids) {
		return Row{}, &cases.Fault{Kind: cases.GridMismatch, File: p.Prediction, Remedy: "write the prediction on the reference's grid, its axes in the same order", Err: err}
	}
	row.Case, row.Reference, row.Prediction = p.Case, p.Reference, p.Prediction
	return row, err
}

// admit waits for the memory of a pair: two label maps, each twice while the file's
// numbers are read.
func admit(ctx context.Context, c Config, p Pair) (release func(), err error) {
	g, err := cases.ReadGeometry(ctx, cases.Case{Image: p.Reference}, nifti.Stored)
	if err != nil {
		return nil, err
	}
	return memory.Admit(ctx, p.Reference, 8*int64(g.Voxels()), c.BudgetBytes)
}

// Publish writes report/<name>/ for people and other programs: table.json (Table),
// scores.csv (FLARE's table of cases) and summary.json (nnU-Net's).
func Publish(ctx context.Context, st *store.Store, c Config, rows []Row) (Table, error) {
	t, err := Tabulate(rows)
	if err != nil {
		return Table{}, err
	}
	table, err := json.MarshalIndent(t, "", "  ")
	if err != nil {
		return Table{}, fmt.Errorf("score: encode the table: %w", err)
	}
	summary, err := Summary(rows)
	if err != nil {
		return Table{}, err
	}
	for _, f := range []struct {
		name string
		data []byte
	}{{"table.json", append(table, '\n')}, {"scores.csv", CSV(rows)}, {"summary.json", summary}} {
		if err := st.Write(ctx, path.Join("report", c.Name, f.name), f.data); err != nil {
			return Table{}, fmt.Errorf("score: write the report of %s: %w", c.Name, err)
		}
	}
	return t, nil
}
