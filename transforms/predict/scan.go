// Package predict labels scans with a network: sliding window, blend, ensemble,
// export onto the scan's own grid.
//
// The one idea: nothing of the size of the case times the number of classes is
// ever held. Tiles run along z; as soon as no later tile can touch a plane, its
// logits are divided by their weights, turned into scores and labels, and handed
// to the export. A ring of planes as deep as a tile is all there is.
//
// What a model of one fold says follows nnU-Net v2's predictor (Gaussian-blended
// logits); an ensemble is the mean of the folds' softmax, as the paper has it. A
// plan's inference.export "labels" is the paper's order (arg-max at network
// resolution, then nearest), "probabilities" is nnU-Net's (scores resampled, then
// arg-max). The result does not depend on the number of threads.
package predict

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"

	"noisystudent/io/nifti"
	"noisystudent/io/store"
	"noisystudent/io/volume"
	"noisystudent/model/engine"
	"noisystudent/transforms/cases"
	"noisystudent/transforms/manifest"
	"noisystudent/transforms/memory"
	"noisystudent/transforms/metrics"
	"noisystudent/transforms/plan"
	"noisystudent/transforms/resample"
	"noisystudent/transforms/statistics"
)

// Scan labels one scan and stores the labels on the scan's own grid. Where the
// ledger says that it was done with the same inputs, nothing is computed.
func Scan(ctx context.Context, st *store.Store, c Config, scan cases.Case) (manifest.Row, error) {
	// Labels of a test case are for evaluate only.
	scan = cases.Case{ID: scan.ID, Set: cases.Unlabelled, Image: scan.Image}
	c.digest = c.Digest() // once, though stage, row and key ask for it
	wanted := manifest.Row{Stage: c.Stage(), Case: scan.ID, Version: Version, Plan: resample.Digest(c.Plan), Model: c.Digest()}
	row, err := manifest.Settle(ctx, st, scan, wanted, func(row *manifest.Row) error {
		row.Output = c.Key(scan.ID)
		return c.segmentScan(ctx, st, scan)
	})
	if err == nil && row.Outcome == manifest.Done && c.Output != "" {
		err = CopyOut(ctx, st, row.Output, c.Output, scan.ID+".nii.gz")
	}
	if err != nil && ctx.Err() == nil {
		err = fmt.Errorf("predict: %s: %w", scan.ID, err)
	}
	return row, err
}

// Twin gives a case the labels of another of the same scan, which first is the row of.
func Twin(ctx context.Context, st *store.Store, c Config, first manifest.Row, id string) (manifest.Row, error) {
	wanted := manifest.Row{Stage: first.Stage, Case: id, Version: first.Version, Input: first.Input, Plan: first.Plan, Model: first.Model}
	row, err := manifest.Once(ctx, st, wanted, func(row *manifest.Row) error {
		labels, err := st.Read(ctx, first.Output)
		if err != nil {
			return err
		}
		row.Output, row.Same = c.Key(id), cmp.Or(first.Same, first.Case)
		return st.Write(ctx, row.Output, labels)
	})
	if err == nil && row.Outcome == manifest.Done && c.Output != "" {
		err = CopyOut(ctx, st, row.Output, c.Output, id+".nii.gz")
	}
	return row, err
}

// collectVoxels is the size from which on a scan's garbage is worth a collection: of
// a small scan that would take longer than the network does.
const collectVoxels = 1 << 22

// segmentScan reads, prepares, segments and writes one scan in the memory that it is admitted to.
func (c Config) segmentScan(ctx context.Context, st *store.Store, scan cases.Case) error {
	g, frame, err := cases.ReadHeader(ctx, scan, c.Plan.Orientation)
	if err != nil {
		return err
	}
	if err := resample.CheckGrid(g, c.Plan); err != nil {
		return cases.InFile(scan.Image, err)
	}
	release, err := memory.Admit(ctx, scan.Image, c.Footprint(g, frame).Bytes(), c.Options.Memory)
	if err != nil {
		return err
	}
	defer release()
	p, err := resample.LoadScan(ctx, scan, c.Plan)
	if err != nil {
		return err
	}
	if g.Voxels() > collectVoxels {
		runtime.GC() // the scan as it was read is garbage by now, of the size of what comes
	}
	took := Took{Case: scan.ID, Passes: c.Passes(g)}
	labels, err := c.onGrid(ctx, st, p, &took)
	var fault *cases.Fault
	if errors.As(err, &fault) && fault.File == "" {
		fault.File = scan.Image // the image that was prepared has no file
	}
	if err == nil {
		statistics.KeepLargest(labels.Data, labels.Shape, c.Plan.KeptLargest())
		err = took.Record(ctx, st, c.Stage())
	}
	if err != nil {
		return err
	}
	return write(ctx, st, c.Key(scan.ID), labels, p.Frame)
}

