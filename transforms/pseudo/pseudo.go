// Package pseudo labels unlabelled cases with the ensemble of teachers and selects
// the pseudo-labels that a student learns from.
//
// A case's image is read as it was prepared, and its labels are stored at the same
// resolution, so that the student trains on what the ensemble said and not on a
// round trip through the scan's grid. The NIfTI beside it is for people. With the
// labels goes a row: confidence, voxels by class and the teachers' digests.
//
// Selection keeps every case, as Koehler, Isensee, Maier-Hein 2022 do, or leaves out what
// the teachers doubt: whole cases, organs of a case, voxels (see plan.Pseudo).
package pseudo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"noisystudent/io/nifti"
	"noisystudent/io/store"
	"noisystudent/transforms/cases"
	"noisystudent/transforms/manifest"
	"noisystudent/transforms/memory"
	"noisystudent/transforms/predict"
	"noisystudent/transforms/resample"
	"noisystudent/transforms/statistics"
)

// version of the transform: raised when its bytes change.
const version = 1

// Config is who labels, and in which round (from 1).
type Config struct {
	predict.Config
	Round int `json:"round"`
}

// Prepared is one case to label.
type Prepared = predict.Prepared

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

// FileKey is where the NIfTI of a case's pseudo-labels lies, for people.
func FileKey(round int, id string) string { return fmt.Sprintf("pseudo/%d/%s.nii.gz", round, id) }

func noteKey(round int, id string) string { return fmt.Sprintf("pseudo/%d/%s.json", round, id) }

// Case labels one prepared case unless the ledger says that it is done. With Config.Doubts
// it also keeps where the teachers doubt, which changes no other byte.
func Case(ctx context.Context, st *store.Store, c Config, in Prepared) (manifest.Row, error) {
	wanted := manifest.Row{Stage: Stage(c.Round), Case: in.Case, Version: version, Input: in.Digest, Plan: resample.Digest(c.Plan), Model: c.Digest()}
	var r *predict.Result // of this run
	row, err := manifest.Once(ctx, st, wanted, func(row *manifest.Row) error {
		row.Output = noteKey(c.Round, in.Case) // written last
		return c.work(ctx, st, in, func(p resample.Properties, found *predict.Result) error {
			r = found
			return c.keep(ctx, st, in, p, r)
		})
	})
	if err == nil && row.Outcome == manifest.Done && c.Doubts {
		err = c.doubt(ctx, st, in, r)
	}
	if err != nil && ctx.Err() == nil {
		err = fmt.Errorf("pseudo: %s: %w", in.Case, err)
	}
	return row, err
}

// work labels a case and hands it on while memory is admitted for it.
func (c Config) work(ctx context.Context, st *store.Store, in Prepared, done func(resample.Properties, *predict.Result) error) error {
	stored, err := resample.OpenCase(ctx, st, in.Prefix)
	if err != nil {
		return fault(ctx, err, cases.Unreadable, st.Address(in.Prefix), "remove it and run `noisystudent preprocess` again")
	}
	p, shape := stored.Properties(), stored.Shape()
	voxels := int64(shape[0]) * int64(shape[1]) * int64(shape[2])
	release, err := memory.Admit(ctx, st.Address(in.Prefix), 4*voxels+c.SegmentBytes(p.Source), c.Options.Memory)
	if err != nil {
		return err
	}
	defer release()
	image := make([]float32, voxels)
	if err := stored.ReadImage(ctx, [3]int{}, shape, image); err != nil {
		return fault(ctx, err, cases.Unreadable, st.Address(in.Prefix), "remove it and run `noisystudent preprocess` again")
	}
	r, err := c.Labels(ctx, st, image, shape)
	if err != nil {
		var fault *cases.Fault
		if errors.As(err, &fault) && fault.File == "" {
			fault.File = st.Address(in.Prefix) // Labels knows no files
		}
		return err
	}
	var whole []uint8
	if r.Doubt != nil {
		whole = slices.Clone(r.Labels)
	}
	if statistics.KeepLargest(r.Labels, shape, c.Plan.KeptLargest()) > 0 {
		for i, label := range whole {
			if label != r.Labels[i] {
				r.Doubt.Certain[i] = 255 - r.Doubt.Certain[i] // no organ is as probable as it was not
				r.Doubt.Second[i] = r.Labels[i]               // and is not there by chance
			}
		}
		clear(r.Voxels)
		for _, label := range r.Labels {
			r.Voxels[label]++
		}
	}
	return done(p, r)
}

// keep stores the labels.
func (c Config) keep(ctx context.Context, st *store.Store, in Prepared, p resample.Properties, r *predict.Result) error {
	if err := c.store(ctx, st, in.Case, p, r); err != nil {
		return fault(ctx, err, cases.NotWritten, st.Address(Prefix(c.Round, in.Case)), "make room or check the store, then run the command again")
	}
	return predict.Took{Case: in.Case, Seconds: r.Seconds, Passes: c.Passes(p.Source), Certainty: r.Certainty}.Record(ctx, st, Stage(c.Round))
}

// fault makes an error the case's, unless the run was stopped or a whole bucket is gone.
func fault(ctx context.Context, err error, kind cases.Kind, file, remedy string) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if store.Systemic(err) {
		return err
	}
	return &cases.Fault{Kind: kind, File: file, Remedy: remedy, Err: err}
}

// store writes the arrays, the file for people, and the note last. An older note
// goes first: it would vouch for labels of other teachers if this run died here.
func (c Config) store(ctx context.Context, st *store.Store, id string, p resample.Properties, r *predict.Result) error {
	if err := st.Remove(ctx, noteKey(c.Round, id)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := resample.WriteLabels(ctx, st, Prefix(c.Round, id), p, r.Labels, c.Plan); err != nil {
		return err
	}
	var file bytes.Buffer
	if err := nifti.WriteLabels(&file, p.Restore(r.Labels), p.Frame); err != nil {
		return err
	}
	if err := st.Write(ctx, FileKey(c.Round, id), file.Bytes()); err != nil {
		return err
	}
	note := Note{Case: id, Confidence: r.Confidence, Voxels: r.Voxels}
	for _, m := range c.Models {
		note.Teachers = append(note.Teachers, m.Digest)
	}
	return writeJSON(ctx, st, noteKey(c.Round, id), note)
}
