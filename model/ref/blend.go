package ref

import (
	"errors"
	"fmt"
	"math"

	"noisystudent/model/device"
	"noisystudent/model/program"
)

var _ device.Blender = &memory[float32]{}

// blended is the definition of device.Blended.
type blended[T Float] struct {
	device.Blend
	logits  []T
	classes int
	tile    [3]int
	weight  []T   // (D, H, W)
	sums    [][]T // a model: (C, D, H, W)
}

// Blend implements device.Blender.
func (m *memory[T]) Blend(logits program.ID, b device.Blend) (device.Blended, error) {
	if err := b.Check(m.p, logits); err != nil {
		return nil, fmt.Errorf("ref: blend: %w", err)
	}
	s := m.p.Buffers[logits].Shape
	ring := s[2] * b.Size[0] * b.Size[1]
	out := &blended[T]{Blend: b, logits: m.buffers[logits], classes: s[1], tile: grid(s[2:]), weight: make([]T, ring)}
	for range b.Models {
		out.sums = append(out.sums, make([]T, s[1]*ring))
	}
	return out, nil
}

// Add implements device.Blended.
func (b *blended[T]) Add(model int, at [3]int, flipped [3]bool, share float32) error {
	if err := b.CheckAdd(b.tile, model, at); err != nil {
		return fmt.Errorf("ref: blend: %w", err)
	}
	p := make([]float64, b.classes)
	for v := range volume(b.tile) {
		to := [3]int{v / (b.tile[1] * b.tile[2]), v / b.tile[2] % b.tile[1], v % b.tile[2]}
		from := to
		for a, flip := range flipped {
			if flip {
				from[a] = b.tile[a] - 1 - to[a]
			}
		}
		source := (from[0]*b.tile[1]+from[1])*b.tile[2] + from[2]
		if b.Softmax {
			softmax(Shape{N: 1, C: b.classes, V: volume(b.tile)}, b.logits, 0, source, p)
		} else {
			for c := range p {
				p[c] = float64(b.logits[c*volume(b.tile)+source])
			}
		}
		i := ((at[0]+to[0])%b.tile[0]*b.Size[0]+at[1]+to[1])*b.Size[1] + at[2] + to[2]
		weight := float64(share) * float64(b.Weights[v])
		if model == 0 {
			b.weight[i] += T(weight)
		}
		for c := range p {
			b.sums[model][c*len(b.weight)+i] += T(weight * p[c])
		}
	}
	return nil
}

// scores of voxel i of plane z.
func (b *blended[T]) scores(z, i int) []float64 {
	at := z%b.tile[0]*b.Size[0]*b.Size[1] + i
	mean := make([]float64, b.classes)
	for _, sums := range b.sums {
		one := make([]float64, b.classes)
		for c := range one {
			one[c] = float64(sums[c*len(b.weight)+at]) / float64(b.weight[at])
		}
		if b.Models > 1 && !b.Softmax {
			softmax(Shape{N: 1, C: b.classes, V: 1}, one, 0, 0, one)
		}
		for c := range mean {
			mean[c] += one[c] / float64(b.Models)
		}
	}
	return mean
}

// Labels implements device.Blended.
func (b *blended[T]) Labels(z int, labels []uint8, probability []float32) error {
	if err := errors.Join(b.CheckPlane(z, 1, len(labels)), b.CheckPlane(z, 1, len(probability))); err != nil {
		return fmt.Errorf("ref: blend: labels: %w", err)
	}
	for i := range labels {
		scores, top := b.scores(z, i), 0
		for c, v := range scores {
			if v > scores[top] {
				top = c
			}
		}
		labels[i], probability[i] = uint8(top), float32(scores[top])
		if b.Models == 1 && !b.Softmax {
			sum := 0.0
			for _, v := range scores {
				sum += math.Exp(v - scores[top])
			}
			probability[i] = float32(1 / sum)
		}
	}
	return nil
}

// Scores implements device.Blended.
func (b *blended[T]) Scores(z int, scores []float32) error {
	if err := b.CheckPlane(z, b.classes, len(scores)); err != nil {
		return fmt.Errorf("ref: blend: scores: %w", err)
	}
	area := b.Size[0] * b.Size[1]
	for i := range area {
		for c, v := range b.scores(z, i) {
			scores[c*area+i] = float32(v)
		}
	}
	return nil
}

// Clear implements device.Blended.
func (b *blended[T]) Clear(z int) error {
	area := b.Size[0] * b.Size[1]
	from := z % b.tile[0] * area
	clear(b.weight[from:][:area])
	for _, sums := range b.sums {
		for c := range b.classes {
			clear(sums[c*len(b.weight)+from:][:area])
		}
	}
	return nil
}

// Close implements device.Blended.
func (b *blended[T]) Close() error { return nil }