// onGrid segments a scan whose planes are prepared when tiles need them, and puts its labels
// on its own grid as planes are finished. It notes what that took, and how sure the models were.
func (c Config) onGrid(ctx context.Context, st *store.Store, p *resample.Scan, took *Took) (*volume.Labels, error) {
	scores := c.Plan.Inference.Export == "probabilities"
	var byScores *resample.Exporter
	var nearest *resample.LabelExporter
	if scores {
		byScores = p.Exporter(c.Plan.Classes())
	} else {
		nearest = p.LabelExporter()
	}
	var image []float32
	var err error
	if c.limited() { // who looks for a region looks at the whole image
		if image, err = p.Image(ctx); err != nil {
			return nil, err
		}
	}
	took.Seconds, err = c.inRegion(ctx, st, image, p.Shape, func(n Network, models []Model, s Settings) error {
		certain := newCertainty(p.Shape, len(models), s)
		defer func() { took.Certainty = certain.means() }()
		s.Scores = scores
		out := func(z, y int, f Finished) error {
			certain.add(z, f)
			if scores {
				return byScores.Rows(ctx, z, y, f.Scores, f.Labels)
			}
			nearest.Rows(z, y, f.Labels)
			return nil
		}
		if image != nil {
			return Segment(ctx, image, p.Shape, n, models, s, out)
		}
		return SegmentPlanes(ctx, p, p.Shape, n, models, s, out)
	})
	switch {
	case err != nil:
		return nil, err
	case scores:
		return p.Paste(byScores.Labels()), nil
	}
	return &volume.Labels{Geometry: p.Source, Data: nearest.Labels()}, nil
}

// Labels segments a prepared image (z, y, x) at network resolution, with a
// network that the process shares.
func (c Config) Labels(ctx context.Context, st *store.Store, image []float32, shape [3]int) (r *Result, err error) {
	seconds, err := c.inRegion(ctx, st, image, shape, func(n Network, models []Model, s Settings) (err error) {
		s.Votes = c.Doubts
		r, err = Labels(ctx, image, shape, n, models, s)
		return err
	})
	if err != nil {
		return nil, err
	}
	r.Seconds = seconds
	return r, nil
}

// withNetwork tells how long the work took, once it had its network.
func (c Config) withNetwork(ctx context.Context, st *store.Store, work func(Network, []Model, Settings) error) (seconds float64, err error) {
	s, err := c.settings()
	if err != nil {
		return 0, err
	}
	models, err := weights.read(ctx, st, c.Models)
	if err != nil {
		return 0, err
	}
	config := engine.PredictConfig{Spec: c.Plan.Network, Patch: c.Plan.PatchSize, Batch: 1}
	if config.Precision, err = plan.ParsePrecision(c.Plan.Inference.Precision); err != nil {
		return 0, err
	}
	err = process.with(ctx, config, c.Options, models[0], func(n *network) error {
		metrics.On(ctx, n.engine.Name())
		start := time.Now()
		defer func() { seconds = time.Since(start).Seconds() }()
		return work(n, models, s)
	})
	return seconds, err
}

// write stores labels; what stops it is a fault of this case.
func write(ctx context.Context, st *store.Store, key string, labels *volume.Labels, frame nifti.Frame) error {
	w, err := st.Create(ctx, key)
	if err == nil {
		defer w.Abort()
		pieces := bufio.NewWriterSize(w, 1<<18)
		if err = nifti.WriteLabels(pieces, labels, frame); err == nil {
			err = pieces.Flush()
		}
	}
	if err == nil {
		err = w.Commit()
	}
	if err == nil || ctx.Err() != nil || store.Systemic(err) {
		return err
	}
	return &cases.Fault{Kind: cases.NotWritten, File: st.Address(key), Remedy: "make room or give this user the right to write, then run the command again", Err: err}
}

// CopyOut copies a prediction to the folder that a person named. It fails the run:
// the folder is one for all cases, and their predictions stay in the store.
func CopyOut(ctx context.Context, st *store.Store, key, folder, name string) error {
	data, err := st.Read(ctx, key)
	if err != nil {
		return err
	}
	to, err := store.Open(ctx, folder)
	if err != nil {
		return err
	}
	if info, err := to.Stat(ctx, name); err == nil && info.Size == int64(len(data)) {
		if had, err := to.Read(ctx, name); err == nil && bytes.Equal(had, data) {
			return nil
		}
	}
	if err := to.Write(ctx, name, data); err != nil {
		return fmt.Errorf("the labels are in %s but not in %s: %w", st.Address(key), folder, err)
	}
	return nil
}
