package cuda

import (
	"fmt"
	"math"
	"slices"

	"noisystudent/model/cuda/driver"
	"noisystudent/model/program"
)

// team is how many lanes share the channels of a voxel; see kernels/voxel.cuh.
func team(channels int) int {
	lanes := 1
	for 8*lanes < channels {
		lanes *= 2
	}
	return lanes
}

var threads128 = [3]int{128, 1, 1}

// lossGrid is how the kernels of the loss share voxels out among threads: chunks of an
// image, and the images.
func (w *lowering) lossGrid(logits program.ID) (grid [3]int, voxels, classes int) {
	const blocks, voxelsEach = 1024, 4
	s := w.shape(logits)
	voxels, classes = s[2]*s[3]*s[4], s[1]
	if most := math.MaxUint8 + 1; classes > most {
		w.err = fmt.Errorf("%d classes, labels are of at most %d", classes, most)
	}
	chunks := max(1, min(voxels*team(classes)/(threads128[0]*voxelsEach), blocks/s[0]))
	return [3]int{chunks, s[0], 1}, voxels, classes
}

func (w *lowering) diceCE(in program.DiceCE) {
	grid, voxels, classes := w.lossGrid(in.Logits)
	lanes := team(classes)
	partial := w.temp(4 * int64(grid[0]*grid[1]*(24*lanes+2)))
	w.launch("loss", "", "dice_ce_sums", grid, threads128, 0,
		w.at(in.Logits), w.at(in.Labels), w.optional(in.ClassWeights), partial, int32(in.Ignore), int32(voxels), int32(classes), int32(stride(classes)), int32(lanes))
	w.launch("loss", "", "dice_ce", [3]int{1, 1, 1}, [3]int{512, 1, 1}, 0,
		partial, w.at(in.Sums), w.at(in.Out), truth(in.BatchDice), int32(grid[1]), int32(grid[0]), int32(classes), int32(lanes))
}

func (w *lowering) diceCEGrad(in program.DiceCEGrad) {
	grid, voxels, classes := w.lossGrid(in.Logits)
	w.launch("loss", "", "dice_ce_grad", grid, threads128, 0,
		w.at(in.Logits), w.at(in.Labels), w.optional(in.ClassWeights), w.at(in.Sums), w.at(in.Seed), w.at(in.DLogits),
		in.Weight, int32(in.Ignore), truth(in.BatchDice), int32(grid[1]), int32(voxels), int32(classes), int32(stride(classes)), int32(team(classes)))
}

// weightedSum adds four terms a launch.
func (w *lowering) weightedSum(in program.WeightedSum) {
	const atOnce = 4
	n := w.l.p.Buffers[in.Out].Len()
	first := 0
	for terms := range slices.Chunk(in.Terms, atOnce) {
		var args []any
		for i := range atOnce {
			if i < len(terms) {
				args = append(args, w.at(terms[i]), in.Weights[first+i])
			} else {
				args = append(args, driver.Pointer(0), float32(0))
			}
		}
		w.each("update", "weighted_sum", int64(n), append(args, w.at(in.Out), truth(first == 0), int32(n))...)
		first += len(terms)
	}
}
