package predict

import "math"

// Doubt is where and how much the models doubt the labels of a case. By class, 0 and 1
// are the ends of each scale.
type Doubt struct {
	// Certain is the probability of each voxel's label (z, y, x), 255 for 1.
	Certain []uint8
	// Second is the most probable of the other classes, the lowest of equal ones.
	Second []uint8
	// Agreement is the mean over the models of the DSC between a model's own labels and
	// the labels; 1 where nobody sees the class.
	Agreement []float64
	// Entropy is the mean over the class's voxels of the entropy of the probabilities, 1
	// where all classes are equally likely; 0 without a voxel.
	Entropy []float64
}

// doubting gathers a Doubt as rows come.
type doubting struct {
	*certainty
	certain []uint8
	second  []uint8
	own     [][]int64 // voxels of a model, by class
	common  [][]int64 // those of them that got the class
	entropy []float64 // summed by class
	sums    []float64 // scratch: by row and class
}

func newDoubting(c *certainty, voxels, models int) *doubting {
	d := &doubting{certainty: c, certain: make([]uint8, voxels), second: make([]uint8, voxels), own: make([][]int64, models), common: make([][]int64, models)}
	classes := len(c.voxels)
	for m := range models {
		d.own[m], d.common[m] = make([]int64, classes), make([]int64, classes)
	}
	d.entropy, d.sums = make([]float64, classes), make([]float64, c.h*classes)
	return d
}

// add takes the rows from from on of plane z, whose scores and votes must be there. Its sums
// do not depend on the threads.
func (d *doubting) add(z, from int, f Finished) {
	classes, area := len(d.voxels), len(f.Labels)
	n, first := area/d.w, (z*d.h+from)*d.w
	certain, second := d.certain[first:][:area], d.second[first:][:area]
	clear(d.sums)
	parallel(n, func(_, y int) {
		sums := d.sums[y*classes:][:classes]
		p := make([]float64, classes)
		for i := y * d.w; i < (y+1)*d.w; i++ {
			d.probabilities(f.Scores, i, area, p)
			label := f.Labels[i]
			sums[label] += entropy(p)
			certain[i], second[i] = uint8(math.Round(255*min(p[label], 1))), mostBut(p, label)
		}
	})
	for y := range n {
		for class := range classes {
			d.entropy[class] += d.sums[y*classes+class]
		}
	}
	for m, votes := range f.Votes {
		for i, class := range votes {
			d.own[m][class]++
			if f.Labels[i] == class {
				d.common[m][class]++
			}
		}
	}
}

// probabilities at voxel i.
func (d *doubting) probabilities(scores []float32, i, area int, p []float64) {
	var sum float64
	for class := range p {
		p[class] = float64(scores[class*area+i])
		if d.logits {
			p[class] = math.Exp(p[class] - float64(top(scores, i, area)))
		}
		sum += p[class]
	}
	for class := range p {
		p[class] /= sum
	}
}

// mostBut is the most probable class but one.
func mostBut(p []float64, label uint8) (most uint8) {
	best := -1.0
	for class, v := range p {
		if class != int(label) && v > best {
			best, most = v, uint8(class)
		}
	}
	return most
}

func top(scores []float32, i, area int) float32 {
	most := scores[i]
	for k := i + area; k < len(scores); k += area {
		most = max(most, scores[k])
	}
	return most
}

// entropy of probabilities, as a part of the most that there can be.
func entropy(p []float64) float64 {
	var h float64
	for _, v := range p {
		if v > 0 {
			h -= v * math.Log(v)
		}
	}
	return h / math.Log(float64(len(p)))
}

// result is the Doubt of the whole case.
func (d *doubting) result() *Doubt {
	out := &Doubt{Certain: d.certain, Second: d.second, Agreement: make([]float64, len(d.voxels)), Entropy: d.entropy}
	for class, n := range d.voxels {
		if n > 0 {
			out.Entropy[class] /= float64(n)
		}
		for m := range d.own {
			agreed := 1.0
			if all := n + d.own[m][class]; all > 0 {
				agreed = 2 * float64(d.common[m][class]) / float64(all)
			}
			out.Agreement[class] += agreed / float64(len(d.own))
		}
	}
	return out
}
