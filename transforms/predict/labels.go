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
	err := Segment(ctx, image, shape, network, models, s, func(z, y int, f Finished) error {
		copy(r.Labels[z*area+y*shape[2]:], f.Labels)
		certain.add(z, f)
		if doubt != nil {
			doubt.add(z, y, f)
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

// certainty sums the probabilities of labels, row by row, then plane by plane.
type certainty struct {
	h, w       int
	logits     bool              // what scores are
	foreground float64           // over all classes but background
	sums       []float64         // by class; background is not summed
	voxels     []int64           // by class
	rows       map[int][]float64 // of planes that are not complete: a row's sum, and its sums by class
	free       [][]float64
}

func newCertainty(shape [3]int, models int, s Settings) *certainty {
	return &certainty{
		h: shape[1], w: shape[2], logits: models == 1 && !s.Softmax,
		sums: make([]float64, s.Classes), voxels: make([]int64, s.Classes), rows: map[int][]float64{},
	}
}

// add takes rows of a plane. They are summed apart and then in order, so that the sums
// depend neither on the threads nor on how many rows come at once.
func (c *certainty) add(z int, f Finished) {
	for _, label := range f.Labels {
		c.voxels[label]++
	}
	n, count := 1+len(c.sums), len(f.Labels)/c.w
	rows, known := c.rows[z]
	if !known && len(c.free) > 0 {
		rows, c.free = c.free[len(c.free)-1][:0], c.free[:len(c.free)-1]
	} else if !known {
		rows = make([]float64, 0, c.h*n)
	}
	before := len(rows)
	rows = rows[:before+count*n]
	clear(rows[before:])
	parallel(count, func(_, y int) {
		row := rows[before+y*n:][:n]
		for i := y * c.w; i < (y+1)*c.w; i++ {
			if label := int(f.Labels[i]); label > 0 {
				p := c.probability(f, i, label)
				row[0] += p
				row[1+label] += p
			}
		}
	})
	c.rows[z] = rows
	if len(rows) == c.h*n {
		delete(c.rows, z)
		c.free = append(c.free, rows)
		c.plane(rows)
	}
}

// plane adds the sums of a plane's rows.
func (c *certainty) plane(rows []float64) {
	var plane float64
	for n := 1 + len(c.sums); len(rows) > 0; rows = rows[n:] {
		plane += rows[0]
		for class := range c.sums {
			c.sums[class] += rows[1+class]
		}
	}
	c.foreground += plane
}

func (c *certainty) probability(f Finished, i, label int) float64 {
	switch {
	case f.Probability != nil:
		return float64(f.Probability[i])
	case c.logits:
		return probability(f.Scores, i, len(f.Labels), label)
	}
	return float64(f.Scores[label*len(f.Labels)+i])
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
