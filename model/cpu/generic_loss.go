package cpu

import (
	"math"
	"unsafe"
)

// exp32 is e^x to 2 ulp for x <= 0, 0 below -87 (Cephes expf: reduction by ln 2 in
// two parts, polynomial of degree 5).
func exp32(x float32) float32 {
	if !(x >= -87) {
		if x != x {
			return x
		}
		return 0
	}
	n := float32(x*1.44269504088896341+12582912) - 12582912
	r := x - n*0.693359375
	r -= n * -2.12194440e-4
	p := ((((1.9875691500e-4*r+1.3981999507e-3)*r+8.3334519073e-3)*r+4.1665795894e-2)*r+1.6666665459e-1)*r + 5.0000001201e-1
	return (p*r*r + r + 1) * math.Float32frombits(uint32(int32(n)+127)<<23)
}

// maxClasses is what labels of one byte can tell apart.
const maxClasses = 256

// softmax16 writes the probabilities of voxel v to p (blocks*16 lanes, 0 where
// there is no class) and returns the largest logit and the sum of exponentials.
func softmax16(a *lossArgs, v int, p []float32) (top, sum float32) {
	top = float32(math.Inf(-1))
	for b := range a.blocks {
		x, none := vector(a.logits, b*a.next+v*pixelBytes), vector(a.top, b*pixelBytes)
		for l := range x {
			p[b*lanes+l] = x[l] + none[l]
			top = max(top, p[b*lanes+l])
		}
	}
	for i := range p {
		p[i] = exp32(p[i] - top)
		sum += p[i]
	}
	for i := range p {
		p[i] /= sum
	}
	return top, sum
}

func genericLoss(a *lossArgs) {
	var buffer [maxClasses]float32
	p := buffer[:a.blocks*lanes]
	labels := unsafe.Slice((*uint8)(a.labels), a.n)
	sums := slice(a.sums, a.blocks*4*lanes)
	for v, label := range labels {
		if *f32(a.counts, 4*int(label)) == 0 {
			continue
		}
		top, sum := softmax16(a, v, p)
		block, lane := int(label)/lanes, int(label)%lanes
		for i, x := range p {
			sums[i/lanes*4*lanes+lanes+i%lanes] += x
		}
		at := block*4*lanes + lane
		sums[at] += p[label]
		sums[at+2*lanes]++
		own := *f32(a.logits, block*a.next+v*pixelBytes+4*lane)
		sums[at+3*lanes] += *f32(a.weight, 4*int(label)) * (top + float32(math.Log(float64(sum))) - own)
	}
}

func genericLossGrad(a *lossArgs) {
	var buffer [maxClasses]float32
	p := buffer[:a.blocks*lanes]
	labels := unsafe.Slice((*uint8)(a.labels), a.n)
	slopes, inside := slice(a.a, len(p)), slice(a.b, len(p))
	for v, label := range labels {
		if *f32(a.counts, 4*int(label)) == 0 {
			for b := range a.blocks {
				*vector(a.dlogits, b*a.next+v*pixelBytes) = [lanes]float32{}
			}
			continue
		}
		softmax16(a, v, p)
		mean := p[label] * inside[label]
		for i, x := range p {
			mean += x * slopes[i]
		}
		weight := *f32(a.weight, 4*int(label))
		for i, x := range p {
			d := x * (slopes[i] - mean + weight)
			if i == int(label) {
				d += x*inside[i] - weight
			}
			*f32(a.dlogits, i/lanes*a.next+v*pixelBytes+4*(i%lanes)) = d
		}
	}
}
