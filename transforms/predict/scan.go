package predict

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"path"
	"strings"

	"noisystudent/io/nifti"
	"noisystudent/io/store"
	"noisystudent/io/volume"
	"noisystudent/transforms/cases"
	"noisystudent/transforms/manifest"
	"noisystudent/transforms/plan"
	"noisystudent/transforms/resample"
)

// Version of the transform: raised when its bytes change.
const Version = 1

// Config is everything that labels depend on beside the scan, and where they go.
type Config struct {
	Store  string     `json:"store"` // ledger and predictions
	Plan   plan.Plan  `json:"plan"`
	Models []ModelRef `json:"models"` // more than one: the mean of their softmax
	// Output, where it is not empty, is a folder or gs:// prefix that gets a copy.
	Output  string  `json:"output"`
	Options Options `json:"options"`
}

// Digest names the models and how they are applied.
func (c Config) Digest() string {
	digests := make([]string, len(c.Models))
	for i, m := range c.Models {
		digests[i] = m.Digest
	}
	return manifest.Digest("predict", Version, c.Plan.Digest(), digests)
}

// Stage is the ledger's name of the work: one stage a model.
func (c Config) Stage() string { return "predict-" + c.Digest()[:12] }

// Key is where the labels of a case are stored: predictions/<model digest>/<case>.nii.gz.
func (c Config) Key(id string) string {
	return path.Join("predictions", c.Digest()[:12], id+".nii.gz")
}

// settings are the plan's, for package predict.
func (c Config) settings() (Settings, error) {
	i := c.Plan.Inference
	s := Settings{Classes: c.Plan.Classes(), Patch: c.Plan.PatchSize, Step: i.StepSize, Softmax: i.Blend == "softmax"}
	if i.Mirror == "" || i.Mirror == "none" {
		return s, nil
	}
	for _, axis := range strings.Split(i.Mirror, ",") {
		a := strings.Index("zyx", strings.TrimSpace(axis))
		if a < 0 || len(strings.TrimSpace(axis)) != 1 {
			return s, fmt.Errorf("predict: mirror %q; use none, or axes such as x,y,z", i.Mirror)
		}
		s.Mirror[a] = true
	}
	return s, nil
}

// Scan labels one scan and stores the labels on the scan's own grid. Where the
// ledger says that it was done with the same inputs, nothing is computed.
func Scan(ctx context.Context, st *store.Store, c Config, scan cases.Case) (manifest.Row, error) {
	wanted := manifest.Row{Stage: c.Stage(), Case: scan.ID, Version: Version, Plan: c.Plan.Digest(), Model: c.Digest()}
	input, err := manifest.InputDigest(ctx, st, cases.Case{ID: scan.ID, Set: scan.Set, Image: scan.Image})
	var fault *cases.Fault
	if errors.As(err, &fault) {
		return manifest.Reject(ctx, st, wanted, fault)
	}
	if err != nil {
		return manifest.Row{}, err
	}
	wanted.Input = input
	row, err := manifest.Once(ctx, st, wanted, func(row *manifest.Row) error {
		labels, frame, err := segmentScan(ctx, st, c, scan)
		if err != nil {
			return err
		}
		row.Output = c.Key(scan.ID)
		return write(ctx, st, row.Output, labels, frame)
	})
	if err != nil || row.Outcome != manifest.Done || c.Output == "" {
		return row, err
	}
	return row, copyOut(ctx, st, row.Output, c.Output, scan.ID+".nii.gz")
}

// segmentScan reads, prepares, segments and exports one scan.
func segmentScan(ctx context.Context, st *store.Store, c Config, scan cases.Case) (*volume.Labels, nifti.Frame, error) {
	// Labels of a test case are for evaluate only.
	scan = cases.Case{ID: scan.ID, Set: cases.Unlabelled, Image: scan.Image}
	g, err := cases.ReadGeometry(ctx, scan, c.Plan.Orientation)
	if err != nil {
		return nil, nifti.Frame{}, err
	}
	release, err := c.Admit(ctx, scan.Image, g)
	if err != nil {
		return nil, nifti.Frame{}, err
	}
	defer release()
	p, err := resample.Load(ctx, scan, c.Plan, 0)
	if err != nil {
		return nil, nifti.Frame{}, err
	}
	labels, err := c.onGrid(ctx, st, p)
	return labels, p.Frame, err
}

