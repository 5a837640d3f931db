// Package pseudo labels unlabelled cases with the ensemble of teachers and selects
// the pseudo-labels that a student learns from.
//
// A case's image is read as it was prepared, and its labels are stored at the same
// resolution, so that the student trains on what the ensemble said and not on a
// round trip through the scan's grid. The NIfTI beside it is for people. With the
// labels goes a row: confidence, voxels by class and the teachers' digests.
//
// Selection keeps every case, as Koehler, Isensee, Maier-Hein 2022 do, or those
// whose confidence is high enough.
package pseudo

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"

	"noisystudent/io/nifti"
	"noisystudent/io/store"
	"noisystudent/transforms/cases"
	"noisystudent/transforms/manifest"
	"noisystudent/transforms/predict"
	"noisystudent/transforms/resample"
)

// version of the transform: raised when its bytes change.
const version = 1

// Config is who labels, and in which round (from 1).
type Config struct {
	predict.Config
	Round int `json:"round"`
}

// Prepared is one case to label.
type Prepared struct {
	Case   string
	Prefix string // of the prepared case in the store
	Digest string // of what it was prepared from
}

// Note is what is known of a case's pseudo-labels: pseudo/<round>/<case>.json.
type Note struct {
	Case       string   `json:"case"`
	Confidence float64  `json:"confidence"` // mean top probability over foreground, 0 without any
	Voxels     []int64  `json:"voxels"`     // by class, at network resolution
	Teachers   []string `json:"teachers"`   // digests
}

// Stage is the ledger's name of a round.
func Stage(round int) string { return fmt.Sprintf("pseudo-%d", round) }

// Prefix is where a case's pseudo-labels are stored, for resample's WithLabels.
func Prefix(round int, id string) string { return fmt.Sprintf("pseudo/%d/%s.zarr", round, id) }

func noteKey(round int, id string) string { return fmt.Sprintf("pseudo/%d/%s.json", round, id) }

// Case labels one prepared case unless the ledger says that it is done.
func Case(ctx context.Context, st *store.Store, c Config, in Prepared) (manifest.Row, error) {
	wanted := manifest.Row{Stage: Stage(c.Round), Case: in.Case, Version: version, Input: in.Digest, Plan: c.Plan.Digest(), Model: c.Digest()}
	return manifest.Once(ctx, st, wanted, func(row *manifest.Row) error {
		row.Output = noteKey(c.Round, in.Case) // written last
		return c.label(ctx, st, in)
	})
}

func (c Config) label(ctx context.Context, st *store.Store, in Prepared) error {
	stored, err := resample.OpenCase(ctx, st, in.Prefix)
	if err != nil {
		return fmt.Errorf("pseudo: %s: %w; run `noisystudent preprocess` again", in.Case, err)
	}
	p := stored.Properties()
	release, err := c.Admit(ctx, st.Address(in.Prefix), p.Source)
	if err != nil {
		return err
	}
	defer release()
	shape := stored.Shape()
	image := make([]float32, shape[0]*shape[1]*shape[2])
	if err := stored.ReadImage(ctx, [3]int{}, shape, image); err != nil {
		return fmt.Errorf("pseudo: %s: %w", in.Case, err)
	}
	r, err := c.Labels(ctx, st, image, shape)
	if err != nil {
		return fmt.Errorf("pseudo: %s: %w", in.Case, err)
	}
	if err := c.store(ctx, st, in.Case, p, r); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return &cases.Fault{Kind: cases.NotWritten, File: st.Address(Prefix(c.Round, in.Case)), Remedy: "make room or check the store, then run the command again", Err: err}
	}
	return nil
}

// store writes the arrays, the file for people, and the note last.
func (c Config) store(ctx context.Context, st *store.Store, id string, p resample.Properties, r *predict.Result) error {
	if err := resample.WriteLabels(ctx, st, Prefix(c.Round, id), p, r.Labels, c.Plan); err != nil {
		return err
	}
	var file bytes.Buffer
	if err := nifti.WriteLabels(&file, p.Restore(r.Labels), p.Frame); err != nil {
		return err
	}
	if err := st.Write(ctx, fmt.Sprintf("pseudo/%d/%s.nii.gz", c.Round, id), file.Bytes()); err != nil {
		return err
	}
	note := Note{Case: id, Confidence: r.Confidence, Voxels: r.Voxels}
	for _, m := range c.Models {
		note.Teachers = append(note.Teachers, m.Digest)
	}
	data, err := json.MarshalIndent(note, "", " ")
	if err != nil {
		return err
	}
	return st.Write(ctx, noteKey(c.Round, id), append(data, '\n'))
}

// Rule says which pseudo-labels a student learns from. The zero value keeps all.
type Rule struct {
	MinConfidence float64 `json:"min_confidence"`
}

// Selection is the outcome of a rule, by case: pseudo/<round>/selection.json.
type Selection struct {
	Rule    Rule     `json:"rule"`
	Kept    []string `json:"kept"`
	Dropped []string `json:"dropped"`
}

// Select applies a rule to the notes of a round; both lists are ascending.
func Select(notes []Note, rule Rule) Selection {
	s := Selection{Rule: rule, Kept: []string{}, Dropped: []string{}}
	for _, n := range notes {
		if n.Confidence >= rule.MinConfidence {
			s.Kept = append(s.Kept, n.Case)
		} else {
			s.Dropped = append(s.Dropped, n.Case)
		}
	}
	slices.Sort(s.Kept)
	slices.Sort(s.Dropped)
	return s
}

// ReadNote returns the note of a case; fs.ErrNotExist where it has no pseudo-labels.
func ReadNote(ctx context.Context, st *store.Store, round int, id string) (Note, error) {
	var n Note
	data, err := st.Read(ctx, noteKey(round, id))
	if errors.Is(err, fs.ErrNotExist) {
		return n, err
	}
	if err == nil {
		err = json.Unmarshal(data, &n)
	}
	if err != nil {
		return n, fmt.Errorf("pseudo: read note of %s: %w", id, err)
	}
	return n, nil
}

// WriteSelection keeps the outcome where people look for it.
func WriteSelection(ctx context.Context, st *store.Store, round int, s Selection) error {
	data, err := json.MarshalIndent(s, "", " ")
	if err != nil {
		return fmt.Errorf("pseudo: write selection: %w", err)
	}
	return st.Write(ctx, path.Join("pseudo", fmt.Sprint(round), "selection.json"), append(data, '\n'))
}
