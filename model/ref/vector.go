package ref

import "math"

// LabelsNearest shrinks labels to another grid by PyTorch's nearest-exact rule:
// source = floor((o + 0.5) * in/out) along each axis. Shapes: src (N, in),
// dst (N, out).
func LabelsNearest(n int, in, out [3]int, src, dst []uint8) {
	fit("labels nearest", "input", src, n*volume(in))
	fit("labels nearest", "output", dst, n*volume(out))
	at := func(a, o int) int { return (2*o + 1) * in[a] / (2 * out[a]) }
	i := 0
	for b := range n {
		for d := range out[0] {
			for h := range out[1] {
				row := ((b*in[0]+at(0, d))*in[1] + at(1, h)) * in[2]
				for w := range out[2] {
					dst[i] = src[row+at(2, w)]
					i++
				}
			}
		}
	}
}

// Add assigns a + b; out may be a or b.
func Add[T Float](a, b, out []T) {
	for i := range out {
		out[i] = a[i] + b[i]
	}
}

// WeightedSum assigns out[j] = sum over i of weights[i] * terms[i][j].
func WeightedSum[T Float](terms [][]T, weights []float32, out []T) {
	for j := range out {
		sum := 0.0
		for i, t := range terms {
			sum += float64(weights[i]) * float64(t[j])
		}
		out[j] = T(sum)
	}
}

// GradNorm returns the norm of all gradients, unscaled by the seed, and the factor
// that unscales and clips each of them; maxNorm 0 never clips. Reference:
// torch.nn.utils.clip_grad_norm_.
func GradNorm[T Float](grads [][]T, seed T, maxNorm float64) (norm, factor T) {
	sum := 0.0
	for _, g := range grads {
		for _, v := range g {
			sum += float64(v) * float64(v)
		}
	}
	total := math.Sqrt(sum) / float64(seed)
	f := 1.0
	if maxNorm > 0 {
		f = min(1, maxNorm/(total+1e-6))
	}
	return T(total), T(f / float64(seed))
}
