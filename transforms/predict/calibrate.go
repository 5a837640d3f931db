package predict

import (
	"context"
	"errors"
	"fmt"
	"math"
	"path"

	"noisystudent/io/store"
	"noisystudent/transforms/cases"
	"noisystudent/transforms/manifest"
	"noisystudent/transforms/memory"
	"noisystudent/transforms/resample"
)

// Prepared is one case as preprocessing has stored it.
type Prepared struct {
	Case   string
	Prefix string // in the store
	Digest string // of what it was prepared from
}

// Temperatures are tried by Calibrate: logits are divided by them. Each is 9 % above the one
// before.
func Temperatures() []float64 {
	list := make([]float64, 33)
	for i := range list {
		list[i] = math.Exp2(float64(i-12) / 8) // 0.35 to 5.7; 1 is exact
	}
	return list
}

// calibrationBins of equal width, as most reports of an ECE have.
const calibrationBins = 15

// Bin counts voxels whose label's probability lies in its part of 0 to 1.
type Bin struct {
	Voxels  int64   `json:"voxels"`
	Correct int64   `json:"correct"`
	Sum     float64 `json:"sum"` // of probabilities
}

// Calibration says how well a model's probabilities fit, at each of Temperatures, over the
// voxels that are foreground to the model or the reference: all others are background
// beyond doubt, and would hide the rest.
type Calibration struct {
	NLL  []float64              `json:"nll"` // sum of -ln of the reference's probability
	Bins [][calibrationBins]Bin `json:"bins"`
}

// NewCalibration is that of no voxel.
func NewCalibration() Calibration {
	n := len(Temperatures())
	return Calibration{NLL: make([]float64, n), Bins: make([][calibrationBins]Bin, n)}
}

// Plus adds other voxels.
func (c Calibration) Plus(o Calibration) Calibration {
	sum := NewCalibration()
	for k := range sum.NLL {
		sum.NLL[k] = c.NLL[k] + o.NLL[k]
		for i, a := range c.Bins[k] {
			b := o.Bins[k][i]
			sum.Bins[k][i] = Bin{a.Voxels + b.Voxels, a.Correct + b.Correct, a.Sum + b.Sum}
		}
	}
	return sum
}

// Voxels that were counted.
func (c Calibration) Voxels() (n int64) {
	for _, b := range c.Bins[0] {
		n += b.Voxels
	}
	return n
}

// Best is the index of the temperature of least NLL.
func (c Calibration) Best() (best int) {
	for k, v := range c.NLL {
		if v < c.NLL[best] {
			best = k
		}
	}
	return best
}

// ECE is the expected calibration error at temperature k, 0 to 1: the mean distance of
// probability and part of correct labels, over bins by their voxels (Guo et al. 2017).
func (c Calibration) ECE(k int) float64 {
	var sum float64
	for _, b := range c.Bins[k] {
		sum += math.Abs(float64(b.Correct) - b.Sum)
	}
	return sum / max(float64(c.Voxels()), 1)
}

// add takes rows of logits (C, n, W) with their labels and reference; ignore is a label
// of the reference that does not count.
func (c Calibration) add(logits []float32, labels, reference []uint8, ignore int) {
	area, temperatures := len(labels), Temperatures()
	parallel(len(c.NLL), func(_, k int) {
		t := temperatures[k]
		for i, label := range labels {
			want := reference[i]
			if int(want) == ignore || label == 0 && want == 0 {
				continue
			}
			most, sum := float64(logits[int(label)*area+i]), 0.0
			for at := i; at < len(logits); at += area {
				sum += math.Exp((float64(logits[at]) - most) / t)
			}
			c.NLL[k] += math.Log(sum) - (float64(logits[int(want)*area+i])-most)/t
			b := &c.Bins[k][min(int(calibrationBins/sum), calibrationBins-1)]
			b.Voxels++
			b.Sum += 1 / sum
			if label == want {
				b.Correct++
			}
		}
	})
}

// CalibrationStage is the ledger's name of the work, one stage a model.
func (c Config) CalibrationStage() string { return "calibration-" + c.Digest()[:12] }

// CalibrationKey is where that of a case is stored.
func (c Config) CalibrationKey(id string) string {
	return path.Join("calibration", c.Digest()[:12], id+".json")
}

// Calibrating is the configuration without a temperature and flips.
func (c Config) Calibrating() Config {
	c.Plan.Inference.Temperature, c.Plan.Inference.Mirror, c.digest = 0, "none", ""
	return c
}

// Calibrate measures one model, of a configuration that Calibrating gave, on a prepared case
// with labels, unless the ledger says that it is done.
func Calibrate(ctx context.Context, st *store.Store, c Config, in Prepared) (manifest.Row, error) {
	wanted := manifest.Row{Stage: c.CalibrationStage(), Case: in.Case, Version: Version, Input: in.Digest, Plan: resample.Digest(c.Plan), Model: c.Digest()}
	_, row, err := manifest.Value(ctx, st, c.CalibrationKey(in.Case), func(work func(*manifest.Row) error) (manifest.Row, error) {
		return manifest.Once(ctx, st, wanted, work)
	}, func() (Calibration, error) { return c.calibrate(ctx, st, in) })
	if err != nil && ctx.Err() == nil {
		err = fmt.Errorf("predict: calibrate on %s: %w", in.Case, err)
	}
	return row, err
}

func (c Config) calibrate(ctx context.Context, st *store.Store, in Prepared) (Calibration, error) {
	out := NewCalibration()
	if len(c.Models) != 1 || c.Plan.Inference.Blend != "logits" {
		return out, errors.New("it takes one model whose logits are blended")
	}
	stored, err := resample.OpenCase(ctx, st, in.Prefix)
	if err != nil {
		return out, unreadable(ctx, st, in, err)
	}
	shape := stored.Shape()
	release, err := memory.Admit(ctx, st.Address(in.Prefix), 5*int64(voxels(shape))+c.SegmentBytes(stored.Properties().Source), c.Options.Memory)
	if err != nil {
		return out, err
	}
	defer release()
	image, reference := make([]float32, voxels(shape)), make([]uint8, voxels(shape))
	if err = stored.ReadImage(ctx, [3]int{}, shape, image); err == nil {
		err = stored.ReadLabels(ctx, [3]int{}, shape, reference)
	}
	if err != nil {
		return out, unreadable(ctx, st, in, err)
	}
	ignore, area := -1, shape[1]*shape[2]
	if c.Plan.Ignore > 0 {
		ignore = c.Plan.Ignore
	}
	_, err = c.inRegion(ctx, st, image, shape, func(n Network, models []Model, s Settings) error {
		s.Scores = true
		return Segment(ctx, image, shape, n, models, s, func(z, y int, f Finished) error {
			out.add(f.Scores, f.Labels, reference[z*area+y*shape[2]:][:len(f.Labels)], ignore)
			return nil
		})
	})
	return out, err
}

// unreadable makes an error the case's, unless the run was stopped or a whole bucket is gone.
func unreadable(ctx context.Context, st *store.Store, in Prepared, err error) error {
	if ctx.Err() != nil || store.Systemic(err) {
		return err
	}
	return &cases.Fault{Kind: cases.Unreadable, File: st.Address(in.Prefix), Remedy: "remove it and run `noisystudent preprocess` again", Err: err}
}
