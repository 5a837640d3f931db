package fingerprint

import (
	"slices"

	"noisystudent/io/volume"
	"noisystudent/model/random"
	"noisystudent/transforms/cases"
)

// version of the facts of a case: raised when Measure gives other bytes.
const version = 1

// Options say what to measure in a case.
type Options struct {
	Scheme  cases.Scheme // of the labels, which hold nothing else
	Samples int64        // foreground samples a case: TotalSamples / number of cases
	Seed    uint64       // of the draws
}

// Measure takes the facts of one case. Image and labels share a grid. A case
// without foreground gives its shape and no samples, as in nnU-Net.
func Measure(id string, image *volume.Volume, labels *volume.Labels, o Options) Facts {
	box, _ := cases.NonZero(image)
	c := Case{
		ID:           id,
		Shape:        box.Shape(),
		Spacing:      image.Spacing,
		RelativeSize: float64(box.Voxels()) / float64(image.Voxels()),
		LabelVoxels:  make([]int64, o.Scheme.Classes),
	}
	values := foreground(image, labels, box, o.Scheme, c.LabelVoxels)
	draws := random.New(o.Seed, random.Key("fingerprint"), random.Key(id))
	return Facts{Cases: []Case{c}, Histogram: sample(values, draws, o.Samples)}
}

// foreground collects the image values of the box's labelled voxels and counts
// the voxels of each class.
func foreground(image *volume.Volume, labels *volume.Labels, box volume.Box, s cases.Scheme, voxels []int64) []float32 {
	var values []float32
	for z := box.Lo[0]; z < box.Hi[0]; z++ {
		for y := box.Lo[1]; y < box.Hi[1]; y++ {
			row := (z*image.Shape[1] + y) * image.Shape[2]
			for i := row + box.Lo[2]; i < row+box.Hi[2]; i++ {
				class := int(labels.Data[i])
				if class == s.Ignore {
					continue
				}
				voxels[class]++
				if class > 0 {
					values = append(values, image.Data[i]+0) // + 0: no negative zero
				}
			}
		}
	}
	return values
}

// sample draws n values with replacement and counts them.
func sample(values []float32, s *random.Stream, n int64) Histogram {
	if len(values) == 0 {
		return Histogram{}
	}
	slices.Sort(values)
	drawn := make([]uint32, len(values))
	for range n {
		drawn[s.IntN(len(values))]++
	}
	return count(values, drawn)
}
