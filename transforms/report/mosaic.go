package report

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"image"
	"image/color"
	encoder "image/png"
	"math"
	"slices"

	"noisystudent/io/nifti"
	"noisystudent/io/volume"
	"noisystudent/transforms/cases"
	"noisystudent/transforms/memory"
	"noisystudent/transforms/score"
)

const (
	tileWidth = 280 // pixels
	lowHU     = -160
	highHU    = 240
)

// anyLabels takes what a label file may hold; what it may say was checked when it was scored.
var anyLabels = cases.Scheme{Classes: 256, Ignore: -1}

// meanDSC is the mean over the organs that the reference holds; without any it is NaN.
func meanDSC(r score.Row) float64 {
	sum, n := 0.0, 0.0
	for _, o := range r.Organs {
		if o.Scored && o.Voxels.Reference() > 0 {
			sum, n = sum+o.DSC, n+1
		}
	}
	return sum / n
}

// chosen are the best, the median and the worst of rows, as far as there are that many.
func chosen(rows []score.Row) (list []score.Row, names []string) {
	rows = slices.DeleteFunc(slices.Clone(rows), func(r score.Row) bool { return math.IsNaN(meanDSC(r)) })
	slices.SortFunc(rows, func(a, b score.Row) int {
		return cmp.Or(cmp.Compare(meanDSC(b), meanDSC(a)), cmp.Compare(a.Case, b.Case))
	})
	switch n := len(rows); n {
	case 0:
		return nil, nil
	case 1:
		return rows, []string{"the only case"}
	case 2:
		return rows, []string{"best", "worst"}
	default:
		return []score.Row{rows[0], rows[n/2], rows[n-1]}, []string{"best", "median", "worst"}
	}
}

// cases draws the chosen cases.
func (p Page) cases(ctx context.Context) (out []figure, err error) {
	list, names := chosen(p.Rows)
	for i, r := range list {
		f := figure{Caption: fmt.Sprintf("%s: %s, mean DSC %.1f %%", names[i], r.Case, 100*meanDSC(r))}
		if f.PNG, err = p.mosaic(ctx, r); err != nil {
			if f.Caption, err = undrawn(f.Caption, err); err != nil {
				return nil, err
			}
		}
		out = append(out, f)
	}
	return out, nil
}

// admit waits for the memory that drawing the case of a file takes, and gives its grid.
func (p Page) admit(ctx context.Context, id, file string) (g volume.Geometry, release func(), err error) {
	if g, err = cases.ReadGeometry(ctx, cases.Case{ID: id, Image: file}, nifti.RAS); err != nil {
		return g, nil, err
	}
	release, err = memory.Admit(ctx, file, 14*int64(g.Voxels()), p.BudgetBytes)
	return g, release, err
}

// mosaic draws four tiles of a case, see page.html.
func (p Page) mosaic(ctx context.Context, r score.Row) ([]byte, error) {
	g, release, err := p.admit(ctx, r.Case, r.Reference)
	if err != nil {
		return nil, err
	}
	defer release()
	var pair [2]*volume.Labels
	for i, address := range []string{r.Reference, r.Prediction} {
		if pair[i], _, err = cases.ReadLabels(ctx, cases.Case{ID: r.Case, Labels: address}, anyLabels, nifti.RAS, 0); err != nil {
			return nil, err
		}
	}
	if pair[0].Shape != pair[1].Shape {
		return nil, &cases.Fault{Kind: cases.GridMismatch, File: r.Prediction, Remedy: "score it again"}
	}
	scan, err := p.scan(ctx, r.Case, g)
	if err != nil {
		return nil, err
	}
	most, worst := slicesOf(pair[0], pair[1])
	return inRow(
		tile{scan: scan, labels: pair[0], z: most}, tile{scan: scan, labels: pair[1], z: most},
		tile{scan: scan, labels: pair[0], z: worst}, tile{scan: scan, labels: pair[1], z: worst},
	)
}

