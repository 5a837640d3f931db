// Package fittest makes a data set that is small enough for tests of training and
// prediction: scans of 12x16x14 voxels with three organs, and a plan whose network
// of three stages trains an epoch in milliseconds on every device.
//
// Everything is drawn from counters: the bytes are the same wherever it is made.
package fittest

import (
	"bytes"
	"fmt"
	"path/filepath"
	"sync/atomic"
	"testing"

	"noisystudent/io/nifti"
	"noisystudent/io/safetensors"
	"noisystudent/io/store"
	"noisystudent/io/volume"
	"noisystudent/model/random"
	"noisystudent/model/unet"
	"noisystudent/transforms/cases"
	"noisystudent/transforms/manifest"
	"noisystudent/transforms/plan"
	"noisystudent/transforms/resample"
)

// Plan returns the plan: spacing 3x1.5x1.5 mm, patch 8x8x8, batch 2, three steps an
// epoch, SGD, exact products, and inference as the paper does it.
func Plan() plan.Plan {
	return plan.Plan{
		Format: plan.FormatVersion, DatasetName: "tiny", Preset: plan.Demo, Orientation: "ras", Ignore: -1,
		Labels:  []cases.Label{{ID: 1, Name: "liver"}, {ID: 2, Name: "right_kidney"}, {ID: 3, Name: "left_kidney"}},
		Spacing: [3]float64{3, 1.5, 1.5}, MedianShape: [3]float64{12, 16, 14},
		PatchSize: [3]int{8, 8, 8}, BatchSize: 2, BatchDice: true,
		Intensity: plan.Intensity{Mean: 60, SD: 80, P005: -150, P995: 250},
		Network: unet.Spec{
			InChannels: 1, Classes: 4, Features: []int{2, 3, 4}, DeepSupervision: true,
			Kernels:      [][3]int{{1, 3, 3}, {3, 3, 3}, {3, 3, 3}},
			Strides:      [][3]int{{1, 1, 1}, {1, 2, 2}, {2, 2, 2}},
			ConvsEncoder: []int{2, 2, 2}, ConvsDecoder: []int{2, 2},
		},
		Training: plan.Training{
			Folds: 2, StepsPerEpoch: 3, TeacherEpochs: 3, StudentEpochs: 3, FinetuneEpochs: 2,
			Optimizer: "sgd", LearningRate: 0.01, FinetuneRate: 0.01, PolyExponent: 0.9, Momentum: 0.99,
			WeightDecay: 3e-5, ClipNorm: 12, ForegroundPart: 0.33, LabelledPart: 0.25,
			TeacherAugment: "teacher", StudentAugment: "student", Mirror: "laterality", Precision: plan.Exact,
		},
		Inference: plan.Inference{StepSize: 0.5, Blend: "logits", Export: "labels", Mirror: "none", Precision: plan.Exact},
		Seed:      7,
	}
}

// Scan returns scan k and its labels: a body in air, two empty planes at one end, a
// liver and two kidneys that lie a little elsewhere in each scan. Its spacing is the
// plan's times scale.
func Scan(k int, scale float64) (*volume.Volume, *volume.Labels) {
	g := volume.Geometry{
		Shape: [3]int{12, 16, 14}, Spacing: [3]float64{3 * scale, 1.5 * scale, 1.5 * scale}, Origin: [3]float64{-10, -12, 40},
		Direction: [3][3]float64{{0, 0, 1}, {0, 1, 0}, {1, 0, 0}},
	}
	image := &volume.Volume{Geometry: g, Data: make([]float32, g.Voxels())}
	labels := &volume.Labels{Geometry: g, Data: make([]uint8, g.Voxels())}
	noise := random.New(42, uint64(k))
	shift := noise.IntN(3) - 1
	organs := [][5]int{{1, 5, 6 + shift, 9, 4}, {2, 6, 11, 4 + shift, 2}, {3, 6, 11 - shift, 10, 2}} // label, z, y, x, radius
	for i := range image.Data {
		z, y, x := i/(16*14), i/14%16, i%14
		if z >= 10 {
			continue
		}
		hu := -80 + 20*noise.NormalAt(uint64(i))
		for _, o := range organs {
			dz, dy, dx := z-o[1], y-o[2], x-o[3]
			if dz*dz+dy*dy+dx*dx <= o[4]*o[4] {
				labels.Data[i] = uint8(o[0])
				hu += 100 + 60*float64(o[0])
			}
		}
		image.Data[i] = float32(hu)
	}
	return image, labels
}

var opened atomic.Int64

// Open returns a new store in memory.
func Open(t testing.TB) *store.Store {
	t.Helper()
	st, err := store.Open(t.Context(), fmt.Sprintf("mem://tiny-%d", opened.Add(1)))
	if err != nil {
		t.Fatal(err)
	}
	return st
}

// Prepare stores scan k as preprocessing would, with its labels if it is labelled.
func Prepare(t testing.TB, st *store.Store, p plan.Plan, id string, k int, labelled bool) (prefix, digest string) {
	t.Helper()
	image, labels := Scan(k, 1)
	if !labelled {
		labels = nil
	}
	c, err := resample.Case(t.Context(), image, labels, nifti.NewFrame(image.Geometry), p)
	prefix = resample.Prefix(p, id)
	if err == nil {
		err = resample.Write(t.Context(), st, prefix, c)
	}
	if err != nil {
		t.Fatal(err)
	}
	return prefix, manifest.Digest("tiny", k, labelled)
}

// Weights stores weights of the plan's network, drawn from a seed.
func Weights(t testing.TB, st *store.Store, p plan.Plan, key string, seed uint64) {
	t.Helper()
	f := &safetensors.File{Tensors: map[string]safetensors.Tensor{}}
	for _, param := range unet.Params(p.Network) {
		data, s := make([]float32, param.Len()), random.New(seed, random.Key(param.Name))
		for i := range data {
			data[i] = param.Value
			if param.Fan > 0 {
				data[i] = float32(param.SD() * s.Normal())
			}
		}
		f.Tensors[param.Name] = safetensors.Tensor{Shape: param.Shape, Data: data}
	}
	data, err := safetensors.Encode(f)
	if err == nil {
		err = st.Write(t.Context(), key, data)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// File writes scan k as NIfTI and returns its case.
func File(t testing.TB, folder, id string, k int, scale float64) cases.Case {
	t.Helper()
	image, _ := Scan(k, scale)
	var data bytes.Buffer
	err := nifti.WriteVolume(&data, image, nifti.NewFrame(image.Geometry), nifti.Float32)
	if err != nil {
		t.Fatal(err)
	}
	name := id + "_0000.nii.gz"
	st, err := store.Open(t.Context(), folder)
	if err == nil {
		err = st.Write(t.Context(), name, data.Bytes())
	}
	if err != nil {
		t.Fatal(err)
	}
	return cases.Case{ID: id, Set: cases.Test, Image: filepath.Join(folder, name)}
}
