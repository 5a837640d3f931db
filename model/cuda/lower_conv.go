package cuda

import (
	"noisystudent/model/cuda/driver"
	"noisystudent/model/program"
)

func (w *lowering) conv(in program.Conv) {
	kernel, out := w.shape(in.Weight), w.stored(in.Out)
	taps := [3]int(kernel[2:])
	bias := w.optional(in.Bias)
	var partial driver.Pointer
	if len(in.In) > 1 {
		partial = w.temp(int64(4 * out.batch * volume(out.grid) * stride(out.channels)))
	}
	first := 0
	for i, v := range in.In {
		x := w.seen(v)
		weight := w.plainWeights(kernelView{
			at: w.at(in.Weight) + driver.Pointer(4*first*volume(taps)), stepIn: volume(taps), stepOut: kernel[1] * volume(taps), stepTaps: tapSteps(taps),
		}, taps, x.channels, out.channels)
		w.each("conv_direct", "conv", int64(out.batch*volume(out.grid)*stride(out.channels)),
			x.at, x.norm, x.slope, weight, bias, partial, truth(i > 0), truth(i == len(in.In)-1), out.at,
			int32(out.batch), int32(x.channels), int32(out.channels), triple(x.grid), triple(out.grid), triple(taps), triple(in.Stride), triple(padding(taps)))
		first += x.channels
	}
	if in.Moments != program.None {
		w.moments(program.Moments{In: in.Out, Out: in.Moments})
	}
}

func (w *lowering) convTransposed(in program.ConvTransposed) {
	w.upsample(w.seen(in.In), w.stored(in.Out), in.Weight, in.Bias)
}

// upsample computes the transposed convolution of x, one phase of out's grid after another.
func (w *lowering) upsample(x, out operand, weight, bias program.ID) {
	taps := [3]int(w.shape(weight)[2:])
	for phase := range eachVoxel(taps) {
		g := gather{
			source: x, out: out, bias: w.optional(bias), lattice: x.grid, step: taps, phase: phase,
			weight: kernelView{at: w.at(weight), stepIn: out.channels * volume(taps), stepOut: volume(taps)},
			taps:   [3]int{1, 1, 1}, stride: [3]int{1, 1, 1},
		}
		for a, step := range tapSteps(taps) {
			g.weight.at += driver.Pointer(4 * phase[a] * step)
		}
		w.gather(g)
	}
}

// seen is a view as an operand. An upsampled view is computed into temporary memory.
func (w *lowering) seen(v program.View) operand {
	x := w.stored(v.Buf)
	if v.Norm != program.None {
		x.norm, x.slope = w.at(v.Norm), v.Slope
	}
	if v.Up == nil {
		return x
	}
	shape := program.Upsampled(w.shape(v.Buf), w.shape(v.Up.Weight))
	up := operand{batch: shape[0], channels: shape[1], grid: [3]int(shape[2:])}
	up.at = w.temp(int64(up.batch*volume(up.grid)*stride(up.channels)) * w.l.store.bytes)
	w.upsample(x, up, v.Up.Weight, v.Up.Bias)
	return up
}

// plainWeights keeps a weight as (taps, cin, cout) float32.
func (w *lowering) plainWeights(weight kernelView, taps [3]int, cin, cout int) driver.Pointer {
	n := volume(taps) * cin * cout
	packed := w.keep(int64(4 * n))
	w.onWeights("grad_pack", "", "plain", stridedBlocks(int64(n)), threads256, 0, weight.at, packed, int32(cin), int32(cout),
		int32(weight.stepIn), int32(weight.stepOut), triple(taps), triple(weight.stepTaps))
	return packed
}

// optional is where a buffer is, or 0 for None.
func (w *lowering) optional(id program.ID) driver.Pointer {
	if id == program.None {
		return 0
	}
	return w.at(id)
}
