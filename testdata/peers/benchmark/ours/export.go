package main

import (
	"context"
	"fmt"
	"os"

	"noisystudent/io/safetensors"
	"noisystudent/io/volume"
	"noisystudent/transforms/predict"
	"noisystudent/transforms/resample"
)

// exported turns a network's output, plane by plane as blending finishes them, into
// labels on the scan's grid.
func exported(t task) (work, error) {
	planes, err := t.planes()
	if err != nil {
		return work{}, err
	}
	p, err := t.plan()
	if err != nil {
		return work{}, err
	}
	source := volume.Geometry{Shape: t.Scan, Spacing: p.Spacing}
	for a := range 3 {
		source.Spacing[a] *= float64(t.Grid[a]) / float64(t.Scan[a])
	}
	e := exporting{planes, resample.Properties{Source: source, Crop: volume.Whole(t.Scan), Shape: t.Grid, Spacing: p.Spacing}}
	export, ok := map[string]func() (*volume.Labels, error){"labels": e.labels, "probabilities": e.probabilities}[t.Way]
	if !ok {
		return work{}, fmt.Errorf("export %q: have labels and probabilities", t.Way)
	}
	var labels *volume.Labels
	run := func() (err error) {
		labels, err = export()
		return err
	}
	return work{run, func() error { return t.leave("labels", labels.Data) }}, nil
}

type exporting struct {
	planes [][]float32
	at     resample.Properties
}

// labels is the paper's order.
func (e exporting) labels() (*volume.Labels, error) {
	area := e.at.Shape[1] * e.at.Shape[2]
	labels := make([]uint8, len(e.planes)*area)
	for z, scores := range e.planes {
		predict.ArgMax(scores, labels[z*area:][:area])
	}
	return e.at.Restore(labels), nil
}

// probabilities is nnU-Net's order.
func (e exporting) probabilities() (*volume.Labels, error) {
	labels := make([]uint8, e.at.Shape[1]*e.at.Shape[2])
	exporter := e.at.Exporter(classes)
	for z, scores := range e.planes {
		predict.ArgMax(scores, labels)
		if err := exporter.Rows(context.Background(), z, 0, scores, labels); err != nil {
			return nil, err
		}
	}
	return e.at.Paste(exporter.Labels()), nil
}

// planes reads the network's output.
func (t task) planes() ([][]float32, error) {
	data, err := os.ReadFile(t.Logits)
	if err != nil {
		return nil, err
	}
	file, err := safetensors.Decode(data)
	if err != nil {
		return nil, err
	}
	planes := make([][]float32, t.Grid[0])
	for z := range planes {
		plane := file.Tensors[fmt.Sprintf("plane_%03d", z)]
		if len(plane.Data) != classes*t.Grid[1]*t.Grid[2] {
			return nil, fmt.Errorf("%s: plane %d has shape %v", t.Logits, z, plane.Shape)
		}
		planes[z] = plane.Data
	}
	return planes, nil
}
