package plan

import (
	"math"

	"noisystudent/model/unet"
)

// minFeatureMap is the shortest edge that pooling may leave, in voxels.
const minFeatureMap = 4

// topology is where a network pools and how wide its kernels are.
type topology struct {
	patch   [3]int // the wanted patch, padded to what the strides divide
	strides [][3]int
	kernels [][3]int
}

// divisor returns what the strides divide a patch by.
func (t topology) divisor() [3]int { return unet.Spec{Strides: t.strides}.Divisor() }

// pool derives the topology from spacing and wanted patch, as nnU-Net's
// get_pool_and_conv_props: an axis is pooled while it keeps minFeatureMap voxels
// and its spacing is less than twice the finest; its kernel is 1 until then. The
// wanted patch may have halves (it comes from a median shape).
func pool(spacing, wanted [3]float64) topology {
	t := topology{strides: [][3]int{{1, 1, 1}}}
	kernel := [3]int{1, 1, 1}
	size := wanted
	for {
		axes := poolable(spacing, size)
		if axes == [3]bool{} {
			break
		}
		finest := min(spacing[0], spacing[1], spacing[2])
		for a := range 3 {
			if spacing[a]/finest < 2 {
				kernel[a] = 3
			}
		}
		stride := [3]int{1, 1, 1}
		for a := range 3 {
			if axes[a] {
				stride[a] = 2
				spacing[a] *= 2
				size[a] = math.Ceil(size[a] / 2)
			}
		}
		t.strides = append(t.strides, stride)
		t.kernels = append(t.kernels, kernel)
	}
	t.kernels = append(t.kernels, [3]int{3, 3, 3}) // the bottleneck's, whatever the spacing
	divisor := t.divisor()
	for a := range 3 {
		d := float64(divisor[a])
		t.patch[a] = int(math.Ceil(wanted[a]/d) * d)
	}
	return t
}

// poolable marks the axes that the next stage halves.
func poolable(spacing, size [3]float64) (axes [3]bool) {
	finest := math.Inf(1)
	for a := range 3 {
		if size[a] >= 2*minFeatureMap {
			finest = min(finest, spacing[a])
		}
	}
	n, last := 0, 0
	for a := range 3 {
		if size[a] >= 2*minFeatureMap && spacing[a]/finest < 2 {
			axes[a] = true
			n, last = n+1, a
		}
	}
	if n == 1 && size[last] < 3*minFeatureMap { // one axis alone must have more to give
		return [3]bool{}
	}
	return axes
}

// featureMapVoxels counts the values that all convolutions of a U-Net write for
// one patch, which nnU-Net takes as the measure of GPU memory
// (compute_conv_feature_map_size, without deep supervision).
func featureMapVoxels(s unet.Spec, patch [3]int) int64 {
	var total int64
	size := patch
	sizes := make([]int64, s.Stages()) // voxels of each stage
	for i := range sizes {
		sizes[i] = 1
		for a := range 3 {
			size[a] /= s.Strides[i][a]
			sizes[i] *= int64(size[a])
		}
		total += int64(s.ConvsEncoder[i]) * int64(s.Features[i]) * sizes[i]
	}
	for i := range s.ConvsDecoder {
		// its convolutions and the transposed one before them
		total += int64(s.ConvsDecoder[i]+1) * int64(s.Features[i]) * sizes[i]
	}
	return total + int64(s.Classes)*sizes[0]
}
