package predict

import (
	"context"

	"noisystudent/io/volume"
)

// certain is the logit of background that was not computed, where organs have 0.
const certain = 20

// segmentBox is Segment of a box of the image, as if there were nothing else, that
// gives planes of the whole image: around the box is background, beyond doubt.
func segmentBox(ctx context.Context, image []float32, shape [3]int, network Network, models []Model, s Settings, out Rows) error {
	box := s.Box
	s.Box = volume.Box{}
	m := mount{Settings: s, models: len(models), shape: shape, box: box, score: 1}
	if len(models) == 1 && !s.Softmax {
		m.score = certain
	}
	around := func(from, to int) error {
		m.empty(shape[1])
		for z := from; z < to; z++ {
			if err := out(z, 0, m.rows); err != nil {
				return err
			}
		}
		return nil
	}
	if err := around(0, box.Lo[0]); err != nil {
		return err
	}
	err := SegmentPlanes(ctx, part{image, shape, box}, box.Shape(), network, models, s, func(z, y int, f Finished) error {
		y, whole := m.mounted(y, f)
		return out(box.Lo[0]+z, y, whole)
	})
	if err != nil {
		return err
	}
	return around(box.Hi[0], shape[0])
}

// mount surrounds rows of a box with background.
type mount struct {
	Settings
	models int
	shape  [3]int
	box    volume.Box
	score  float32 // of the background around it
	at     int     // where the rows of the box begin that rows was made for
	rows   Finished
}

// empty makes n rows that are background everywhere.
func (m *mount) empty(n int) {
	area := n * m.shape[2]
	m.rows = newFinished(m.Settings, m.models, area)
	for i := range area {
		m.rows.Scores[i] = m.score
	}
	m.at = -1
}

// mounted gives rows of a plane of the box, which begin at y, their surroundings: the first
// and the last of a plane also what is above and below the box. It returns where they begin.
func (m *mount) mounted(y int, f Finished) (int, Finished) {
	wide := m.box.Hi[2] - m.box.Lo[2]
	lo, n := m.box.Lo[1]+y, len(f.Labels)/wide
	hi, above := lo+n, 0
	if y == 0 {
		above, lo = lo, 0
	}
	if hi == m.box.Hi[1] {
		hi = m.shape[1]
	}
	if m.at != y {
		m.empty(hi - lo)
		m.at = y
	}
	b := volume.Box{Lo: [3]int{0, above, m.box.Lo[2]}, Hi: [3]int{1, above + n, m.box.Hi[2]}}
	whole := Finished{Labels: m.rows.Labels}
	onto(m, whole.Labels, f.Labels, b)
	if f.Scores != nil {
		onto(m, m.rows.Scores, f.Scores, b)
		whole.Scores = m.rows.Scores
	}
	for i, votes := range f.Votes {
		onto(m, m.rows.Votes[i], votes, b)
	}
	whole.Votes = m.rows.Votes
	if f.Probability != nil {
		if m.rows.Probability == nil {
			m.rows.Probability = make([]float32, len(m.rows.Labels))
		}
		onto(m, m.rows.Probability, f.Probability, b)
		whole.Probability = m.rows.Probability
	}
	return lo, whole
}

// onto pastes rows (C, n, W) of the box to a place in whole ones.
func onto[T any](m *mount, whole, inner []T, b volume.Box) {
	b.Hi[0] = len(inner) / (b.Hi[1] - b.Lo[1]) / (b.Hi[2] - b.Lo[2])
	volume.Paste(whole, [3]int{b.Hi[0], len(whole) / b.Hi[0] / m.shape[2], m.shape[2]}, b, inner)
}
