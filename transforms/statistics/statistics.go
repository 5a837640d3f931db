// Package statistics measures the organs of labelled scans: volume, HU, place,
// connected pieces, and flags for a person to look at.
//
// The one idea: labels are runs along x. One pass over the runs of a scan gives
// every number of every organ, and a union of runs that touch gives the pieces, so
// that no organ needs a volume of its own.
//
// Files are read in their own axis order; index boxes are of that grid, axes (z, y,
// x) with z the file's third axis. Positions are world millimetres (R, A, S). HU
// are those of the image file. Flags compare a scan with labelled ones (Reference).
package statistics

import (
	"fmt"

	"noisystudent/io/volume"
	"noisystudent/transforms/cases"
)

// version changes when the numbers or the form of a row change.
const version = 1

// Row is the organs of one scan.
type Row struct {
	Case   string          `json:"case"`
	Image  string          `json:"image_file"`
	Labels string          `json:"label_file"`
	Grid   volume.Geometry `json:"grid"`
	Organs []Organ         `json:"organs"` // one a label, absent ones too
}

// Organ is one label of a scan. Where Voxels is 0 all that follows is 0.
type Organ struct {
	Label      int        `json:"label"`
	Name       string     `json:"name"`
	Voxels     int64      `json:"voxels"`
	VolumeML   float64    `json:"volume_ml"`
	MeanHU     float64    `json:"mean_hu"`
	SDHU       float64    `json:"sd_hu"` // over voxels, population
	Box        volume.Box `json:"box"`
	CentroidMM [3]float64 `json:"centroid_mm"`
	// Touches names the faces of the scan that the organ reaches, in the order of Faces.
	Touches  []string `json:"touches,omitempty"`
	Pieces   int      `json:"pieces"`    // 26-connected
	SecondML float64  `json:"second_ml"` // volume of the second largest piece
	// Certainty is the mean probability that its models gave it; 0 where that is not known.
	Certainty float64 `json:"certainty,omitempty"`
}

// Faces are the sides of a scan: those that its stored axes run from and to.
var Faces = [6]string{"inferior", "superior", "posterior", "anterior", "left", "right"}

// Measure measures an image and its labels on the same grid, which it neither
// changes nor keeps. Labels that names does not list are left out.
func Measure(image *volume.Volume, labels *volume.Labels, names []cases.Label) (Row, error) {
	if image.Shape != labels.Shape || len(image.Data) != image.Voxels() || len(labels.Data) != labels.Voxels() {
		return Row{}, fmt.Errorf("statistics: the image has %v, the labels %v", image.Geometry, labels.Geometry)
	}
	sums, pieces := survey(image.Data, labels.Data, labels.Shape)
	row := Row{Grid: image.Geometry}
	for _, l := range names {
		o := Organ{Label: l.ID, Name: l.Name}
		if l.ID < 1 || l.ID > 255 {
			return Row{}, fmt.Errorf("statistics: label %d (%s) cannot be measured", l.ID, l.Name)
		}
		if s := sums[l.ID]; s.voxels > 0 {
			s.fill(&o, image.Geometry)
			o.Pieces, o.SecondML = pieces[l.ID].count, float64(pieces[l.ID].second)*image.VoxelML()
		}
		row.Organs = append(row.Organs, o)
	}
	return row, nil
}

// touches names the faces of a grid that a box reaches.
func touches(g volume.Geometry, b volume.Box) (list []string) {
	axes := volume.Nearest(g)
	for a, s := range axes.From {
		low, high := b.Lo[s] == 0, b.Hi[s] == g.Shape[s]
		if axes.Flip[a] {
			low, high = high, low
		}
		if low {
			list = append(list, Faces[2*a])
		}
		if high {
			list = append(list, Faces[2*a+1])
		}
	}
	return list
}
