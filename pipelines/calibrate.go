package pipelines

import (
	"context"
	"fmt"
	"slices"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"

	"noisystudent/transforms/cases"
	"noisystudent/transforms/fit"
	"noisystudent/transforms/predict"
)

// Calibrated says how true the probabilities of a role's models are, over the cases that
// their folds validate: voxels that are foreground to model or reference.
type Calibrated struct {
	Role        string  `json:"role"`
	Voxels      int64   `json:"voxels"`
	Temperature float64 `json:"temperature"` // of least negative log-likelihood over all folds
	Before      float64 `json:"ece"`         // expected calibration error, 0 to 1
	// After is the error of each fold at the temperature that all other folds fit; with one
	// fold that has cases, at its own.
	After float64 `json:"ece_calibrated"`
}

// String says what to do about it.
func (c Calibrated) String() string {
	text := fmt.Sprintf("probabilities of %s: expected calibration error %.2f %% over %d voxels of foreground, %.2f %% at a temperature fitted on the other folds; over all folds it is %.2f",
		c.Role, 100*c.Before, c.Voxels, 100*c.After, c.Temperature)
	if c.After < c.Before {
		return text + fmt.Sprintf(" (--set inference.temperature=%.4g --replan; it is not set by this)", c.Temperature)
	}
	return text + ", which makes them no truer"
}

// calibrate measures the models of a role on the cases that they validate.
func (r *run) calibrate(ctx context.Context, role fit.Role) (*Calibrated, error) {
	if err := r.needPrepared(ctx, cases.Labelled); err != nil {
		return nil, err
	}
	var folds []predict.Calibration
	for fold, list := range r.validated() {
		one, err := r.calibrateFold(ctx, role, fold, list)
		if err != nil {
			return nil, err
		}
		if one.Voxels() > 0 {
			folds = append(folds, one)
		}
	}
	if len(folds) == 0 {
		return nil, fmt.Errorf("pipelines: calibrate: no case could be measured; see the rejected cases in %s", r.store.Address("ledger"))
	}
	return calibratedOf(role, folds), nil
}

// calibratedOf fits temperatures, each fold's on the others.
func calibratedOf(role fit.Role, folds []predict.Calibration) *Calibrated {
	temperatures := predict.Temperatures()
	all := predict.NewCalibration()
	for _, one := range folds {
		all = all.Plus(one)
	}
	c := &Calibrated{Role: string(role), Voxels: all.Voxels(), Temperature: temperatures[all.Best()], Before: all.ECE(slices.Index(temperatures, 1))}
	after := predict.NewCalibration() // of every fold at its own temperature, kept at index 0
	for i, one := range folds {
		others := predict.NewCalibration()
		for k, other := range folds {
			if k != i || len(folds) == 1 {
				others = others.Plus(other)
			}
		}
		moved := predict.NewCalibration()
		moved.Bins[0] = one.Bins[others.Best()]
		after = after.Plus(moved)
	}
	c.After = after.ECE(0)
	return c
}

func calibrationGraph(c predict.Config, prepared []predict.Prepared) *beam.Pipeline {
	p, s := beam.NewPipelineWithRoot()
	done, rejected := predict.Calibrations(s, c, beam.CreateList(s, encoded(prepared)))
	read(s, done, rejected)
	return p
}

// calibrateFold measures the model of a fold.
func (r *run) calibrateFold(ctx context.Context, role fit.Role, fold int, list []cases.Case) (sum predict.Calibration, err error) {
	sum = predict.NewCalibration()
	usable, prepared := r.preparedOf(list)
	if len(usable) == 0 {
		return sum, nil
	}
	m, err := r.modelOf(ctx, role, fold)
	if err != nil {
		return sum, err
	}
	c, err := r.config(ctx, []model{m}, len(usable))
	if err != nil {
		return sum, err
	}
	c = c.Calibrating()
	o, err := r.over(ctx, caseWork{
		name: "calibrate", detail: fmt.Sprintf("%s fold %d", role, fold), ledger: c.CalibrationStage(), model: c.Digest(), network: true, list: usable,
		graph: func(context.Context, map[string]bool) *beam.Pipeline { return calibrationGraph(c, prepared) },
	})
	if err != nil {
		return sum, err
	}
	for _, x := range o.good {
		var one predict.Calibration
		if found, err := r.readJSON(ctx, c.CalibrationKey(x.ID), &one); err != nil || !found || len(one.NLL) != len(sum.NLL) || len(one.Bins) != len(sum.Bins) {
			return sum, fmt.Errorf("pipelines: calibrate: %s does not hold a calibration (%v); remove it and run the command again", r.store.Address(c.CalibrationKey(x.ID)), err)
		}
		sum = sum.Plus(one)
	}
	return sum, nil
}
