package predict

import (
	"context"
	"slices"
)

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
	scratch    []labelled // a thread
}

func newCertainty(shape [3]int, models int, s Settings) *certainty {
	return &certainty{
		h: shape[1], w: shape[2], logits: models == 1 && !s.Softmax,
		sums: make([]float64, s.Classes), voxels: make([]int64, s.Classes), rows: map[int][]float64{},
		scratch: make([]labelled, maxThreads),
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
	parallel(count, func(worker, y int) {
		row, s := rows[before+y*n:][:n], &c.scratch[worker]
		s.gather(f.Labels, y*c.w, c.w)
		c.probabilities(f, s)
		for k, i := range s.at {
			p := float64(s.p[k])
			row[0] += p
			row[1+f.Labels[i]] += p
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

// labelled are the voxels of a row that are not background.
type labelled struct {
	at           []int // in the plane
	p, top, term []float32
}

// gather takes w labels from from on.
func (l *labelled) gather(labels []uint8, from, w int) {
	l.at = l.at[:0]
	for i := from; i < from+w; i++ {
		if labels[i] > 0 {
			l.at = append(l.at, i)
		}
	}
	n := len(l.at)
	l.p, l.top, l.term = slices.Grow(l.p[:0], n)[:n], slices.Grow(l.top[:0], n)[:n], slices.Grow(l.term[:0], n)[:n]
}

// probabilities of the labels of voxels. The softmax goes by class, as exp would rather
// have many values than one.
func (c *certainty) probabilities(f Finished, l *labelled) {
	area := len(f.Labels)
	for k, i := range l.at {
		if f.Probability != nil {
			l.p[k] = f.Probability[i]
		} else {
			l.p[k] = f.Scores[int(f.Labels[i])*area+i]
		}
	}
	if f.Probability != nil || !c.logits {
		return
	}
	copy(l.top, l.p)
	clear(l.p)
	for class := range c.sums {
		for k, i := range l.at {
			l.term[k] = f.Scores[class*area+i]
		}
		exp(l.term, l.top)
		for k, v := range l.term {
			l.p[k] += v
		}
	}
	for k, sum := range l.p {
		l.p[k] = 1 / sum
	}
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
