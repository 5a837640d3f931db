package main

import "strings"

// The set avx2: AVX2 and FMA, two vectors a pixel.

const avx2Registers = 16

func avx2() {
	for _, k := range kinds {
		for _, t := range ymmTiles(k, 2, avx2Registers, "AVX2") {
			t.write()
		}
		for _, t := range ymmTiles(k, 1, avx2Registers, "AVX2") {
			t.write()
		}
	}
	for _, g := range []ymmGrad{{taps: 3, halves: 2, channels: 2}, {taps: 3, halves: 1, channels: 4}, {taps: 1, halves: 2, channels: 4}, {taps: 1, halves: 1, channels: 8}} {
		g.registers, g.suffix = avx2Registers, "AVX2"
		g.write()
	}
	ymmPasses()
	c := newYmmLoss()
	c.loss()
	c.lossGrad()
	vectors{ys[:avx2Registers], 32, "AVX2"}.updates()
}

// ymmTiles lists the tiles of a kind and width by pixels.
func ymmTiles(k convKind, halves, registers int, suffix string) (list []ymmTile) {
	for px := 1; px <= ymmPixels(halves, registers); px++ {
		list = append(list, ymmTile{k, halves, px, registers, suffix})
	}
	return list
}

func avx2Tables(b *strings.Builder) {
	convTable(b, "convAVX2", func(k convKind) [3][]string {
		return [3][]string{ymmNames(k, 2, avx2Registers, "AVX2"), nil, ymmNames(k, 1, avx2Registers, "AVX2")}
	})
}

func ymmNames(k convKind, halves, registers int, suffix string) (names []string) {
	for _, t := range ymmTiles(k, halves, registers, suffix) {
		names = append(names, t.name())
	}
	return names
}
