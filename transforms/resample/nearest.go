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
		e.Plane(labels[z*size : (z+1)*size])
	}
	return e.labels
}

// LabelExporter is ExportLabels of labels that come plane by plane.
type LabelExporter struct {
	from, full [3]int
	crop       volume.Box
	near       [3][]int32
	next, made int     // plane of the source to come, and of the crop
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

// Plane takes the labels (Y, X) of the next plane at network resolution.
func (e *LabelExporter) Plane(labels []uint8) {
	mustFill(len(labels), [3]int{1, e.from[1], e.from[2]})
	size, used := e.crop.Shape(), false
	for e.made < size[0] && int(e.near[0][e.made]) == e.next {
		if !used {
			gatherNearest(e.inside, labels, [3]int{1, e.from[1], e.from[2]}, [3]int{1, size[1], size[2]}, [3][]int32{{0}, e.near[1], e.near[2]})
			used = true
		}
		z := e.crop.Lo[0] + e.made
		volume.Paste(e.labels, e.full, volume.Box{Lo: [3]int{z, e.crop.Lo[1], e.crop.Lo[2]}, Hi: [3]int{z + 1, e.crop.Hi[1], e.crop.Hi[2]}}, e.inside)
		e.made++
	}
	e.next++
}

// Labels returns the result, once every plane was given.
func (e *LabelExporter) Labels() []uint8 {
	if e.next != e.from[0] {
		panic(fmt.Sprintf("resample: %d of %d planes were exported", e.next, e.from[0]))
	}
	return e.labels
}
