package resample

import (
	"context"
	"fmt"

	"noisystudent/io/nifti"
	"noisystudent/io/volume"
	"noisystudent/transforms/cases"
	"noisystudent/transforms/plan"
)

// Properties is what remains of a scan beside its voxels: enough to put labels back
// on its grid. It is stored with the case.
type Properties struct {
	Format   int             `json:"format"`
	Source   volume.Geometry `json:"source"`  // the scan in the plan's orientation
	Frame    nifti.Frame     `json:"frame"`   // how its file stores it
	Crop     volume.Box      `json:"crop"`    // of Source: what is not zero
	Shape    [3]int          `json:"shape"`   // of the stored arrays
	Spacing  [3]float64      `json:"spacing"` // the plan's, mm
	Labelled bool            `json:"labelled"`
	// Voxels counts the stored labels by value, the ignore label included; empty
	// without labels.
	Voxels []int64 `json:"voxels,omitempty"`
	// Positions says where the voxel positions of each class are.
	Positions []Positions `json:"positions,omitempty"`
}

// format of Properties and of the arrays beside it.
const format = 1

// Prepared is a case as the network sees it. Axes (z, y, x).
type Prepared struct {
	Properties
	Image      []float32  // z-scores
	Labels     []uint8    // nil without labels
	Foreground [][4]int32 // class, z, y, x: see Positions
}

// Case preprocesses a scan that was read in the plan's orientation: crop to what
// is not zero, clip, z-score, resample to the plan's spacing. labels lie on the
// image's grid, or are nil.
//
// nnU-Net marks the outside of the non-zero region with a label of its own, -1,
// while it resamples labels, and drops it afterwards. Here the outside is
// background: only an organ that touches that outside can differ, at its rim.
//
// An image of zeros is cases.Empty, a grid that would be too large cases.TooLarge,
// each a *cases.Fault without its file; other errors are those of ctx.
func Case(ctx context.Context, image *volume.Volume, labels *volume.Labels, frame nifti.Frame, p plan.Plan) (*Prepared, error) {
	if labels != nil && labels.Shape != image.Shape {
		return nil, &cases.Fault{Kind: cases.GridMismatch, Remedy: "resample the labels onto the image's grid", Err: fmt.Errorf("labels: %v; image: %v", labels.Geometry, image.Geometry)}
	}
	box, ok := cases.NonZero(image)
	if !ok {
		return nil, &cases.Fault{Kind: cases.Empty, Remedy: "every voxel is zero; export the scan again"}
	}
	m, err := mappingOf(box, image.Geometry, p)
	if err != nil {
		return nil, err
	}
	out := &Prepared{Properties: propertiesOf(image.Geometry, frame, box, m, p)}
	out.Labelled = labels != nil
	out.Image, err = resampleView(ctx, viewOf(image.Data, image.Shape, box, normaliser(p.Intensity)), m)
	if err != nil {
		return nil, err
	}
	if labels == nil {
		return out, nil
	}
	inside := labels.Data
	if box.Shape() != image.Shape {
		inside = volume.Crop(labels.Data, image.Shape, box)
	}
	if out.Labels, err = Labels(ctx, inside, m); err != nil {
		return nil, err
	}
	out.Voxels = countClasses(out.Labels, p)
	out.Foreground, out.Positions = drawForeground(out.Labels, m.To, out.Voxels, p)
	return out, nil
}

// mappingOf brings a box of a scan to the plan's spacing.
func mappingOf(box volume.Box, g volume.Geometry, p plan.Plan) (Mapping, error) {
	m, err := NewMapping(box.Shape(), g.Spacing, p.Spacing)
	if err != nil {
		return m, &cases.Fault{Kind: cases.TooLarge, Remedy: "check the spacing in the header against the plan's", Err: err}
	}
	return m, nil
}

func propertiesOf(g volume.Geometry, frame nifti.Frame, box volume.Box, m Mapping, p plan.Plan) Properties {
	return Properties{Format: format, Source: g, Frame: frame, Crop: box, Shape: m.To, Spacing: p.Spacing}
}

// Restore puts labels at network resolution back on the scan's grid by the paper's
// nearest rule (ExportLabels).
func (p Properties) Restore(labels []uint8) *volume.Labels {
	return &volume.Labels{Geometry: p.Source, Data: ExportLabels(labels, p.Shape, p.Crop, p.Source.Shape)}
}

// LabelExporter is Restore of labels that come plane by plane.
func (p Properties) LabelExporter() *LabelExporter {
	return newLabelExporter(p.Shape, p.Crop, p.Source.Shape)
}

// Exporter returns an exporter of scores onto the cropped scan, as nnU-Net's export
// does it: it asks the plan's spacing first whether an axis is resampled apart.
// Paste puts its labels on the scan's grid.
func (p Properties) Exporter(classes int) *Exporter {
	return NewExporter(Mapping{From: p.Shape, To: p.Crop.Shape(), Coarse: CoarseAxis(p.Spacing, p.Source.Spacing)}, classes)
}

// Paste puts labels of the cropped scan on the scan's grid, background around them.
// Where nothing was cropped they are the result's own.
func (p Properties) Paste(cropped []uint8) *volume.Labels {
	if p.Crop == volume.Whole(p.Source.Shape) {
		return &volume.Labels{Geometry: p.Source, Data: cropped}
	}
	data := make([]uint8, p.Source.Voxels())
	volume.Paste(data, p.Source.Shape, p.Crop, cropped)
	return &volume.Labels{Geometry: p.Source, Data: data}
}

// Load reads a case's files and preprocesses it, with its labels if it is of the
// labelled set. budgetBytes bounds the source voxels (0: no bound). What is wrong
// with the case is a *cases.Fault.
func Load(ctx context.Context, c cases.Case, p plan.Plan, budgetBytes int64) (*Prepared, error) {
	var image *volume.Volume
	var labels *volume.Labels
	var frame nifti.Frame
	var err error
	if c.Set == cases.Labelled {
		scheme := cases.Scheme{Classes: p.Classes(), Ignore: p.Ignore}
		image, labels, frame, err = cases.ReadPair(ctx, c, scheme, p.Orientation, budgetBytes)
	} else {
		image, frame, err = cases.ReadImage(ctx, c, p.Orientation, budgetBytes)
	}
	if err != nil {
		return nil, err
	}
	out, err := Case(ctx, image, labels, frame, p)
	return out, cases.InFile(c.Image, err)
}
