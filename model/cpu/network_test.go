package cpu

import (
	"strings"
	"testing"

	"noisystudent/model/compile"
	"noisystudent/model/optim"
	"noisystudent/model/program"
	"noisystudent/model/random"
	"noisystudent/model/unet"
)

// network is a whole program with inputs, for tests and benchmarks.
type network struct {
	spec  unet.Spec
	patch [3]int
	batch int
}

// small has the features and patch of the command demo, demo is twice as wide, paper is what
// nnU-Net plans for FLARE22 with 16 features.
var (
	small = network{unet.Spec{
		InChannels: 1, Classes: 5, Features: []int{8, 16, 32, 64},
		Kernels:      [][3]int{{3, 3, 3}, {3, 3, 3}, {3, 3, 3}, {3, 3, 3}},
		Strides:      [][3]int{{1, 1, 1}, {2, 2, 2}, {2, 2, 2}, {1, 2, 2}},
		ConvsEncoder: []int{2, 2, 2, 2}, ConvsDecoder: []int{2, 2, 2}, DeepSupervision: true,
	}, [3]int{16, 48, 64}, 1}
	demo = network{unet.Spec{
		InChannels: 1, Classes: 5, Features: []int{16, 32, 64, 64},
		Kernels:      [][3]int{{1, 3, 3}, {3, 3, 3}, {3, 3, 3}, {3, 3, 3}},
		Strides:      [][3]int{{1, 1, 1}, {1, 2, 2}, {2, 2, 2}, {2, 2, 2}},
		ConvsEncoder: []int{2, 2, 2, 2}, ConvsDecoder: []int{2, 2, 2}, DeepSupervision: true,
	}, [3]int{16, 48, 64}, 1}
	paper = network{unet.Spec{
		InChannels: 1, Classes: 14, Features: []int{16, 32, 64, 128, 256, 320},
		Kernels:      [][3]int{{1, 3, 3}, {3, 3, 3}, {3, 3, 3}, {3, 3, 3}, {3, 3, 3}, {3, 3, 3}},
		Strides:      [][3]int{{1, 1, 1}, {1, 2, 2}, {2, 2, 2}, {2, 2, 2}, {2, 2, 2}, {1, 2, 2}},
		ConvsEncoder: []int{2, 2, 2, 2, 2, 2}, ConvsDecoder: []int{2, 2, 2, 2, 2}, DeepSupervision: true,
	}, [3]int{40, 224, 192}, 1}
)

func (n network) withFeatures(f ...int) network {
	k := len(f)
	s := &n.spec
	s.Features, s.Kernels, s.Strides = f, s.Kernels[:k], s.Strides[:k]
	s.ConvsEncoder, s.ConvsDecoder = s.ConvsEncoder[:k], s.ConvsDecoder[:k-1]
	return n
}

// load compiles, places and loads the network with random weights and inputs.
func (n network) load(t testing.TB, d *cpuDevice, train bool, precision program.Precision) *loaded {
	t.Helper()
	var p *program.Program
	var net *compile.Network
	var err error
	if train {
		p, net, err = compile.Train(n.spec, n.batch, n.patch, compile.LossConfig{BatchDice: true, Ignore: -1}, program.SGD, 12)
	} else {
		p, net, err = compile.Infer(n.spec, n.batch, n.patch)
	}
	if err == nil {
		p.Precision = precision
		err = compile.Place(p, d)
	}
	if err != nil {
		t.Fatal(err)
	}
	dl, err := d.Load(p)
	if err != nil {
		t.Fatal(err)
	}
	l := dl.(*loaded)
	s := random.New(3)
	for id, b := range p.Buffers {
		if b.Role != program.Param {
			continue
		}
		v := make([]float32, b.Len())
		for i := range v {
			v[i] = 1
			if !strings.HasSuffix(b.Name, "norm.weight") {
				v[i] = float32(s.Normal()) * 0.1
			}
		}
		must(t, l.Write(program.ID(id), v))
	}
	image := make([]float32, p.Buffers[net.Image].Len())
	labels := make([]uint8, len(image))
	for i := range image {
		image[i] = float32(s.Normal())
		labels[i] = uint8(i / 8 % n.spec.Classes)
	}
	must(t, l.Write(net.Image, image))
	if train {
		must(t, l.WriteLabels(net.Labels, labels))
		must(t, l.Write(net.Seed, []float32{1}))
		must(t, l.Write(net.Hyper, optim.Default(program.SGD).Vector(program.SGD, 1)))
	}
	return l
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
