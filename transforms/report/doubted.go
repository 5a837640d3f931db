package report

import (
	"context"
	"errors"
	"fmt"
	"image/color"

	"noisystudent/io/nifti"
	"noisystudent/io/volume"
	"noisystudent/transforms/cases"
)

// Doubted is a case whose pseudo-labels are drawn with where the teachers doubt them.
type Doubted struct {
	Case   string
	Labels string // their address; the scan's is in Page.Scans
	// Agreement is what teachers agree in by organ's name, see predict.Doubt; organs that nobody sees
	// are not in it.
	Agreement map[string]*float64
	// Doubt reads one minus the probability of each voxel's label, 255 for 1, on the labels' RAS grid.
	Doubt func(context.Context) (*volume.Labels, error)
}

// doubts draws the cases that are doubted.
func (p Page) doubts(ctx context.Context) (out []figure, err error) {
	for _, d := range p.Doubted {
		f := figure{Caption: d.Case}
		if f.PNG, err = p.doubtOf(ctx, d); err != nil {
			if f.Caption, err = undrawn(d.Case, err); err != nil {
				return nil, err
			}
		}
		out = append(out, f)
	}
	return out, nil
}

// doubtOf draws the slice of a case with most doubt, outlines beside doubt.
func (p Page) doubtOf(ctx context.Context, d Doubted) ([]byte, error) {
	c := cases.Case{ID: d.Case, Labels: d.Labels}
	g, release, err := p.admit(ctx, d.Case, d.Labels)
	if err != nil {
		return nil, err
	}
	defer release()
	doubt, err := d.Doubt(ctx)
	if err != nil {
		return nil, err
	}
	labels, _, err := cases.ReadLabels(ctx, c, anyLabels, nifti.RAS, 0)
	if err != nil {
		return nil, err
	}
	if labels.Shape != doubt.Shape {
		return nil, &cases.Fault{Kind: cases.GridMismatch, File: d.Labels, Remedy: "label it again", Err: fmt.Errorf("labels of shape %v, doubt of %v", labels.Shape, doubt.Shape)}
	}
	scan, err := p.scan(ctx, d.Case, g)
	if err != nil {
		return nil, err
	}
	z := mostDoubted(doubt)
	return inRow(tile{scan: scan, labels: labels, z: z}, tile{scan: scan, labels: labels, doubt: doubt, z: z})
}

// mostDoubted is the axial slice with the greatest sum, the first of equal ones.
func mostDoubted(doubt *volume.Labels) (most int) {
	n, best := doubt.Shape[1]*doubt.Shape[2], -1
	for z := range doubt.Shape[0] {
		sum := 0
		for _, v := range doubt.Data[z*n : (z+1)*n] {
			sum += int(v)
		}
		if sum > best {
			best, most = sum, z
		}
	}
	return most
}

// doubtful colours a voxel, all of it from a doubt of a half on.
func doubtful(c color.RGBA, doubt uint8) color.RGBA {
	part := min(2*int(doubt), 255)
	mix := func(from uint8, to int) uint8 { return uint8((int(from)*(255-part) + to*part) / 255) }
	return color.RGBA{mix(c.R, 255), mix(c.G, 120), mix(c.B, 0), 255}
}

// undrawn is the caption of a case that cannot be read now; other errors stay errors.
func undrawn(caption string, err error) (string, error) {
	var fault *cases.Fault
	if errors.As(err, &fault) {
		return caption + "; it cannot be drawn now: " + string(fault.Kind), nil
	}
	return "", err
}
