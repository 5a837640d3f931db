package view

import (
	"context"
	"errors"
	"io"
	"math"
	"slices"

	"noisystudent/io/nifti"
	"noisystudent/io/volume"
	"noisystudent/transforms/cases"
)

// layer is a volume of a case: the scan, or what is drawn over it.
type layer struct {
	has   func(Case) bool
	write func(context.Context, io.Writer, Case) error // as .nii.gz
}

var (
	layerNames = []string{"scan", "labels", "references", "differences"} // in the order of the page
	layers     = map[string]layer{
		"scan":        {func(Case) bool { return true }, writeScan},
		"labels":      {func(c Case) bool { return c.Labels != "" }, writeLabels},
		"references":  {func(c Case) bool { return c.References != "" }, writeReferences},
		"differences": {func(c Case) bool { return c.Labels != "" && c.References != "" }, writeDifferences},
	}
)

// anyLabels takes what a label file may hold: looking at it needs no dataset.
var anyLabels = cases.Scheme{Classes: 256, Ignore: -1}

func writeScan(ctx context.Context, w io.Writer, c Case) error {
	v, _, err := cases.ReadImage(ctx, cases.Case{ID: c.ID, Image: c.Scan}, nifti.RAS, 0)
	if err != nil {
		return err
	}
	kind := nifti.Int16
	if slices.ContainsFunc(v.Data, func(x float32) bool {
		return x < math.MinInt16 || x > math.MaxInt16 || x != float32(math.Trunc(float64(x)))
	}) {
		kind = nifti.Float32
	}
	return nifti.WriteVolume(w, v, nifti.NewFrame(v.Geometry), kind)
}

func writeLabels(ctx context.Context, w io.Writer, c Case) error {
	l, err := readLabels(ctx, c.ID, c.Labels)
	if err != nil {
		return err
	}
	return nifti.WriteLabels(w, l, nifti.NewFrame(l.Geometry))
}

func writeReferences(ctx context.Context, w io.Writer, c Case) error {
	return writeLabels(ctx, w, Case{ID: c.ID, Labels: c.References})
}

func readLabels(ctx context.Context, id, address string) (*volume.Labels, error) {
	l, _, err := cases.ReadLabels(ctx, cases.Case{ID: id, Labels: address}, anyLabels, nifti.RAS, 0)
	return l, err
}

// writeDifferences writes where labels and references disagree.
func writeDifferences(ctx context.Context, w io.Writer, c Case) error {
	labels, err := readLabels(ctx, c.ID, c.Labels)
	if err != nil {
		return err
	}
	references, err := readLabels(ctx, c.ID, c.References)
	if err != nil {
		return err
	}
	if !labels.SameGrid(references.Geometry, 0.1*slices.Min(labels.Spacing[:])) {
		return &cases.Fault{Kind: cases.GridMismatch, File: c.Labels, Remedy: "label the scan that the references were drawn on", Err: errors.New("labels and references differ in grid")}
	}
	differ(labels.Data, references.Data)
	return nifti.WriteLabels(w, labels, nifti.NewFrame(labels.Geometry))
}

// differ leaves of labels what the references do not say: the class, or, where labels miss one, the
// references' class.
func differ(labels, references []uint8) {
	for i, r := range references {
		switch labels[i] {
		case r:
			labels[i] = 0
		case 0:
			labels[i] = r
		}
	}
}
