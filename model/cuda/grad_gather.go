package cuda

import (
	"iter"

	"noisystudent/model/cuda/driver"
	"noisystudent/model/program"
)

// operand is an activation as the kernels of gradients read or write it.
type operand struct {
	at, norm        driver.Pointer // norm is 0 but for a view
	slope           float32
	batch, channels int
	grid            [3]int
}

func (w *lowering) stored(id program.ID) operand {
	s := w.shape(id)
	return operand{at: w.at(id), batch: s[0], channels: s[1], grid: [3]int(s[2:])}
}

// kernelView is a weight as gather reads it: where the first tap of the first channels
// is, and the steps to the next channel read, the next channel written and the next tap.
type kernelView struct {
	at              driver.Pointer
	stepIn, stepOut int
	stepTaps        [3]int
}

// gather is a convolution onto a lattice of voxels: for each q in lattice
//
//	out[q*step + phase] = bias + sum over t in taps of source[q*stride + first + t] * weight[t]
//
// where source is 0 outside of its grid; accumulate adds to what out holds.
type gather struct {
	source, out          operand
	weight               kernelView
	bias                 driver.Pointer // or 0
	lattice, step, phase [3]int
	taps, stride, first  [3]int
	accumulate           bool
}

func (w *lowering) gather(g gather) {
	if volume(g.lattice) == 0 || g.accumulate && volume(g.taps) == 0 {
		return
	}
	if w.onTensorCores(g, []operand{g.source}, one, 0) {
		return
	}
	cin, cout := g.source.channels, g.out.channels
	weights := volume(g.taps) * cin * cout
	packed := w.keep(int64(4 * weights))
	w.onWeights("grad_pack", "", "plain", stridedBlocks(int64(weights)), threads256, 0, g.weight.at, packed, int32(cin), int32(cout),
		int32(g.weight.stepIn), int32(g.weight.stepOut), triple(g.taps), triple(g.weight.stepTaps))
	w.each("grad_direct", "gather", int64(g.out.batch*volume(g.lattice)*stride(cout)), append([]any{
		g.source.at, g.source.norm, g.source.slope, packed, g.bias, g.out.at, truth(g.accumulate), int32(g.out.batch), int32(cin), int32(cout),
	},
		g.geometry()...)...)
}

// geometry is what kernels are told about the grids.
func (g gather) geometry() (list []any) {
	for _, t := range [][3]int{g.lattice, g.step, g.phase, g.out.grid, g.source.grid, g.taps, g.stride, g.first} {
		list = append(list, triple(t))
	}
	return list
}

// triple packs three numbers of 20 bits, with sign, into one argument.
func triple(t [3]int) int64 {
	const mask = 1<<20 - 1
	return int64(t[0]&mask | t[1]&mask<<20 | t[2]&mask<<40)
}

func truth(b bool) int32 {
	if b {
		return 1
	}
	return 0
}

func volume(t [3]int) int { return t[0] * t[1] * t[2] }

func padding(taps [3]int) [3]int { return [3]int{taps[0] / 2, taps[1] / 2, taps[2] / 2} }

// tapSteps are the steps along the axes of a (KD, KH, KW) array.
func tapSteps(taps [3]int) [3]int { return [3]int{taps[1] * taps[2], taps[2], 1} }

// eachVoxel visits the places of a small grid.
func eachVoxel(grid [3]int) iter.Seq[[3]int] {
	return func(yield func([3]int) bool) {
		for i := range volume(grid) {
			if !yield([3]int{i / (grid[1] * grid[2]), i / grid[2] % grid[1], i % grid[2]}) {
				return
			}
		}
	}
}

var threads256 = [3]int{256, 1, 1}

func stridedBlocks(n int64) [3]int { return [3]int{int(max(1, min((n+255)/256, 4096))), 1, 1} }