// inRow draws tiles of one case side by side.
func inRow(tiles ...tile) ([]byte, error) {
	size := tileSize(tiles[0].labels.Geometry)
	img := image.NewRGBA(image.Rect(0, 0, len(tiles)*size.X, size.Y))
	for i, t := range tiles {
		t.draw(img, image.Rectangle{image.Pt(i*size.X, 0), image.Pt((i+1)*size.X, size.Y)})
	}
	var b bytes.Buffer
	if err := encoder.Encode(&b, img); err != nil {
		return nil, fmt.Errorf("report: write a mosaic: %w", err)
	}
	return b.Bytes(), nil
}

// scan reads the voxels behind the outlines, or nil: a page without them still shows shapes.
func (p Page) scan(ctx context.Context, id string, g volume.Geometry) (*volume.Volume, error) {
	if p.Scans[id] == "" {
		return nil, nil
	}
	v, _, err := cases.ReadImage(ctx, cases.Case{ID: id, Image: p.Scans[id]}, nifti.RAS, 0)
	var fault *cases.Fault
	if errors.As(err, &fault) || err == nil && v.Shape != g.Shape {
		return nil, nil
	}
	return v, err
}

// slicesOf are the axial slices with most classes in the reference, of these the one with most voxels,
// and with most voxels that differ.
func slicesOf(reference, prediction *volume.Labels) (most, worst int) {
	n := reference.Shape[1] * reference.Shape[2]
	bestOrgans, bestDiffer := -1, -1
	for z := range reference.Shape[0] {
		ref, pred := reference.Data[z*n:(z+1)*n], prediction.Data[z*n:(z+1)*n]
		var there [256]bool
		organs, voxels, differ := 0, 0, 0
		for i, r := range ref {
			if r != pred[i] {
				differ++
			}
			if r == 0 {
				continue
			}
			voxels++
			if !there[r] {
				there[r] = true
				organs++
			}
		}
		if score := organs*(n+1) + voxels; score > bestOrgans {
			bestOrgans, most = score, z
		}
		if differ > bestDiffer {
			bestDiffer, worst = differ, z
		}
	}
	return most, worst
}

// tileSize keeps the proportions of an axial slice.
func tileSize(g volume.Geometry) image.Point {
	width, height := float64(g.Shape[2])*g.Spacing[2], float64(g.Shape[1])*g.Spacing[1]
	return image.Pt(tileWidth, max(int(math.Round(tileWidth*height/width)), 1))
}

// tile is axial slice z of a case with the outlines of its classes, or, where there is a doubt, with that.
type tile struct {
	scan   *volume.Volume // nil: black
	labels *volume.Labels
	doubt  *volume.Labels // see Doubted
	z      int
}

// draw fills a part of an image, the patient's right on the left and the front on top.
func (t tile) draw(img *image.RGBA, at image.Rectangle) {
	l := t.labels
	index := func(x, y int) int { // voxel of a pixel of the tile
		h, w := l.Shape[1], l.Shape[2]
		x = min(max(x, 0), at.Dx()-1) * w / at.Dx()
		y = min(max(y, 0), at.Dy()-1) * h / at.Dy()
		return (t.z*h+h-1-y)*w + w - 1 - x
	}
	for y := range at.Dy() {
		for x := range at.Dx() {
			i := index(x, y)
			c := color.RGBA{A: 255}
			if t.scan != nil {
				grey := uint8(255 * min(max((t.scan.Data[i]-lowHU)/(highHU-lowHU), 0), 1))
				c = color.RGBA{grey, grey, grey, 255}
			}
			if t.doubt != nil {
				c = doubtful(c, t.doubt.Data[i])
			} else if class := l.Data[i]; class > 0 &&
				(l.Data[index(x-1, y)] != class || l.Data[index(x+1, y)] != class || l.Data[index(x, y-1)] != class || l.Data[index(x, y+1)] != class) {
				c = Colour(int(class))
			}
			img.SetRGBA(at.Min.X+x, at.Min.Y+y, c)
		}
	}
}
