package cuda

import (
	"fmt"

	"noisystudent/model/cuda/driver"
	"noisystudent/model/cuda/tuning"
)

// onTensorCores adds the launches of a gather whose source is the channels of all of in,
// and says whether there is a kernel for it. Where phases are more than one, its phase
// is the first of them, out has a voxel for each and weight is that of the first. The
// moments of out are computed where they are not 0.
func (w *lowering) onTensorCores(g gather, in []operand, phases [3]int, moments driver.Pointer) bool {
	t, ok := w.tile(g, in)
	if !ok {
		return false
	}
	chunks := chunksOf(in)
	columns := ceilDiv(g.out.channels, t.Columns()) * t.Columns()
	tiles := t.Grid(g.lattice)
	columnBlocks := volume(phases) * columns / t.Columns()
	blocks := volume(tiles) * g.out.batch * columnBlocks
	splitChunks := chunks
	if volume(phases) == 1 {
		splitChunks = max(tuning.SplitChunks, ceilDiv(chunks, max(1, tuning.Blocks/blocks)))
	}
	splits := ceilDiv(chunks, splitChunks)
	voxels, parts := volume(g.lattice), volume(tiles)
	var partial, ofParts driver.Pointer
	if splits > 1 {
		partial = w.temp(int64(4 * splits * g.out.batch * voxels * columns))
		parts = ceilDiv(voxels, 64)
	}
	if moments != 0 {
		ofParts = w.temp(int64(4 * 3 * g.out.batch * parts * columns))
	}
	w.launch("conv_mma", t.Defines(g.taps, g.stride), "tiled",
		[3]int{tiles[2] * columnBlocks, tiles[1], tiles[0] * g.out.batch * splits}, [3]int{t.Threads(), 1, 1}, t.Shared(g.taps, g.stride, min(chunks, 2)*tuning.StageBytes),
		append(viewArgs(in), w.packed(g, in, phases, t, columns), g.bias, g.out.at, ofParts, partial, truth(g.accumulate),
			int32(g.out.channels), int32(g.taps[0]), int32(g.stride[0]), int32(chunks), int32(splitChunks),
			int32(columnBlocks), inverse(columnBlocks), inverse(tiles[0]), int32(g.out.batch), inverse(g.out.batch),
			triple(in[0].grid), triple(g.out.grid), triple(g.lattice), triple(g.step), triple(phases), triple(g.phase), triple(g.first), triple(tiles))...)
	if splits > 1 {
		w.launch("conv_sum", "", "splits", [3]int{parts, ceilDiv(columns, 32), g.out.batch}, [3]int{32, 8, 1}, 0,
			partial, g.bias, g.out.at, ofParts, int32(splits), truth(g.accumulate), int32(g.out.channels), int32(columns),
			triple(g.out.grid), triple(g.lattice), triple(g.step), triple(g.phase))
	}
	w.mergeMoments(ofParts, moments, parts, columns, g.out)
	return true
}

// firstOnTensorCores is onTensorCores for the convolution of one channel.
func (w *lowering) firstOnTensorCores(g gather, moments driver.Pointer) bool {
	x, out := g.source, g.out
	if w.l.store.bytes != 2 || x.channels > 1 {
		return false
	}
	t, ok := w.lookUp(g)
	if !ok {
		return false
	}
	asChannels := gather{source: operand{channels: volume(g.taps)}, out: out, weight: kernelView{at: g.weight.at, stepIn: 1, stepOut: g.weight.stepOut}, taps: one}
	columns := ceilDiv(out.channels, t.Columns()) * t.Columns()
	columnBlocks := columns / t.Columns()
	tiles := t.Grid(out.grid)
	var ofParts driver.Pointer
	if moments != 0 {
		ofParts = w.temp(int64(4 * 3 * out.batch * volume(tiles) * columns))
	}
	w.launch("conv_first", t.Defines(g.taps, g.stride), "first", [3]int{tiles[2] * columnBlocks, tiles[1], tiles[0] * out.batch}, [3]int{t.Threads(), 1, 1},
		t.Shared(g.taps, g.stride, int(w.l.store.bytes)), x.at, x.norm, x.slope, w.packed(asChannels, []operand{asChannels.source}, one, t, columns), g.bias, out.at,
		ofParts, int32(out.channels), int32(g.taps[0]), int32(g.stride[0]), int32(columnBlocks), inverse(columnBlocks), inverse(tiles[0]), int32(out.batch), inverse(out.batch),
		triple(x.grid), triple(out.grid), triple(g.first), triple(tiles))
	w.mergeMoments(ofParts, moments, volume(tiles), columns, out)
	return true
}

