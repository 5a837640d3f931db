// Package check holds the CUDA device to the CPU and to PyTorch on a card. Its test
// binary is what the script model/cuda/gpucheck carries to a machine that need have
// neither Go nor network: each test is a section of the check.
//
// Without a card the same sections run on the emulator, with tiny networks and a peer
// that only sleeps: that shows that a check would run, and its numbers mean nothing.
package check

import (
	"slices"

	"noisystudent/model/compile"
	"noisystudent/model/device"
	"noisystudent/model/engine"
	"noisystudent/model/optim"
	"noisystudent/model/program"
	"noisystudent/model/random"
	"noisystudent/model/unet"
)

// Case is work that is timed: a training step of a batch or an inference tile, in half
// precision.
type Case struct {
	Name  string
	Train bool
	Batch int
	Spec  unet.Spec
	Patch [3]int
}

// Cases are those of a card, the most important first: nnU-Net's plan of FLARE22, from
// which the paper's network differs by having 16 features instead of 32 in its first stage.
func Cases() []Case {
	small, large := spec(16, 32, 64, 128, 256, 320), spec(32, 64, 128, 256, 320, 320)
	patch := [3]int{40, 224, 192}
	return []Case{
		{"train-b2-f16", true, 2, small, patch},
		{"tile-f16", false, 1, small, patch},
		{"train-b2-f32", true, 2, large, patch},
		{"tile-f32", false, 1, large, patch},
		{"train-b4-f16", true, 4, small, patch},
		{"train-b4-f32", true, 4, large, patch},
		{"tile-b2-f16", false, 2, small, patch},
		{"tile-b4-f16", false, 4, small, patch},
		{"tile-b2-f32", false, 2, large, patch},
		{"tile-b4-f32", false, 4, large, patch},
	}
}

// Tiny are cases for the emulator.
func Tiny() []Case {
	patch := [3]int{2, 8, 8}
	return []Case{{"train-b2-tiny", true, 2, spec(3, 4, 5), patch}, {"tile-tiny", false, 1, spec(3, 4, 5), patch}}
}

func spec(features ...int) unet.Spec {
	n := len(features)
	kernels := append([][3]int{{1, 3, 3}}, slices.Repeat([][3]int{{3, 3, 3}}, n-1)...)
	strides := append([][3]int{{1, 1, 1}, {1, 2, 2}}, slices.Repeat([][3]int{{2, 2, 2}}, n-2)...)
	if n == 6 {
		strides[5] = [3]int{1, 2, 2}
	}
	convs := slices.Repeat([]int{2}, n)
	return unet.Spec{
		InChannels: 1, Classes: 14, Features: features, Kernels: kernels, Strides: strides,
		ConvsEncoder: convs, ConvsDecoder: convs[1:], DeepSupervision: true,
	}
}

// data draws images and labels of a step; the labels can be learned from the images.
func data(patch [3]int, batch, classes int, step uint64) ([]float32, []uint8) {
	s := random.New(3, step)
	n := batch * patch[0] * patch[1] * patch[2]
	images, labels := make([]float32, n), make([]uint8, n)
	for i := range images {
		v := s.Normal()
		images[i] = float32(v)
		labels[i] = uint8(min(max(2*v+float64(classes)/2, 0), float64(classes-1)))
	}
	return images, labels
}

// trainConfig is the paper's training of a case.
func (c Case) trainConfig(p program.Precision) engine.TrainConfig {
	return engine.TrainConfig{
		Spec: c.Spec, Patch: c.Patch, Batch: c.Batch, BatchDice: true, Ignore: -1,
		Rule: program.SGD, Hyper: optim.Default(program.SGD), ClipNorm: 12, Precision: p,
	}
}

// program is what a card runs for a case, placed for it.
func (c Case) program(d device.Device, p program.Precision) (placed *program.Program, names *compile.Network, err error) {
	if c.Train {
		placed, names, err = compile.Train(c.Spec, c.Batch, c.Patch, compile.LossConfig{BatchDice: true, Ignore: -1}, program.SGD, 12)
	} else {
		placed, names, err = compile.Infer(c.Spec, c.Batch, c.Patch)
	}
	if err != nil {
		return nil, nil, err
	}
	placed.Precision = p
	return placed, names, compile.Place(placed, d)
}
