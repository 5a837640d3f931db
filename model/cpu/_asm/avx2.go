package main

import "strings"

// The set avx2: AVX2 and FMA, two vectors a pixel. AVX-512 uses its kernels of one
// half too.

func avx2() {
	for _, k := range kinds {
		for halves := 1; halves <= 2; halves++ {
			for _, t := range ymmTiles(k, halves) {
				t.write()
			}
		}
	}
	ymmGradients()
	ymmPasses()
	c := newYmmLoss()
	for c.halves = 1; c.halves <= 2; c.halves++ {
		c.loss()
		c.lossGrad()
	}
	vectors{ys, 32, "AVX2"}.updates()
}

func avx2Tables(b *strings.Builder) {
	convTable(b, "convAVX2", func(k convKind) [3][]string {
		return [3][]string{ymmNames(k, 2), nil, ymmNames(k, 1)}
	})
}

func ymmNames(k convKind, halves int) (names []string) {
	for _, t := range ymmTiles(k, halves) {
		names = append(names, t.name())
	}
	return names
}
