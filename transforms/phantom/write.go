package phantom

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"

	"noisystudent/io/nifti"
	"noisystudent/io/store"
	"noisystudent/transforms/cases"
)

// Written is a case in its folder.
type Written struct {
	Case    string
	Set     string
	Corrupt bool // cut short on purpose
}

// The sets of a cohort.
const (
	labelledSet   = string(cases.Labelled)
	unlabelledSet = string(cases.Unlabelled)
	validationSet = "validation" // not of nnU-Net's layout: no pipeline finds it by itself
	testSet       = string(cases.Test)
)

// Folders of a cohort beside nnU-Net's.
const (
	ValidationImages = "imagesVal"
	ValidationLabels = "labelsVal"
	TruthFolder      = "truth" // labels of unlabelled cases
)

// folders of the sets, for images and labels.
var folders = map[string][2]string{
	labelledSet:   {"imagesTr", "labelsTr"},
	unlabelledSet: {"imagesUn", TruthFolder},
	validationSet: {ValidationImages, ValidationLabels},
	testSet:       {"imagesTs", "labelsTs"},
}

func (o Options) write(ctx context.Context, t Task, c *scan) (Written, error) {
	st, err := store.Open(ctx, o.Out)
	if err != nil {
		return Written{}, fmt.Errorf("phantom: %w", err)
	}
	frame, err := nifti.NewFrameOriented(c.image.Geometry, c.axes)
	if err != nil {
		return Written{}, fmt.Errorf("phantom: %s: %w", t.ID(), err)
	}
	w := Written{Case: t.ID(), Set: t.Set}
	w.Corrupt = t.Set == unlabelledSet && t.Index >= o.Unlabelled-o.Corrupt
	folder := folders[t.Set]
	var image, labels bytes.Buffer
	if err := nifti.WriteVolume(&image, c.image, frame, nifti.Int16); err != nil {
		return Written{}, fmt.Errorf("phantom: %s: %w", t.ID(), err)
	}
	if w.Corrupt {
		image.Truncate(image.Len() * 3 / 5)
	}
	if err := st.Write(ctx, folder[0]+"/"+t.ID()+"_0000.nii.gz", image.Bytes()); err != nil {
		return Written{}, fmt.Errorf("phantom: %w", err)
	}
	if t.Set == unlabelledSet && !o.Truth {
		return w, nil
	}
	if err := nifti.WriteLabels(&labels, c.labels, frame); err != nil {
		return Written{}, fmt.Errorf("phantom: %s: %w", t.ID(), err)
	}
	if err := st.Write(ctx, folder[1]+"/"+t.ID()+".nii.gz", labels.Bytes()); err != nil {
		return Written{}, fmt.Errorf("phantom: %w", err)
	}
	return w, nil
}

// version of the generator: raised when the same options give other files.
const version = 1

// dataset is nnU-Net v2's dataset.json, with a note on where the cohort comes from.
type dataset struct {
	Name         string            `json:"name"`
	Description  string            `json:"description"`
	ChannelNames map[string]string `json:"channel_names"`
	Labels       map[string]int    `json:"labels"`
	NumTraining  int               `json:"numTraining"`
	FileEnding   string            `json:"file_ending"`
	Generator    string            `json:"generator"`
}

// WriteDataset writes the cohort's dataset.json.
func WriteDataset(ctx context.Context, o Options) error {
	if err := o.Check(); err != nil {
		return err
	}
	st, err := store.Open(ctx, o.Out)
	if err != nil {
		return fmt.Errorf("phantom: %w", err)
	}
	d := dataset{
		Name: "Phantoms", Description: "Synthetic abdominal CT: geometric phantoms, no patient data.",
		ChannelNames: map[string]string{"0": "CT"}, Labels: map[string]int{}, NumTraining: o.Labelled, FileEnding: ".nii.gz",
		Generator: fmt.Sprintf("noisystudent phantom, version %d, seed %d", version, o.Seed),
	}
	if o.Preset != "" {
		d.Generator += ", preset " + o.Preset
	}
	if o.CT != "" {
		d.Name, d.Description = "Deformed", "Synthetic abdominal CT: random deformations of one real labelled scan."
	}
	for id, name := range Names {
		d.Labels[name] = id
	}
	data, err := json.MarshalIndent(d, "", "  ")
	if err != nil {
		return fmt.Errorf("phantom: dataset.json: %w", err)
	}
	if err := st.Write(ctx, "dataset.json", append(data, '\n')); err != nil {
		return fmt.Errorf("phantom: %w", err)
	}
	return nil
}
