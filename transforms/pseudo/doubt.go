package pseudo

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"

	"noisystudent/io/nifti"
	"noisystudent/io/store"
	"noisystudent/io/volume"
	"noisystudent/transforms/cases"
	"noisystudent/transforms/manifest"
	"noisystudent/transforms/predict"
	"noisystudent/transforms/resample"
)

// Doubts is where the teachers doubt a case's pseudo-labels: pseudo/<round>/<case>.doubts.json,
// by class, see predict.Doubt. The probability of each voxel lies beside it (CertainPrefix), and the class
// that is the most probable after the label (SecondPrefix).
type Doubts struct {
	Case      string    `json:"case"`
	Agreement []float64 `json:"agreement"`
	Entropy   []float64 `json:"entropy"`
	// Centers are the mean positions (z, y, x) of the classes, in voxels.
	Centers [][3]float64 `json:"centers"`
	// Changes is one minus the DSC of a class with the round before; none in the first.
	Changes []float64 `json:"changes,omitempty"`
}

// Of is the doubt about a class, 0 to 1: the mean of disagreement and entropy.
func (d Doubts) Of(class int) float64 { return (1 - d.Agreement[class] + d.Entropy[class]) / 2 }

// DoubtStage is the ledger's name of the doubts of a round.
func DoubtStage(round int) string { return fmt.Sprintf("doubts-%d", round) }

// CertainPrefix is where the probabilities of a case's pseudo-labels are stored.
func CertainPrefix(round int, id string) string {
	return fmt.Sprintf("pseudo/%d/%s.certain.zarr", round, id)
}

// SecondPrefix is where the second most probable class of each voxel is stored.
func SecondPrefix(round int, id string) string {
	return fmt.Sprintf("pseudo/%d/%s.second.zarr", round, id)
}

// doubtVersion is raised when the bytes of doubts change: 2 has second classes, 3 has
// positions and what has changed since the round before.
const doubtVersion = 3

func doubtsKey(round int, id string) string {
	return fmt.Sprintf("pseudo/%d/%s.doubts.json", round, id)
}

// Doubt is the ledger's row of a case's doubts. Where r is nil the case is labelled once
// more to find them: its labels were made by a plan that did not ask.
func (c Config) doubt(ctx context.Context, st *store.Store, in Prepared, r *predict.Result) error {
	wanted := manifest.Row{Stage: DoubtStage(c.Round), Case: in.Case, Version: doubtVersion, Input: in.Digest, Plan: resample.Digest(c.Plan), Model: c.Digest()}
	_, err := manifest.Once(ctx, st, wanted, func(row *manifest.Row) error {
		row.Output = doubtsKey(c.Round, in.Case)
		if r == nil {
			return c.work(ctx, st, in, func(_ resample.Properties, found *predict.Result) error {
				return c.storeDoubt(ctx, st, in, found)
			})
		}
		return c.storeDoubt(ctx, st, in, r)
	})
	return err
}

func (c Config) storeDoubt(ctx context.Context, st *store.Store, in Prepared, r *predict.Result) error {
	key := doubtsKey(c.Round, in.Case)
	err := st.Remove(ctx, key)
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		err = resample.WriteCertain(ctx, st, CertainPrefix(c.Round, in.Case), r.Shape, r.Doubt.Certain)
	}
	if err == nil {
		err = resample.WriteCertain(ctx, st, SecondPrefix(c.Round, in.Case), r.Shape, r.Doubt.Second)
	}
	if err == nil {
		d := Doubts{Case: in.Case, Agreement: r.Doubt.Agreement, Entropy: r.Doubt.Entropy, Centers: centers(r.Labels, r.Shape, r.Voxels)}
		if d.Changes, err = c.changed(ctx, st, in, r); err == nil {
			err = writeJSON(ctx, st, key, d)
		}
	}
	if err != nil {
		return fault(ctx, err, cases.NotWritten, st.Address(key), "make room or check the store, then run the command again")
	}
	return nil
}

// changed compares the labels with those of the round before; nil in the first.
func (c Config) changed(ctx context.Context, st *store.Store, in Prepared, r *predict.Result) ([]float64, error) {
	if c.Round == 1 {
		return nil, nil
	}
	stored, err := resample.OpenCase(ctx, st, in.Prefix)
	if err == nil {
		stored, err = stored.WithLabels(ctx, st, Prefix(c.Round-1, in.Case))
	}
	if err != nil {
		return nil, err
	}
	before := make([]uint8, len(r.Labels))
	if err := stored.ReadLabels(ctx, [3]int{}, r.Shape, before); err != nil {
		return nil, err
	}
	return changes(r.Labels, before, len(r.Voxels)), nil
}

// ReadMap reads one minus the probability of each voxel's pseudo-label, 255 for 1, on the RAS grid of the
// scan of a prepared case; what was cropped away is beyond doubt. What cannot be read is a *cases.Fault.
func ReadMap(ctx context.Context, st *store.Store, round int, in Prepared) (*volume.Labels, error) {
	l, err := readMap(ctx, st, round, in)
	if err != nil {
		return nil, fault(ctx, err, cases.Unreadable, st.Address(CertainPrefix(round, in.Case)), "run `noisystudent pseudolabel` again")
	}
	return l, nil
}

func readMap(ctx context.Context, st *store.Store, round int, in Prepared) (*volume.Labels, error) {
	stored, err := resample.OpenCase(ctx, st, in.Prefix)
	if err != nil {
		return nil, err
	}
	certain, err := stored.Certain(ctx, st, CertainPrefix(round, in.Case))
	if err != nil {
		return nil, err
	}
	p := stored.Properties()
	doubt := make([]uint8, p.Shape[0]*p.Shape[1]*p.Shape[2])
	if err := certain.Read(ctx, [3]int{}, p.Shape, doubt); err != nil {
		return nil, err
	}
	for i := range doubt {
		doubt[i] = 255 - doubt[i]
	}
	var file bytes.Buffer // whose reader turns any orientation
	if err := nifti.WriteLabels(&file, p.Restore(doubt), p.Frame); err != nil {
		return nil, err
	}
	l, _, err := nifti.ReadLabels(&file, nifti.Options{Orientation: nifti.RAS})
	return l, err
}

// ReadDoubts returns the doubts about a case; fs.ErrNotExist where nobody asked for them.
func ReadDoubts(ctx context.Context, st *store.Store, round int, id string) (d Doubts, err error) {
	data, err := st.Read(ctx, doubtsKey(round, id))
	if err == nil {
		err = json.Unmarshal(data, &d)
	}
	if n := len(d.Agreement); err == nil && (n == 0 || n != len(d.Entropy) || n != len(d.Centers) || d.Changes != nil && n != len(d.Changes)) {
		err = fmt.Errorf("%d, %d, %d and %d classes", n, len(d.Entropy), len(d.Centers), len(d.Changes))
	}
	if err != nil {
		return d, fmt.Errorf("pseudo: read the doubts about %s: %w; run `noisystudent pseudolabel` again", id, err)
	}
	return d, nil
}
