package resample

import (
	"fmt"

	"noisystudent/io/volume"
)

// ExportLabels puts labels at network resolution back on the scan's grid: the
// paper's nearest rule. For an axis of n voxels that covers [b0, b1) of the scan the
// source of voxel o is (2(o-b0)+1) n div 2(b1-b0), in whole numbers; outside the
// crop it is background. This is Nearest by shape ratio, ties upwards; scikit-image
// says the same but in some exact ties, where its rounded product falls short.
func ExportLabels(labels []uint8, from [3]int, crop volume.Box, full [3]int) []uint8 {
	mustFill(len(labels), from)
	e, size := newLabelExporter(from, crop, full), from[1]*from[2]
	for z := range from[0] {
		e.Rows(z, 0, labels[z*size:(z+1)*size])
	}
	return e.labels
}

// LabelExporter is ExportLabels of labels that come by rows of planes.
type LabelExporter struct {
	from, full [3]int
	crop       volume.Box
	near       [3][]int32
	came       int     // rows of the source
	inside     []uint8 // a plane of the crop
	labels     []uint8
}

func newLabelExporter(from [3]int, crop volume.Box, full [3]int) *LabelExporter {
	if !crop.Within(full) {
		panic(fmt.Sprintf("resample: crop %v is outside of %v", crop, full))
	}
	e, size := &LabelExporter{from: from, full: full, crop: crop}, crop.Shape()
	for a := range 3 {
		e.near[a] = make([]int32, size[a])
		for o := range e.near[a] {
			e.near[a][o] = int32((2*o + 1) * from[a] / (2 * size[a]))
		}
	}
	e.inside, e.labels = make([]uint8, size[1]*size[2]), make([]uint8, full[0]*full[1]*full[2])
	return e
}

// Rows takes the labels (n, X) of rows of plane z at network resolution, from y on.
func (e *LabelExporter) Rows(z, y int, labels []uint8) {
	n := len(labels) / e.from[2]
	mustFill(len(labels), [3]int{1, n, e.from[2]})
	e.came += n
	planes, rows := reached(e.near[0], z, z+1), reached(e.near[1], y, y+n)
	width := e.crop.Hi[2] - e.crop.Lo[2]
	inside := e.inside[:(rows[1]-rows[0])*width]
	if planes[0] == planes[1] || len(inside) == 0 {
		return
	}
	for i, from := range e.near[1][rows[0]:rows[1]] {
		at := (int(from) - y) * e.from[2]
		for x, from := range e.near[2] {
			inside[i*width+x] = labels[at+int(from)]
		}
	}
	for k := planes[0]; k < planes[1]; k++ {
		lo := [3]int{e.crop.Lo[0] + k, e.crop.Lo[1] + rows[0], e.crop.Lo[2]}
		volume.Paste(e.labels, e.full, volume.Box{Lo: lo, Hi: [3]int{lo[0] + 1, e.crop.Lo[1] + rows[1], e.crop.Hi[2]}}, inside)
	}
}

// Labels returns the result, once every plane was given.
func (e *LabelExporter) Labels() []uint8 {
	if rows := e.from[0] * e.from[1]; e.came != rows {
		panic(fmt.Sprintf("resample: %d of %d rows were exported", e.came, rows))
	}
	return e.labels
}
