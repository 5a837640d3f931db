package predict

import "context"

// Result is the labels of a case on the network's grid.
type Result struct {
	Shape  [3]int
	Labels []uint8 // (z, y, x)
	// Confidence is the mean top probability over foreground voxels, 0 where there are none.
	Confidence float64
	// Voxels counts labels by class.
	Voxels []int64
	// Certainty is the mean top probability over the voxels of each class; 0 for background
	// and where there are none.
	Certainty []float64
	// Doubt is where the models doubt, where Settings.Votes asks for it.
	Doubt *Doubt
	// Seconds is how long Config.Labels had a network for it.
	Seconds float64
}

// Labels segments an image (z, y, x) at network resolution: the arg-max of the
// blended logits, or of the mean probabilities of an ensemble; ties go to the
// lower class.
func Labels(ctx context.Context, image []float32, shape [3]int, network Network, models []Model, s Settings) (*Result, error) {
	r := &Result{Shape: shape, Labels: make([]uint8, voxels(shape)), Voxels: make([]int64, s.Classes)}
	area := shape[1] * shape[2]
	certain := newCertainty(shape, len(models), s)
	s.Scores = s.Votes
	var doubt *doubting
	if s.Votes {
		doubt = newDoubting(certain, len(r.Labels), len(models))
	}
	err := Segment(ctx, image, shape, network, models, s, func(z int, f Finished) error {
		copy(r.Labels[z*area:], f.Labels)
		certain.add(f)
		if doubt != nil {
			doubt.add(z, f)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if doubt != nil {
		r.Doubt = doubt.result()
	}
	copy(r.Voxels, certain.voxels)
	if foreground := int64(len(r.Labels)) - r.Voxels[0]; foreground > 0 {
		r.Confidence = certain.foreground / float64(foreground)
	}
	r.Certainty = certain.means()
	return r, nil
}

// certainty sums the probabilities of labels, plane by plane.
type certainty struct {
	h, w       int
	logits     bool      // what scores are
	foreground float64   // over all classes but background
	sums       []float64 // by class; background is not summed
	voxels     []int64   // by class
	rows       []float64 // scratch: a row's sum, and its sums by class
}

func newCertainty(shape [3]int, models int, s Settings) *certainty {
	return &certainty{
		h: shape[1], w: shape[2], logits: models == 1 && !s.Softmax,
		sums: make([]float64, s.Classes), voxels: make([]int64, s.Classes), rows: make([]float64, shape[1]*(1+s.Classes)),
	}
}

// add takes a plane. Rows are summed apart and then in order, so that the sums do not
// depend on the threads.
func (c *certainty) add(f Finished) {
	for _, label := range f.Labels {
		c.voxels[label]++
	}
	n := 1 + len(c.sums)
	clear(c.rows)
	parallel(c.h, func(_, y int) {
		row := c.rows[y*n:][:n]
		for i := y * c.w; i < (y+1)*c.w; i++ {
			if label := int(f.Labels[i]); label > 0 {
				p := c.probability(f, i, label)
				row[0] += p
				row[1+label] += p
			}
		}
	})
	var plane float64
	for y := range c.h {
		plane += c.rows[y*n]
		for class := range c.sums {
			c.sums[class] += c.rows[y*n+1+class]
		}
	}
	c.foreground += plane
}

func (c *certainty) probability(f Finished, i, label int) float64 {
	switch {
	case f.Probability != nil:
		return float64(f.Probability[i])
	case c.logits:
		return probability(f.Scores, i, c.h*c.w, label)
	}
	return float64(f.Scores[label*c.h*c.w+i])
}

// means are by class; 0 for background and for classes without a voxel.
func (c *certainty) means() []float64 {
	out := make([]float64, len(c.sums))
	for class, sum := range c.sums {
		if c.voxels[class] > 0 {
			out[class] = sum / float64(c.voxels[class])
		}
	}
	return out
}

// probability is the softmax at voxel i of the class with the largest logit.
func probability(logits []float32, i, area, top int) float64 {
	var sum float32
	for c := i; c < len(logits); c += area {
		one := [1]float32{logits[c]}
		exp(one[:], logits[top*area+i:])
		sum += one[0]
	}
	return float64(1 / sum)
}
