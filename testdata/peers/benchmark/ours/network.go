package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"noisystudent/io/safetensors"
	"noisystudent/model/engine"
	"noisystudent/model/optim"
	"noisystudent/model/program"
	"noisystudent/model/random"
	"noisystudent/model/unet"
)

const classes = 14

// The first stages of the network that nnU-Net plans for FLARE22.
var (
	kernels = [][3]int{{1, 3, 3}, {3, 3, 3}, {3, 3, 3}, {3, 3, 3}, {3, 3, 3}, {3, 3, 3}}
	strides = [][3]int{{1, 1, 1}, {1, 2, 2}, {2, 2, 2}, {2, 2, 2}, {2, 2, 2}, {1, 2, 2}}
	twice   = []int{2, 2, 2, 2, 2, 2}
)

func (t task) spec() (unet.Spec, error) {
	n := len(t.Features)
	if n < 2 || n > len(strides) {
		return unet.Spec{}, fmt.Errorf("%d stages, need 2 to %d", n, len(strides))
	}
	return unet.Spec{
		InChannels: 1, Classes: classes, Features: t.Features, Kernels: kernels[:n], Strides: strides[:n],
		ConvsEncoder: twice[:n], ConvsDecoder: twice[:n-1], DeepSupervision: true,
	}, nil
}

func (t task) precision() (program.Precision, error) {
	p, ok := map[string]program.Precision{"exact": program.Exact, "fp32": program.Float32, "bf16": program.Half}[t.Precision]
	if !ok {
		return 0, fmt.Errorf("precision %q: have exact, fp32 and bf16", t.Precision)
	}
	return p, nil
}

func (t task) voxels() int { return t.Batch * t.Patch[0] * t.Patch[1] * t.Patch[2] }

// image is normal noise: convolutions do not care.
func (t task) image() []float32 {
	s, v := random.New(1), make([]float32, t.voxels())
	for i := range v {
		v[i] = float32(s.NormalAt(uint64(i)))
	}
	return v
}

// open opens the processor with the task's threads, network and precision.
func (t task) open() (*engine.Engine, unet.Spec, program.Precision, error) {
	spec, err := t.spec()
	if err != nil {
		return nil, spec, 0, err
	}
	precision, err := t.precision()
	if err != nil {
		return nil, spec, 0, err
	}
	e, err := engine.Open(engine.Options{Device: "cpu", Threads: t.Threads})
	return e, spec, precision, err
}

// forward is a forward pass from an image to its logits, both (N, C, D, H, W), or for
// a network at random to planes of them.
func forward(t task) (func() error, error) {
	e, spec, precision, err := t.open()
	if err != nil {
		return nil, err
	}
	weights, image, err := t.model(spec)
	if err != nil {
		return nil, err
	}
	p, err := e.NewPredictor(engine.PredictConfig{Spec: spec, Patch: t.Patch, Batch: t.Batch, Precision: precision}, weights)
	if err != nil {
		return nil, err
	}
	if t.Folder == "" {
		return func() error { return t.tile(p, image) }, nil
	}
	logits := make([]float32, classes*t.voxels())
	return func() error {
		if err := p.Logits(context.Background(), image, logits); err != nil {
			return err
		}
		return t.save(logits)
	}, nil
}

// tile computes logits and reads them as prediction does, plane by plane.
func (t task) tile(p *engine.Predictor, image []float32) error {
	if err := p.Forward(context.Background(), image); err != nil {
		return err
	}
	plane := make([]float32, classes*t.Patch[1]*t.Patch[2])
	for d := range t.Batch * t.Patch[0] {
		if err := p.Plane(d, plane); err != nil {
			return err
		}
	}
	return nil
}

// model is the network of the folder, or one at random.
func (t task) model(spec unet.Spec) (map[string]engine.Tensor, []float32, error) {
	if t.Folder == "" {
		return initial(spec), t.image(), nil
	}
	data, err := os.ReadFile(filepath.Join(t.Folder, "network.safetensors"))
	if err != nil {
		return nil, nil, err
	}
	file, err := safetensors.Decode(data)
	if err != nil {
		return nil, nil, err
	}
	weights := map[string]engine.Tensor{}
	for name, v := range file.Tensors {
		weights[name] = engine.Tensor(v)
	}
	image := weights["image"].Data
	delete(weights, "image")
	return weights, image, nil
}

func (t task) save(logits []float32) error {
	shape := []int{t.Batch, classes, t.Patch[0], t.Patch[1], t.Patch[2]}
	data, err := safetensors.Encode(&safetensors.File{Tensors: map[string]safetensors.Tensor{"logits": {Shape: shape, Data: logits}}})
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(t.Folder, "logits.safetensors"), data, 0o644)
}

// initial draws weights as a new training does.
func initial(spec unet.Spec) map[string]engine.Tensor {
	weights, s := map[string]engine.Tensor{}, random.New(2)
	for _, p := range unet.Params(spec) {
		data, own := make([]float32, p.Len()), s.Child(random.Key(p.Name))
		for i := range data {
			data[i] = p.Value
			if p.Fan > 0 {
				data[i] = float32(p.SD() * own.NormalAt(uint64(i)))
			}
		}
		weights[p.Name] = engine.Tensor{Shape: p.Shape, Data: data}
	}
	return weights
}

// step is a whole training step: forward, loss, backward, clip and update.
func step(t task) (func() error, error) {
	e, spec, precision, err := t.open()
	if err != nil {
		return nil, err
	}
	trainer, err := e.NewTrainer(engine.TrainConfig{
		Spec: spec, Patch: t.Patch, Batch: t.Batch, BatchDice: true, Ignore: -1,
		Rule: program.SGD, Hyper: optim.Default(program.SGD), ClipNorm: 12, Precision: precision,
	})
	if err != nil {
		return nil, err
	}
	if err := trainer.Init(random.New(2)); err != nil {
		return nil, err
	}
	image, labels := t.image(), make([]uint8, t.voxels())
	for i := range labels {
		labels[i] = uint8(random.New(3).At(uint64(i)) % classes)
	}
	return func() error {
		r, err := trainer.Step(context.Background(), image, labels, 0.01)
		if err == nil && r.Skipped {
			err = fmt.Errorf("the gradient is not finite: %+v", r)
		}
		return err
	}, nil
}
