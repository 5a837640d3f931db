package cuda

import (
	"noisystudent/model/cuda/driver"
	"noisystudent/model/program"
)

// Convolutions and what is like them, gathers, run
//   - on tensor cores (conv_mma.cu) where activations are stored in 16 bits and have more
//     than one channel: up to three views, any kernel and stride, transposed convolutions
//     as one product with all phases, data gradients phase by phase;
//   - on tensor cores with taps as channels (conv_first.cu) where the input is one channel;
//   - else by their definition (conv_direct.cu, grad_direct.cu): all of float32, one
//     channel beside others, a fourth view.

var one = [3]int{1, 1, 1}

func (w *lowering) conv(in program.Conv) {
	kernel, out := w.shape(in.Weight), w.stored(in.Out)
	taps := [3]int(kernel[2:])
	var views []operand
	for _, v := range in.In {
		views = append(views, w.seen(v))
	}
	g := gather{
		source: views[0], out: out, bias: w.optional(in.Bias), lattice: out.grid, step: one, taps: taps, stride: in.Stride,
		weight: kernelView{at: w.at(in.Weight), stepIn: volume(taps), stepOut: kernel[1] * volume(taps), stepTaps: tapSteps(taps)},
	}
	for a, pad := range padding(taps) {
		g.first[a] = -pad
	}
	moments := w.optional(in.Moments)
	if w.onTensorCores(g, views, one, moments) || len(views) == 1 && w.firstOnTensorCores(g, moments) {
		return
	}
	w.convDirect(g, views)
	if in.Moments != program.None {
		w.moments(program.Moments{In: in.Out, Out: in.Moments})
	}
}

// convDirect computes a gather whose source is the channels of all of in.
func (w *lowering) convDirect(g gather, in []operand) {
	var partial driver.Pointer
	if len(in) > 1 {
		partial = w.temp(int64(4 * g.out.batch * volume(g.out.grid) * stride(g.out.channels)))
	}
	weight := g.weight
	for i, x := range in {
		w.each("conv_direct", "conv", int64(g.out.batch*volume(g.out.grid)*stride(g.out.channels)),
			x.at, x.norm, x.slope, w.plainWeights(weight, g.taps, x.channels, g.out.channels), g.bias, partial, truth(i > 0), truth(i == len(in)-1), g.out.at,
			int32(g.out.batch), int32(x.channels), int32(g.out.channels), triple(x.grid), triple(g.out.grid), triple(g.taps), triple(g.stride), triple(g.first))
		weight.at += driver.Pointer(4 * x.channels * weight.stepIn)
	}
}

func (w *lowering) convTransposed(in program.ConvTransposed) {
	w.upsample(w.seen(in.In), w.stored(in.Out), in.Weight, in.Bias)
}

// upsample computes the transposed convolution of x. Each phase of out's grid is a
// convolution of its own.
func (w *lowering) upsample(x, out operand, weight, bias program.ID) {
	taps := [3]int(w.shape(weight)[2:])
	g := gather{
		source: x, out: out, bias: w.optional(bias), lattice: x.grid, step: taps, taps: one, stride: one,
		weight: kernelView{at: w.at(weight), stepIn: out.channels * volume(taps), stepOut: volume(taps)},
	}
	if w.onTensorCores(g, []operand{x}, taps, 0) {
		return
	}
	for g.phase = range eachVoxel(taps) {
		each := g
		for a, step := range tapSteps(taps) {
			each.weight.at += driver.Pointer(4 * g.phase[a] * step)
		}
		w.gather(each)
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
