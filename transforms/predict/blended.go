package predict

import (
	"context"
	"errors"
	"log/slog"

	"noisystudent/io/volume"
	"noisystudent/model/device"
	"noisystudent/transforms/patch"
)

// Blender is a Network that can blend tiles in its device's memory, so that only
// finished planes leave it.
type Blender interface {
	Network
	Blend(b device.Blend) (device.Blended, error)
}

// blended does for a device what ring does for the host.
type blended struct {
	device.Blended
	size        [3]int // of the padded image
	scores      bool
	labels      []uint8
	probability []float32
	all         []float32 // scores (C, H, W)
}

// onDevice blends in the device's memory where it can and has room, else it returns nil: the
// host's memory for it is admitted with each case, so that a card that is too small costs
// time and not the case. Probabilities of flips would have to be those of their mean, and a model's own labels are not
// known there: they are left to the host.
func onDevice(ctx context.Context, n Network, models int, s Settings, size [3]int) *blended {
	blender, ok := n.(Blender)
	if !ok || s.Votes || s.Temperature != 0 || s.Softmax && s.Mirror != [3]bool{} {
		return nil
	}
	d, err := blender.Blend(device.Blend{Models: models, Size: [2]int{size[1], size[2]}, Weights: patch.Gaussian(s.Patch), Softmax: s.Softmax, Scores: s.Scores})
	if err != nil {
		if !errors.Is(err, errors.ErrUnsupported) {
			slog.WarnContext(ctx, "predict: the host blends the tiles of a case", "reason", err)
		}
		return nil
	}
	b := &blended{Blended: d, size: size, scores: s.Scores, labels: make([]uint8, size[1]*size[2]), probability: make([]float32, size[1]*size[2])}
	if s.Scores {
		b.all = make([]float32, s.Classes*size[1]*size[2])
	}
	return b
}

// plane finishes a plane of the unpadded image.
func (b *blended) plane(z int, shape, before [3]int, f *Finished) error {
	if err := b.Labels(z, b.labels, b.probability); err != nil {
		return err
	}
	f.Labels, f.Probability = inside(b.labels, b.size, shape, before), inside(b.probability, b.size, shape, before)
	if b.scores {
		if err := b.Scores(z, b.all); err != nil {
			return err
		}
		f.Scores = inside(b.all, b.size, shape, before)
	}
	return nil
}

// inside cuts the unpadded image from planes.
func inside[T any](planes []T, size, shape, before [3]int) []T {
	n := len(planes) / (size[1] * size[2])
	box := volume.Box{Lo: [3]int{0, before[1], before[2]}, Hi: [3]int{n, before[1] + shape[1], before[2] + shape[2]}}
	if box.Voxels() == len(planes) {
		return planes
	}
	return volume.Crop(planes, [3]int{n, size[1], size[2]}, box)
}