// tile chooses how a gather is shared out.
func (w *lowering) tile(g gather, in []operand) (tuning.Tile, bool) {
	if w.l.store.bytes != 2 || len(in) > 3 || volume(g.taps) == 0 || volume(g.lattice) == 0 {
		return tuning.Tile{}, false
	}
	for _, x := range in {
		if x.channels == 1 {
			return tuning.Tile{}, false
		}
	}
	return w.lookUp(g)
}

// lookUp finds a tile in the table and notes that it was asked for.
func (w *lowering) lookUp(g gather) (tuning.Tile, bool) {
	t, ok := tuning.Conv(g.taps, g.stride, g.out.channels, g.lattice)
	if ok && w.measuring {
		w.asked = append(w.asked, asked[tuning.Rule]{tuning.Rule{Kernel: g.taps, Stride: g.stride, Channels: g.out.channels, Width: g.lattice[2], Tile: t}, []int{len(w.until)}})
	}
	return t, ok
}

// viewArgs are three views with, from the second on, the number of its first chunk.
func viewArgs(in []operand) (list []any) {
	for i := range 3 {
		x := operand{}
		if i < len(in) {
			x = in[i]
		}
		if i > 0 {
			list = append(list, int32(chunksOf(in[:min(i, len(in))])))
		}
		list = append(list, x.at, x.norm, x.slope, int32(x.channels))
	}
	return list
}

// chunksOf counts the chunks of 16 channels, each of one view.
func chunksOf(in []operand) (n int) {
	for _, x := range in {
		n += ceilDiv(x.channels, 16)
	}
	return n
}

// inverse is what conv_mma.cu divides by d with; 0 says that d is 1.
func inverse(d int) uint32 { return uint32((1<<32 + int64(d) - 1) / int64(d)) }

// packed keeps weights in the order of conv_pack.cu.
func (w *lowering) packed(g gather, in []operand, phases [3]int, t tuning.Tile, columns int) driver.Pointer {
	chunks := chunksOf(in)
	size := int64(2 * columns * chunks * 16 * volume(g.taps))
	at := w.keep(size * int64(volume(phases)))
	steps, i := tapSteps(phases), 0
	for phase := range eachVoxel(phases) {
		weight := g.weight.at + driver.Pointer(4*(phase[0]*steps[0]+phase[1]*steps[1]+phase[2]*steps[2]))
		first := 0
		for _, x := range in {
			own := ceilDiv(x.channels, 16)
			w.onWeights("conv_pack", fmt.Sprintf("TILES=%d", t.Tiles), "pack", stridedBlocks(int64(columns*own*16*volume(g.taps))), threads256, 0,
				weight, at+driver.Pointer(int64(i)*size), int32(x.channels), int32(g.out.channels), int32(columns), int32(first), int32(chunks),
				int32(g.weight.stepIn), int32(g.weight.stepOut), triple(g.taps), triple(g.weight.stepTaps))
			weight += driver.Pointer(4 * x.channels * g.weight.stepIn)
			first += own
		}
		i++
	}
	return at
}

func ceilDiv(a, b int) int { return (a + b - 1) / b }
