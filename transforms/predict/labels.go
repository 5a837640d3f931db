package predict

import (
	"context"
)

// Result is the labels of a case on the network's grid.
type Result struct {
	Labels []uint8 // (z, y, x)
	// Confidence is the mean top probability over foreground voxels, 0 where there are none.
	Confidence float64
	// Voxels counts labels by class.
	Voxels []int64
}

// Labels segments an image (z, y, x) at network resolution: the arg-max of the
// blended logits, or of the mean probabilities of an ensemble; ties go to the
// lower class.
func Labels(ctx context.Context, image []float32, shape [3]int, network Network, models []Model, s Settings) (*Result, error) {
	r := &Result{Labels: make([]uint8, voxels(shape)), Voxels: make([]int64, s.Classes)}
	area := shape[1] * shape[2]
	logits := len(models) == 1 && !s.Softmax
	one := make([]float32, s.Classes)
	var confidence float64
	err := Segment(ctx, image, shape, network, models, s, func(z int, values []float32) error {
		labels := r.Labels[z*area:][:area]
		argMax(values, labels)
		for i, label := range labels {
			r.Voxels[label]++
			if label == 0 {
				continue
			}
			for c := range one {
				one[c] = values[c*area+i]
			}
			if logits {
				softmaxVoxel(one)
			}
			confidence += float64(one[label])
		}
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

// argMax writes the class of the largest value of (C, V) to each voxel.
func argMax(values []float32, labels []uint8) {
	size := len(labels)
	clear(labels)
	top := make([]float32, size)
	copy(top, values[:size])
	for c := 1; c < len(values)/size; c++ {
		for i, v := range values[c*size:][:size] {
			if v > top[i] {
				top[i], labels[i] = v, uint8(c)
			}
		}
	}
}