// Admit waits until the memory that a scan's segmentation is predicted to take is
// free in this process. A scan that never fits is a *cases.Fault.
func (c Config) Admit(ctx context.Context, file string, g volume.Geometry) (release func(), err error) {
	plane := float64(c.Plan.Classes()) * 4
	for a := 1; a < 3; a++ {
		plane *= math.Max(float64(g.Shape[a])*g.Spacing[a]/c.Plan.Spacing[a], float64(c.Plan.PatchSize[a]))
	}
	rings := plane * float64((len(c.Models)+1)*c.Plan.PatchSize[0])
	need := resample.PredictBytes(g, c.Plan) + int64(math.Min(rings, math.MaxInt64/4))
	release, err = resample.Admit(ctx, need, c.Options.Memory)
	if errors.Is(err, resample.ErrBudget) {
		return nil, &cases.Fault{Kind: cases.TooLarge, File: file, Remedy: "allow more memory with --memory, or crop or split the scan", Err: err}
	}
	return release, err
}

func (c Config) onGrid(ctx context.Context, st *store.Store, p *resample.Prepared) (*volume.Labels, error) {
	if c.Plan.Inference.Export == "probabilities" {
		exporter := p.Exporter(c.Plan.Classes())
		err := c.segment(ctx, st, p.Image, p.Shape, func(_ int, scores []float32, labels []uint8) error {
			return exporter.Plane(ctx, scores, labels)
		})
		if err != nil {
			return nil, err
		}
		return p.Paste(exporter.Labels()), nil
	}
	r, err := c.Labels(ctx, st, p.Image, p.Shape)
	if err != nil {
		return nil, err
	}
	return p.Restore(r.Labels), nil
}

// Labels segments a prepared image (z, y, x) at network resolution, with a
// network that the process shares.
func (c Config) Labels(ctx context.Context, st *store.Store, image []float32, shape [3]int) (*Result, error) {
	var r *Result
	err := c.withNetwork(ctx, st, func(n Network, models []Model, s Settings) (err error) {
		r, err = Labels(ctx, image, shape, n, models, s)
		return err
	})
	return r, err
}

func (c Config) segment(ctx context.Context, st *store.Store, image []float32, shape [3]int, out Plane) error {
	return c.withNetwork(ctx, st, func(n Network, models []Model, s Settings) error {
		return Segment(ctx, image, shape, n, models, s, out)
	})
}

func (c Config) withNetwork(ctx context.Context, st *store.Store, work func(Network, []Model, Settings) error) error {
	s, err := c.settings()
	if err != nil {
		return err
	}
	models, err := process.weights(ctx, st, c.Models)
	if err != nil {
		return err
	}
	n, err := process.lease(c.Plan.Network, c.Plan.PatchSize, c.Options, models[0])
	if err != nil {
		return err
	}
	defer process.put(n)
	return work(n, models, s)
}

func write(ctx context.Context, st *store.Store, key string, labels *volume.Labels, frame nifti.Frame) error {
	var file bytes.Buffer
	if err := nifti.WriteLabels(&file, labels, frame); err != nil {
		return fmt.Errorf("predict: write %s: %w", key, err)
	}
	return put(ctx, st, key, file.Bytes())
}

// put writes one file; what stops it is a fault of this case.
func put(ctx context.Context, st *store.Store, key string, data []byte) error {
	err := st.Write(ctx, key, data)
	if err == nil || ctx.Err() != nil {
		return err
	}
	return &cases.Fault{Kind: cases.NotWritten, File: st.Address(key), Remedy: "make room or give this user the right to write, then run the command again", Err: err}
}

// copyOut copies a prediction to the folder that a person named.
func copyOut(ctx context.Context, st *store.Store, key, folder, name string) error {
	data, err := st.Read(ctx, key)
	if err != nil {
		return fmt.Errorf("predict: copy to %s: %w", folder, err)
	}
	to, err := store.Open(ctx, folder)
	if err != nil {
		return fmt.Errorf("predict: copy to %s: %w", folder, err)
	}
	if info, err := to.Stat(ctx, name); err == nil && info.Size == int64(len(data)) {
		if had, err := to.Read(ctx, name); err == nil && bytes.Equal(had, data) {
			return nil
		}
	}
	return to.Write(ctx, name, data)
}
