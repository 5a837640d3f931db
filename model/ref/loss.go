package ref

import "math"

// smooth keeps the Dice of an empty class defined (nnU-Net's value).
const smooth = 1e-5

// Loss holds the constants of DiceCE. Labels equal to Ignore (-1: none) count
// nowhere; all others must be below C. ClassWeights (C), or nil, weigh
// cross-entropy as PyTorch's weight= does.
type Loss[T Float] struct {
	BatchDice    bool
	Ignore       int
	ClassWeights []T
}

func (l Loss[T]) weight(label uint8) float64 {
	switch {
	case int(label) == l.Ignore:
		return 0
	case l.ClassWeights != nil:
		return float64(l.ClassWeights[label])
	}
	return 1
}

// SumsLen returns the number of elements of DiceCE's sums.
func SumsLen(s Shape) int { return s.N*s.C*3 + 1 }

// DiceCE computes cross-entropy minus soft Dice of softmax(logits). Shapes: logits
// (N, C, V), labels (N, V), out (3): loss, Dice term (negative), cross-entropy;
// sums (N*C*3+1): per (n, c) the intersection, the sum of predictions and the sum
// of references, then the weight sum that cross-entropy was divided by. Dice
// leaves class 0 out. Where every voxel is ignored cross-entropy is 0. Reference:
// nnU-Net's DC_and_CE_loss with MemoryEfficientSoftDiceLoss.
func DiceCE[T Float](s Shape, logits []T, labels []uint8, l Loss[T], sums, out []T) {
	fit("loss", "logits", logits, s.Len())
	fit("loss", "labels", labels, s.N*s.V)
	fit("loss", "sums", sums, SumsLen(s))
	acc, entropy := overlaps(s, logits, labels, l)
	for i, v := range acc {
		sums[i] = T(v)
	}
	if w := acc[len(acc)-1]; w > 0 {
		entropy /= w
	}
	dice, groups := 0.0, diceGroups(s, acc, l.BatchDice)
	for _, g := range groups {
		dice -= g.dice() / float64(len(groups))
	}
	out[0], out[1], out[2] = T(entropy+dice), T(dice), T(entropy)
}

// overlaps returns the sums of DiceCE and the weighted sum of entropies.
func overlaps[T Float](s Shape, logits []T, labels []uint8, l Loss[T]) (acc []float64, entropy float64) {
	acc = make([]float64, SumsLen(s))
	p := make([]float64, s.C)
	for i, label := range labels {
		if int(label) == l.Ignore {
			continue
		}
		n, v := i/s.V, i%s.V
		logSum := softmax(s, logits, n, v, p)
		w := l.weight(label)
		entropy += w * (logSum - float64(logits[(n*s.C+int(label))*s.V+v]))
		acc[len(acc)-1] += w
		for c, pc := range p {
			acc[(n*s.C+c)*3+1] += pc
		}
		acc[(n*s.C+int(label))*3] += p[label]
		acc[(n*s.C+int(label))*3+2]++
	}
	return acc, entropy
}

// DiceCEGrad computes dlogits = factor times d loss/d logits from the sums of
// DiceCE. Shapes as there; dlogits is 0 at ignored voxels.
func DiceCEGrad[T Float](s Shape, logits []T, labels []uint8, l Loss[T], sums []T, factor float64, dlogits []T) {
	fit("loss gradient", "logits", logits, s.Len())
	fit("loss gradient", "labels", labels, s.N*s.V)
	fit("loss gradient", "sums", sums, SumsLen(s))
	fit("loss gradient", "dlogits", dlogits, s.Len())
	acc := make([]float64, len(sums))
	for i, v := range sums {
		acc[i] = float64(v)
	}
	groups := diceGroups(s, acc, l.BatchDice)
	parallel(s.N, func(n int) {
		own := groups
		if !l.BatchDice {
			own = groups[n*(s.C-1):][:s.C-1]
		}
		p, d := make([]float64, s.C), make([]float64, s.C)
		for v := range s.V {
			clear(d)
			if label := labels[n*s.V+v]; int(label) != l.Ignore {
				softmax(s, logits, n, v, p)
				diceSlope(p, own, int(label), 1/float64(len(groups)), d)
				entropySlope(p, int(label), l.weight(label), acc[len(acc)-1], d)
			}
			for c := range s.C {
				dlogits[(n*s.C+c)*s.V+v] = T(factor * d[c])
			}
		}
	})
}

// diceSlope adds the gradient of the Dice term of one voxel by its logits to d:
// that by its probabilities p, taken through softmax.
func diceSlope(p []float64, own []overlap, label int, weight float64, d []float64) {
	mean := 0.0
	for c := 1; c < len(p); c++ {
		mean -= p[c] * weight * own[c-1].slope(c == label)
	}
	d[0] -= p[0] * mean
	for c := 1; c < len(p); c++ {
		d[c] += p[c] * (-weight*own[c-1].slope(c == label) - mean)
	}
}

// entropySlope adds the gradient of cross-entropy of one voxel by its logits to d.
func entropySlope(p []float64, label int, weight, weightSum float64, d []float64) {
	if weightSum == 0 {
		return
	}
	for c := range p {
		d[c] += weight / weightSum * p[c]
	}
	d[label] -= weight / weightSum
}

// softmax fills p with the probabilities of one voxel and returns the logarithm of
// the sum of exponentials.
func softmax[T Float](s Shape, logits []T, n, v int, p []float64) float64 {
	top := math.Inf(-1)
	for c := range p {
		p[c] = float64(logits[(n*s.C+c)*s.V+v])
		top = max(top, p[c])
	}
	sum := 0.0
	for c := range p {
		p[c] = math.Exp(p[c] - top)
		sum += p[c]
	}
	for c := range p {
		p[c] /= sum
	}
	return top + math.Log(sum)
}

// overlap is the soft Dice of one foreground class.
type overlap struct{ intersection, prediction, reference float64 }

func (o overlap) dice() float64 {
	return (2*o.intersection + smooth) / (o.prediction + o.reference + smooth)
}

// slope returns d dice/d p of a voxel that has this class as reference, or has not.
func (o overlap) slope(inside bool) float64 {
	total := o.prediction + o.reference + smooth
	d := -(2*o.intersection + smooth) / (total * total)
	if inside {
		d += 2 / total
	}
	return d
}

// diceGroups gathers sums into the overlaps whose mean is taken: one for every
// foreground class with batch Dice, else one for every (n, foreground class).
func diceGroups(s Shape, sums []float64, batchDice bool) []overlap {
	groups := s.N
	if batchDice {
		groups = 1
	}
	out := make([]overlap, groups*(s.C-1))
	for n := range s.N {
		for c := 1; c < s.C; c++ {
			i := c - 1
			if !batchDice {
				i += n * (s.C - 1)
			}
			t := sums[(n*s.C+c)*3:][:3]
			out[i].intersection += t[0]
			out[i].prediction += t[1]
			out[i].reference += t[2]
		}
	}
	return out
}
