package patch

import "math"

// Gaussian returns the weight of each voxel of a tile when tiles are blended: a
// Gaussian about voxel tile/2 with sigma tile/8 per axis, 10 at the centre, in
// float32 (nnU-Net's compute_gaussian with value_scaling_factor 10).
func Gaussian(tile [3]int) []float32 {
	var line [3][]float64
	for a, n := range tile {
		line[a] = make([]float64, n)
		sigma := float64(n) / 8
		for i := range line[a] {
			d := float64(i - n/2)
			line[a][i] = math.Exp(-0.5 * d * d / (sigma * sigma))
		}
	}
	weights := make([]float32, 0, tile[0]*tile[1]*tile[2])
	for _, z := range line[0] {
		for _, y := range line[1] {
			for _, x := range line[2] {
				weights = append(weights, float32(z*y*x*10))
			}
		}
	}
	return weights
}

// Gaussian16 returns Gaussian rounded to float16, where what became zero is
// replaced by the smallest weight that did not: the map that nnU-Net's predictor
// itself blends with.
func Gaussian16(tile [3]int) []float32 {
	weights := Gaussian(tile)
	least := float32(math.Inf(1))
	for i, v := range weights {
		weights[i] = half(v)
		if weights[i] > 0 {
			least = min(least, weights[i])
		}
	}
	for i, v := range weights {
		if v == 0 {
			weights[i] = least
		}
	}
	return weights
}

// half rounds a value in [0, 65504) to the nearest float16, ties to even.
func half(v float32) float32 {
	const leastNormal = 1.0 / (1 << 14)
	if v < leastNormal {
		const ulp = 1.0 / (1 << 24)
		return float32(math.RoundToEven(float64(v)/ulp) * ulp)
	}
	b := math.Float32bits(v)
	return math.Float32frombits((b + 0xfff + b>>13&1) &^ 0x1fff)
}
