package cuda

import (
	"noisystudent/model/cuda/driver"
	"noisystudent/model/program"
)

// Gradients of convolutions are of two kinds: gathers (by data) and products (by weight).

func (w *lowering) convWeightGrad(in program.ConvWeightGrad) {
	kernel, dout := w.shape(in.DWeight), w.stored(in.DOut)
	at := w.at(in.DWeight)
	taps := [3]int(kernel[2:])
	dbias := w.optional(in.DBias)
	for _, v := range in.In {
		x := w.seen(v)
		w.products(products{
			a: dout, b: x, taps: taps, stride: in.Stride, pad: padding(taps),
			dweight: at, rowLength: kernel[1], dbias: dbias,
		})
		at += driver.Pointer(4 * x.channels * volume(taps))
		dbias = 0
	}
}

func (w *lowering) convTransposedWeightGrad(in program.ConvTransposedWeightGrad) {
	kernel := w.shape(in.DWeight)
	taps := [3]int(kernel[2:])
	w.products(products{
		a: w.seen(in.In), b: w.stored(in.DOut), taps: taps, stride: taps,
		dweight: w.at(in.DWeight), rowLength: kernel[1], dbias: w.optional(in.DBias), biasOfB: true,
	})
}

func (w *lowering) convDataGrad(in program.ConvDataGrad) {
	kernel, dout := w.shape(in.Weight), w.stored(in.DOut)
	taps := [3]int(kernel[2:])
	first := 0
	for i, id := range in.DIn {
		if id != program.None {
			weight := kernelView{at: w.at(in.Weight) + driver.Pointer(4*first*volume(taps)), stepIn: kernel[1] * volume(taps), stepOut: volume(taps)}
			for phase := range eachVoxel(in.Stride) {
				w.gather(dataGrad(dout, w.stored(id), weight, taps, in.Stride, phase, in.Accumulate[i]))
			}
		}
		first += in.Channels[i]
	}
}

// dataGrad is the gradient by the input voxels of one phase of the stride. Along an axis
// the input at q*stride + phase was multiplied by tap k for output o where
// o*stride + k - pad = q*stride + phase; the taps that it has an output for are every
// stride-th, and their outputs, from the last of these taps back, follow one another.
func dataGrad(dout, din operand, weight kernelView, taps, stride, phase [3]int, accumulate bool) gather {
	g := gather{source: dout, out: din, weight: weight, step: stride, phase: phase, stride: [3]int{1, 1, 1}, accumulate: accumulate}
	tapStep := tapSteps(taps)
	for a, pad := range padding(taps) {
		g.lattice[a] = (din.grid[a] - phase[a] + stride[a] - 1) / stride[a]
		last := taps[a] - 1
		for last >= 0 && (phase[a]+pad-last)%stride[a] != 0 {
			last--
		}
		g.taps[a] = (last + stride[a]) / stride[a] // none if last is -1
		g.first[a] = (phase[a] + pad - last) / stride[a]
		g.weight.at += driver.Pointer(4 * max(last, 0) * tapStep[a])
		g.weight.stepTaps[a] = -stride[a] * tapStep[a]
	}
	return g
}

func (w *lowering) convTransposedDataGrad(in program.ConvTransposedDataGrad) {
	kernel, din := w.shape(in.Weight), w.stored(in.DIn)
	taps := [3]int(kernel[2:])
	w.gather(gather{
		source: w.stored(in.DOut), out: din, accumulate: in.Accumulate,
		weight:  kernelView{at: w.at(in.Weight), stepIn: volume(taps), stepOut: kernel[1] * volume(taps), stepTaps: tapSteps(taps)},
		lattice: din.grid, step: [3]int{1, 1, 1}, taps: taps, stride: taps,
	})
}
