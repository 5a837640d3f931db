//go:build linux

package cpu

import (
	"slices"
	"testing"
	"time"
	"unsafe"
)

// peak measures what one thread can do at most with a table's kernels, in float32
// FLOP a nanosecond: the largest tiles of three taps on a row and weights that stay
// in the first-level cache. Those tiles are next to nothing but multiplications: on
// the machines tried they come within 3 % of a loop of FMA instructions alone.
func peak(kernels *convKernels) (best float64) {
	for ov := 1; ov <= 2; ov++ {
		if len(kernels[wide1][ov-1]) > 0 {
			best = max(best, tileRate(kernels, ov))
		}
	}
	return best
}

func tileRate(kernels *convKernels, ov int) float64 {
	const entries, repeats, tries = 8, 10, 301
	px := len(kernels[wide1][ov-1]) - 1
	run := kernels[wide1][ov-1][px]
	in, w, out := aligned((px+2)*lanes), aligned(ov*3*lanes*lanes), aligned(ov*px*lanes)
	list := make([]entry, entries)
	for i := range list {
		list[i].channels = lanes
	}
	a := convArgs{
		in: unsafe.Pointer(&in[0]), w: unsafe.Pointer(&w[0]), out: unsafe.Pointer(&out[0]), list: &list[0], n: entries,
		wNext: 3 * lanes * pixelBytes, wStep: 3 * pixelBytes, outNext: px * pixelBytes, outStep: pixelBytes, add: 1,
	}
	took := make([]time.Duration, tries) // short, so that most are not interrupted
	for i := range took {
		begin := cpuTime()
		for range repeats {
			run(&a)
		}
		took[i] = cpuTime() - begin
	}
	slices.Sort(took)
	return float64(2*3*px*ov*lanes*lanes*entries*repeats) / float64(took[tries/2])
}

// BenchmarkPeak prints each table's peak, and what it does of bfloat16 factors, whose
// kernels take a pair of channels a step and may be slower than float32's.
func BenchmarkPeak(b *testing.B) {
	for _, t := range tables() {
		b.Run(t.name, func(b *testing.B) { reportPeak(b, &t.conv, 1) })
	}
	if half := bf16Table(); half != nil {
		b.Run("bf16", func(b *testing.B) { reportPeak(b, &half.conv, 2) })
	}
}

func reportPeak(b *testing.B, kernels *convKernels, channels float64) {
	var rates []float64
	for b.Loop() {
		rates = append(rates, channels*peak(kernels))
	}
	slices.Sort(rates)
	b.ReportMetric(rates[len(rates)/2], "GFLOP/s")
}
