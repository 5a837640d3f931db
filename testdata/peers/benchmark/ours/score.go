package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"noisystudent/io/nifti"
	"noisystudent/io/volume"
	"noisystudent/transforms/cases"
	"noisystudent/transforms/score"
)

// scored compares a prediction with its reference: labels in memory over the whole
// volume, or files by FLARE 2022's rules.
func scored(t task) (work, error) {
	ctx, pair := context.Background(), score.Pair{Case: "case", Reference: t.Labels, Prediction: t.Prediction}
	var row score.Row
	var run func() error
	switch t.Way {
	case "files":
		run = func() (err error) {
			row, err = score.Files(ctx, score.Config{Options: score.Options{Labels: organs()}}, pair)
			return err
		}
	case "arrays":
		var both [2]*volume.Labels
		for i, file := range []string{t.Labels, t.Prediction} {
			var err error
			scheme := cases.Scheme{Classes: classes, Ignore: -1}
			if both[i], _, err = cases.ReadLabels(ctx, cases.Case{Labels: file}, scheme, nifti.Stored, 0); err != nil {
				return work{}, err
			}
		}
		run = func() (err error) {
			row, err = score.Case(both[0], both[1], score.Options{Labels: organs(), Rules: score.NNUNet})
			return err
		}
	default:
		return work{}, fmt.Errorf("score %q: have arrays and files", t.Way)
	}
	save := func() error {
		scores := map[int][2]float64{}
		for _, o := range row.Organs {
			scores[o.Label] = [2]float64{o.DSC, o.NSD}
		}
		data, err := json.Marshal(scores)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(t.Folder, "ours.scores"), data, 0o644)
	}
	return work{run, save}, nil
}
