package predict

import (
	"context"

	"noisystudent/io/volume"
)

// certain is the logit of background that was not computed, where organs have 0.
const certain = 20

// segmentBox is Segment of a box of the image, as if there were nothing else, that
// gives planes of the whole image: around the box is background, beyond doubt.
func segmentBox(ctx context.Context, image []float32, shape [3]int, network Network, models []Model, s Settings, out Plane) error {
	box := s.Box
	s.Box = volume.Box{}
	m := mount{shape: shape, box: box, score: 1}
	if s.Votes {
		m.votes = len(models)
	}
	if len(models) == 1 && !s.Softmax {
		m.score = certain
	}
	m.empty(s.Classes)
	for z := range box.Lo[0] {
		if err := out(z, m.plane); err != nil {
			return err
		}
	}
	err := Segment(ctx, volume.Crop(image, shape, box), box.Shape(), network, models, s, func(z int, f Finished) error {
		return out(box.Lo[0]+z, m.mounted(f))
	})
	if err != nil {
		return err
	}
	m.empty(s.Classes)
	for z := box.Hi[0]; z < shape[0]; z++ {
		if err := out(z, m.plane); err != nil {
			return err
		}
	}
	return nil
}

// mount surrounds planes of a box with background.
type mount struct {
	shape [3]int
	box   volume.Box
	score float32  // of the background around it
	votes int      // models whose votes are wanted
	plane Finished // of the whole image, written to within the box only
}

// empty makes the plane background everywhere.
func (m *mount) empty(classes int) {
	area := m.shape[1] * m.shape[2]
	m.plane = Finished{Labels: make([]uint8, area), Scores: make([]float32, classes*area), Votes: make([][]uint8, m.votes)}
	for i := range m.plane.Votes {
		m.plane.Votes[i] = make([]uint8, area)
	}
	for i := range area {
		m.plane.Scores[i] = m.score
	}
}

// mounted gives a plane of the box its surroundings.
func (m *mount) mounted(f Finished) Finished {
	onto(m, m.plane.Labels, f.Labels)
	whole := Finished{Labels: m.plane.Labels}
	if f.Scores != nil {
		onto(m, m.plane.Scores, f.Scores)
		whole.Scores = m.plane.Scores
	}
	for i, votes := range f.Votes {
		onto(m, m.plane.Votes[i], votes)
	}
	whole.Votes = m.plane.Votes[:len(f.Votes)]
	if f.Probability != nil {
		if m.plane.Probability == nil {
			m.plane.Probability = make([]float32, len(m.plane.Labels))
		}
		onto(m, m.plane.Probability, f.Probability)
		whole.Probability = m.plane.Probability
	}
	return whole
}

// onto pastes planes (C, H, W) of the box onto whole ones.
func onto[T any](m *mount, whole, inner []T) {
	n := len(whole) / (m.shape[1] * m.shape[2])
	b := volume.Box{Lo: [3]int{0, m.box.Lo[1], m.box.Lo[2]}, Hi: [3]int{n, m.box.Hi[1], m.box.Hi[2]}}
	volume.Paste(whole, [3]int{n, m.shape[1], m.shape[2]}, b, inner)
}
