package cuda

import (
	"fmt"

	"noisystudent/model/cuda/driver"
	"noisystudent/model/program"
)

// channelwise is how kernels that treat each channel by itself share an activation out
// among threads; see kernels/channels.cuh.
type channelwise struct {
	batch, channels, voxels int
	width                   int // adjacent channels of a thread
	grid, block             [3]int
}

func (w *lowering) channelwise(id program.ID) channelwise {
	const threads, mostAcross, enough, voxelsEach = 256, 8, 1024, 8
	s := w.shape(id)
	c := channelwise{batch: s[0], channels: s[1], voxels: s[2] * s[3] * s[4], width: 8}
	if c.channels == 1 {
		c.width = 1
	}
	owners := stride(c.channels) / c.width
	across := min(owners, mostAcross)
	c.block = [3]int{across, threads / across, 1}
	groups := ceilDiv(owners, across)
	chunks := min(c.voxels/(c.block[1]*voxelsEach), enough/(groups*c.batch))
	c.grid = [3]int{max(chunks, 1), groups, c.batch}
	return c
}

func (c channelwise) defines() string { return fmt.Sprintf("WIDTH=%d", c.width) }

func (c channelwise) stride() int32 { return int32(stride(c.channels)) }

// partial is memory for n numbers of each channel and chunk of voxels.
func (w *lowering) partial(c channelwise, n int) driver.Pointer {
	return w.temp(4 * int64(c.batch*c.grid[0]*n*stride(c.channels)))
}

func (w *lowering) moments(in program.Moments) {
	c := w.channelwise(in.In)
	partial := w.partial(c, 3)
	w.launch("norm", c.defines(), "moments", c.grid, c.block, 0, w.at(in.In), partial, int32(c.voxels), c.stride())
	w.mergeMoments(partial, w.at(in.Out), c.grid[0], stride(c.channels), w.stored(in.In))
}

// mergeMoments adds the second stage of moments, where they are wanted: out's, of parts
// (N, parts, 3, columns) that an earlier launch leaves. Many parts are made few first.
func (w *lowering) mergeMoments(ofParts, moments driver.Pointer, parts, columns int, out operand) {
	if moments == 0 {
		return
	}
	join := func(from, to driver.Pointer, groups int, pairs bool) {
		w.launch("moments", "", "join", [3]int{ceilDiv(out.channels, 32), out.batch, groups}, [3]int{32, 16, 1}, 0,
			from, to, int32(parts), int32(out.channels), int32(columns), truth(pairs))
	}
	const few = 64
	if groups := min(ceilDiv(parts, few), few); groups > 2 {
		fewer := w.temp(int64(4 * 3 * out.batch * groups * columns))
		join(ofParts, fewer, groups, false)
		ofParts, parts = fewer, groups
	}
	join(ofParts, moments, 1, true)
}

func (w *lowering) normScale(in program.NormScale) {
	pairs, channels := w.l.p.Buffers[in.Out].Len()/2, w.l.p.Buffers[in.Gamma].Len()
	w.launch("norm", "WIDTH=8", "norm_scale", stridedBlocks(int64(pairs)), threads256, 0,
		w.at(in.Moments), w.at(in.Gamma), w.at(in.Beta), w.at(in.Out), in.Eps, int32(pairs), int32(channels))
}

func (w *lowering) normAct(in program.NormAct) {
	c := w.channelwise(in.Out)
	w.launch("norm", c.defines(), "norm_act", c.grid, c.block, 0,
		w.at(in.In.Buf), w.optional(in.In.Norm), w.at(in.Out), in.In.Slope, int32(c.voxels), int32(c.channels), c.stride())
}

func (w *lowering) normGrad(in program.NormGrad) {
	c := w.channelwise(in.Raw)
	partial, means := w.partial(c, 2), w.temp(4*int64(c.batch*2*stride(c.channels)))
	raw, moments, norm, dout := w.at(in.Raw), w.at(in.Moments), w.at(in.Norm), w.at(in.DOut)
	w.launch("norm", c.defines(), "norm_grad_sums", c.grid, c.block, 0,
		raw, moments, norm, dout, partial, in.Slope, in.Eps, int32(c.voxels), int32(c.channels), c.stride())
	w.launch("norm", c.defines(), "norm_grad_means", [3]int{ceilDiv(c.channels, 32), 1, 1}, [3]int{32, 32, 1}, 0,
		partial, means, w.at(in.DGamma), w.at(in.DBeta), int32(c.batch), int32(c.grid[0]), int32(c.voxels), int32(c.channels), c.stride())
	w.launch("norm", c.defines(), "norm_grad", c.grid, c.block, 0,
		raw, moments, norm, w.at(in.Gamma), means, dout, w.at(in.DIn), in.Slope, in.Eps, int32(c.voxels), int32(c.channels), c.stride())
}

// concat copies the channels of its inputs, the last with the padding behind it.
func (w *lowering) concat(in program.Concat) {
	out, first := w.shape(in.Out), 0
	voxels := out[2] * out[3] * out[4]
	for i, v := range in.In {
		channels := w.shape(v.Buf)[1]
		width := channels
		if i == len(in.In)-1 {
			width = stride(out[1]) - first
		}
		w.each("elementwise", "copy_channels", int64(out[0]*voxels*width), w.at(v.Buf), w.optional(v.Norm), v.Slope, w.at(in.Out),
			int32(out[0]), int32(voxels), int32(channels), int32(stride(channels)), int32(width), int32(first), int32(stride(out[1])))
		first += channels
	}
}

func (w *lowering) labelsNearest(in program.LabelsNearest) {
	from, to := w.shape(in.In), w.shape(in.Out)
	w.each("elementwise", "labels_nearest", int64(w.l.p.Buffers[in.Out].Len()), w.at(in.In), w.at(in.Out),
		int32(to[0]), int32(from[1]), int32(from[2]), int32(from[3]), int32(to[1]), int32(to[2]), int32(to[3]))
}

func (w *lowering) add(in program.Add) {
	b := w.l.p.Buffers[in.Out]
	if b.Class != program.Activation {
		n := int64(b.Len())
		w.each("elementwise", "add_vectors", n, w.at(in.A), w.at(in.B), w.at(in.Out), n)
		return
	}
	s := b.Shape
	n := int64(s[0]*s[2]*s[3]*s[4]) * int64(stride(s[1]))
	w.each("elementwise", "add", (n+7)/8, w.at(in.A), w.at(in.B), w.at(in.Out), n)
}
