package predict

import "context"

// Result is the labels of a case on the network's grid.
type Result struct {
	Labels []uint8 // (z, y, x)
	// Confidence is the mean top probability over foreground voxels, 0 where there are none.
	Confidence float64
	// Voxels counts labels by class.
	Voxels []int64
	// Seconds is how long Config.Labels had a network for it.
	Seconds float64
}

// Labels segments an image (z, y, x) at network resolution: the arg-max of the
// blended logits, or of the mean probabilities of an ensemble; ties go to the
// lower class.
func Labels(ctx context.Context, image []float32, shape [3]int, network Network, models []Model, s Settings) (*Result, error) {
	r := &Result{Labels: make([]uint8, voxels(shape)), Voxels: make([]int64, s.Classes)}
	area := shape[1] * shape[2]
	logits := len(models) == 1 && !s.Softmax
	var confidence float64
	s.Scores = false
	err := Segment(ctx, image, shape, network, models, s, func(z int, f Finished) error {
		copy(r.Labels[z*area:], f.Labels)
		for _, label := range f.Labels {
			r.Voxels[label]++
		}
		confidence += certainty(f, shape, logits)
		return nil
	})
	if err != nil {
		return nil, err
	}
	if foreground := int64(len(r.Labels)) - r.Voxels[0]; foreground > 0 {
		r.Confidence = confidence / float64(foreground)
	}
	return r, nil
}

// certainty sums the probabilities of the foreground labels of a plane. Rows are
// summed apart and then in order, so that the sum does not depend on the threads.
func certainty(f Finished, shape [3]int, logits bool) float64 {
	h, w := shape[1], shape[2]
	sums := make([]float64, h)
	parallel(h, func(_, y int) {
		for i := y * w; i < (y+1)*w; i++ {
			label := int(f.Labels[i])
			switch {
			case label == 0:
			case f.Probability != nil:
				sums[y] += float64(f.Probability[i])
			case logits:
				sums[y] += probability(f.Scores, i, h*w, label)
			default:
				sums[y] += float64(f.Scores[label*h*w+i])
			}
		}
	})
	var sum float64
	for _, s := range sums {
		sum += s
	}
	return sum
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
