package fingerprint

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"

	"noisystudent/io/store"
	"noisystudent/transforms/cases"
	"noisystudent/transforms/manifest"
	"noisystudent/transforms/memory"
)

// Stage names the work in the ledger.
const Stage = "fingerprint"

// File is the fingerprint's name in the store; the facts of a case are beside it in
// fingerprint/<case>.json.
const File = "fingerprint.json"

// maxFileBytes bounds the files read back: the facts of a case of raw floats have
// up to maxDistinct values.
const maxFileBytes = 256 << 20

// Config is what the work on a case needs beside the case.
type Config struct {
	Store       string // root of the store
	Orientation string // ras or stored
	Options     Options
	BudgetBytes int64 // memory for all cases in work in one process; 0: memory.Budget
}

// digest names what facts depend on beside the case's files.
func (c Config) digest() string {
	return manifest.Digest(Stage, c.Orientation, c.Options.Scheme, c.Options.Samples, c.Options.Seed)
}

// Process measures a case and keeps its facts in the store, or reads the facts back
// where the ledger says that they are there. A case that cannot be measured
// gives a rejected row and no error.
func Process(ctx context.Context, st *store.Store, c cases.Case, o Config) (Facts, manifest.Row, error) {
	var facts Facts
	key := "fingerprint/" + c.ID + ".json"
	wanted := manifest.Row{Stage: Stage, Case: c.ID, Version: version, Plan: o.digest()}
	row, err := manifest.Settle(ctx, st, c, wanted, func(row *manifest.Row) error {
		var err error
		if facts, err = measure(ctx, c, o); err != nil {
			return err
		}
		row.Output = key
		return write(ctx, st, key, facts)
	})
	if err != nil || row.Outcome == manifest.Rejected || facts.Cases != nil {
		return facts, row, err
	}
	return facts, row, read(ctx, st, key, &facts)
}

// voxelBytes is what a voxel takes at its peak: image and labels before and after
// their axes are turned, or both and the foreground's values.
const voxelBytes = 10

// measure reads a case's files and takes their facts.
func measure(ctx context.Context, c cases.Case, o Config) (Facts, error) {
	g, err := cases.ReadGeometry(ctx, c, o.Orientation)
	if err != nil {
		return Facts{}, err
	}
	release, err := memory.Admit(ctx, c.Image, voxelBytes*int64(g.Voxels()), o.BudgetBytes)
	if err != nil {
		return Facts{}, err
	}
	defer release()
	image, labels, _, err := cases.ReadPair(ctx, c, o.Options.Scheme, o.Orientation, 0)
	if err != nil {
		return Facts{}, err
	}
	return Measure(c.ID, image, labels, o.Options), nil
}

// Save writes the store's fingerprint.
func Save(ctx context.Context, st *store.Store, f Fingerprint) error {
	return write(ctx, st, File, f)
}

// Load reads the store's fingerprint.
func Load(ctx context.Context, st *store.Store) (Fingerprint, error) {
	var f Fingerprint
	err := read(ctx, st, File, &f)
	if errors.Is(err, fs.ErrNotExist) {
		return f, fmt.Errorf("fingerprint: %s has none yet; run `noisystudent plan` first: %w", st.Root(), err)
	}
	return f, err
}

func write(ctx context.Context, st *store.Store, key string, v any) error {
	data, err := manifest.Encode(v)
	if err != nil {
		return fmt.Errorf("fingerprint: encode %s: %w", key, err)
	}
	if err := st.Write(ctx, key, data); err != nil {
		return fmt.Errorf("fingerprint: save: %w", err)
	}
	return nil
}

func read(ctx context.Context, st *store.Store, key string, into any) error {
	info, err := st.Stat(ctx, key)
	if err != nil {
		return fmt.Errorf("fingerprint: load: %w", err)
	}
	if info.Size > maxFileBytes {
		return fmt.Errorf("fingerprint: load %s: %d bytes are too many for this file", st.Address(key), info.Size)
	}
	data, err := st.Read(ctx, key)
	if err != nil {
		return fmt.Errorf("fingerprint: load: %w", err)
	}
	if err := json.Unmarshal(data, into); err != nil {
		return fmt.Errorf("fingerprint: load %s: %w; remove the file and run the command again", st.Address(key), err)
	}
	return nil
}
