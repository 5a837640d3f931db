package plan

import (
	"fmt"
	"math"

	"noisystudent/model/unet"
)

// nnU-Net's reference for an 8 GB GPU: the feature map voxels of a network with
// planFeatures features that trains with planBatch patches of one step.
const (
	memoryReference = 560_000_000
	planFeatures    = 32
	planBatch       = 2    // also the smallest batch
	maxFeatures     = 320  // of a stage
	maxDatasetPart  = 0.05 // of the dataset's voxels that one batch may hold
	lowresPart      = 0.25 // a patch below this part of the median shape asks for a coarser network
	lowresStep      = 1.03
)

// fitPatch finds the largest patch whose network trains within the memory
// reference: it begins with 256^3 voxels of isotropic extent, no larger than the
// median shape, and shortens the axis that covers most of the median. outputs
// counts the network's classes.
func fitPatch(spacing, median [3]float64, outputs int) (topology, string) {
	inverse := [3]float64{1 / spacing[0], 1 / spacing[1], 1 / spacing[2]}
	scale := math.Pow(256*256*256/product(inverse), 1.0/3)
	var wanted [3]float64
	for a := range 3 {
		wanted[a] = min(math.RoundToEven(inverse[a]*scale), median[a])
	}
	t := pool(spacing, wanted)
	steps := 0
	for ; memoryEstimate(t, outputs) > memoryReference; steps++ {
		t = shorten(spacing, median, t)
	}
	return t, fmt.Sprintf("%gx%gx%g, an isotropic cut of 256^3 voxels within the median shape, shortened %d times until a network of %d features fits nnU-Net's 8 GB reference",
		wanted[0], wanted[1], wanted[2], steps, planFeatures)
}

// fitBatch is how many patches fit the memory reference, at most maxDatasetPart
// of the dataset and at least planBatch.
func fitBatch(t topology, outputs int, datasetVoxels float64) int {
	fits := math.RoundToEven(memoryReference / float64(memoryEstimate(t, outputs)) * planBatch)
	part := math.RoundToEven(datasetVoxels * maxDatasetPart / product(floats(t.patch)))
	return int(max(min(fits, part), planBatch))
}

func memoryEstimate(t topology, outputs int) int64 {
	return featureMapVoxels(t.spec(planFeatures, maxFeatures, outputs), t.patch)
}

// shorten takes the smallest possible step off the axis that is largest in
// relation to the median shape (the last of equal ones). The step is what the
// strides of the already shortened patch divide by, so that no size is skipped:
// 224 follows 256 although 256 would allow steps of 64 only.
func shorten(spacing, median [3]float64, t topology) topology {
	axis := 0
	for a := range 3 {
		if float64(t.patch[a])/median[a] >= float64(t.patch[axis])/median[axis] {
			axis = a
		}
	}
	shorter := floats(t.patch)
	shorter[axis] -= float64(t.divisor()[axis])
	step := pool(spacing, shorter).divisor()[axis]
	wanted := floats(t.patch)
	wanted[axis] -= float64(step)
	return pool(spacing, wanted)
}

// spec gives the network of a topology: features double from base per stage up to
// limit, two convolutions a stage on both sides.
func (t topology) spec(base, limit, classes int) unet.Spec {
	s := unet.Spec{InChannels: 1, Classes: classes, Kernels: t.kernels, Strides: t.strides, DeepSupervision: true}
	for i := range t.strides {
		s.Features = append(s.Features, min(limit, base<<i))
		s.ConvsEncoder = append(s.ConvsEncoder, 2)
	}
	s.ConvsDecoder = append([]int{}, s.ConvsEncoder[1:]...)
	return s
}

// wantsLowres tells whether nnU-Net would also plan its 3d_lowres network: the
// patch covers too little of the median shape, and a coarser one at least halves
// it. nnU-Net switches batch Dice on exactly then.
func wantsLowres(patch [3]int, spacing, median [3]float64, outputs int) bool {
	covered, voxels := product(floats(patch)), product(median)
	coarse := spacing
	for covered/voxels < lowresPart {
		coarse = coarsen(coarse)
		var size, rounded [3]float64
		for a := range 3 {
			size[a] = spacing[a] / coarse[a] * median[a]
			rounded[a] = math.RoundToEven(size[a])
		}
		voxels = product(size)
		t, _ := fitPatch(coarse, rounded, outputs)
		covered = product(floats(t.patch))
	}
	return product(median)/voxels >= 2
}

// coarsen enlarges the axes that are more than twice finer than the coarsest, or
// all of them once there is none.
func coarsen(spacing [3]float64) [3]float64 {
	coarsest := max(spacing[0], spacing[1], spacing[2])
	finer := func(s float64) bool { return coarsest/s > 2 }
	all := !finer(spacing[0]) && !finer(spacing[1]) && !finer(spacing[2])
	for a := range 3 {
		if all || finer(spacing[a]) {
			spacing[a] *= lowresStep
		}
	}
	return spacing
}
