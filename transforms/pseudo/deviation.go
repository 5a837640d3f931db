package pseudo

import (
	"math"
	"slices"
)

const (
	fewest     = 5    // pseudo-labels of an organ from which can be told what is usual
	sizeSpread = 0.05 // least standard deviation of an organ's size, in logarithms
	seatSpread = 1.0  // and of its place, in voxels
)

// deviations is how far the organs of each case are from what is usual, by class, in robust
// standard deviations (1.4826 times the median distance from the median over all cases): the
// larger of how far the logarithm of an organ's size is, and its place as at least half of the
// other organs of the case see it, for a misplaced one must not make the others so.
// Of classes that few cases have nothing is said, which is 0.
func deviations(notes []Note, doubts []Doubts) [][]float64 {
	out := make([][]float64, len(notes))
	for i, n := range notes {
		out[i] = make([]float64, len(n.Voxels))
	}
	if len(notes) == 0 {
		return out
	}
	seats := seen(notes, doubts)
	for class := 1; class < len(notes[0].Voxels); class++ {
		sizes := scores(notes, sizeSpread, func(i int) (float64, bool) {
			n := notes[i].Voxels[class]
			return math.Log(float64(n)), n > 0
		})
		for i := range notes {
			if !math.IsNaN(sizes[i]) {
				out[i][class] = sizes[i]
			}
			if views := seats[class][i]; len(views) > 0 {
				slices.Sort(views)
				out[i][class] = max(out[i][class], views[(len(views)-1)/2])
			}
		}
	}
	return out
}

// seen is how unusual the place of a class in a case is, as each other organ of it sees it:
// both ends of a way see the same.
func seen(notes []Note, doubts []Doubts) [][][]float64 {
	out := make([][][]float64, len(notes[0].Voxels))
	for class := range out {
		out[class] = make([][]float64, len(notes))
	}
	for a := 1; a < len(out); a++ {
		for b := a + 1; b < len(out); b++ {
			for i, far := range distances(notes, doubts, a, b) {
				if !math.IsNaN(far) {
					out[a][i], out[b][i] = append(out[a][i], far), append(out[b][i], far)
				}
			}
		}
	}
	return out
}

// distances is how unusual the way from one organ to another is, in each case: that of the
// axis that is the most so. NaN where a case lacks one of them or few cases have both.
func distances(notes []Note, doubts []Doubts, from, to int) []float64 {
	out := make([]float64, len(notes))
	for axis := range 3 {
		for i, v := range scores(notes, seatSpread, func(i int) (float64, bool) {
			there := notes[i].Voxels[from] > 0 && notes[i].Voxels[to] > 0
			return doubts[i].Centers[to][axis] - doubts[i].Centers[from][axis], there
		}) {
			out[i] = max(out[i], v) // NaN stays
		}
	}
	return out
}

// scores is the distance of each case's value from the median of all, in standard deviations
// of at least so much; NaN where there is none, or too few.
func scores(notes []Note, least float64, value func(i int) (float64, bool)) []float64 {
	out := make([]float64, len(notes))
	var all []float64
	for i := range notes {
		v, there := value(i)
		if out[i] = v; !there {
			out[i] = math.NaN()
			continue
		}
		all = append(all, v)
	}
	if len(all) < fewest {
		for i := range out {
			out[i] = math.NaN()
		}
		return out
	}
	usual := median(all)
	for i, v := range all {
		all[i] = math.Abs(v - usual)
	}
	spread := max(1.4826*median(all), least)
	for i, v := range out {
		out[i] = math.Abs(v-usual) / spread
	}
	return out
}

// median sorts values and is the mean of the middle ones.
func median(values []float64) float64 {
	slices.Sort(values)
	n := len(values)
	return (values[(n-1)/2] + values[n/2]) / 2
}

// centers is the mean position of each class's voxels (z, y, x), 0 without any.
func centers(labels []uint8, shape [3]int, voxels []int64) [][3]float64 {
	out := make([][3]float64, len(voxels))
	i := 0
	for z := range shape[0] {
		for y := range shape[1] {
			for x := range shape[2] {
				c := &out[labels[i]]
				c[0], c[1], c[2] = c[0]+float64(z), c[1]+float64(y), c[2]+float64(x)
				i++
			}
		}
	}
	for class, n := range voxels {
		for axis := range 3 {
			out[class][axis] /= float64(max(n, 1))
		}
	}
	return out
}

// changes is how much the labels of a case are others than before, by class: one minus the
// DSC of the two; 0 for a class that neither has.
func changes(labels, before []uint8, classes int) []float64 {
	common, all, out := make([]int64, classes), make([]int64, classes), make([]float64, classes)
	for i, label := range labels {
		all[label]++
		if b := int(before[i]); b < classes {
			all[b]++
			if b == int(label) {
				common[b]++
			}
		}
	}
	for class, n := range all {
		if n > 0 {
			out[class] = 1 - 2*float64(common[class])/float64(n)
		}
	}
	return out
}
