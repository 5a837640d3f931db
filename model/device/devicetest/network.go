package devicetest

import (
	"errors"
	"maps"
	"math"
	"slices"
	"testing"

	"noisystudent/model/compile"
	"noisystudent/model/device"
	"noisystudent/model/optim"
	"noisystudent/model/program"
	"noisystudent/model/random"
	"noisystudent/model/unet"
)

// networkTolerance is for values that went through a whole network and back, and
// networkFloor the largest value that it is relative to at the least: the gradient
// of a bias before a norm is 0 but for rounding. A voxel that rounding takes to the
// other slope of leaky ReLU changes gradients of these small grids by up to a
// hundredth, so that data are taken which keep bendDistance from the bend.
const (
	networkTolerance = 2e-4
	bendDistance     = 1e-5
	networkFloor     = 1e-2
)

// networkCase is a network with its loss and optimiser.
type networkCase struct {
	name  string
	spec  unet.Spec
	patch [3]int
	batch int
	loss  compile.LossConfig
	rule  program.Rule
	clip  float32
	seed  uint64 // of data that keep off the bend
}

func networkCases() []networkCase {
	spec := func(features []int, kernels, strides [][3]int, classes int, deep bool) unet.Spec {
		convs := slices.Repeat([]int{2}, len(features))
		return unet.Spec{
			InChannels: 1, Classes: classes, Features: features, Kernels: kernels, Strides: strides,
			ConvsEncoder: convs, ConvsDecoder: convs[1:], DeepSupervision: deep,
		}
	}
	flat, cube, one := [3]int{1, 3, 3}, [3]int{3, 3, 3}, [3]int{1, 1, 1}
	plane, half := [3]int{1, 2, 2}, [3]int{2, 2, 2}
	three := spec([]int{3, 7, 17}, [][3]int{flat, cube, cube}, [][3]int{one, plane, half}, 5, true)
	four := spec([]int{16, 17, 32, 20}, [][3]int{flat, flat, cube, cube}, [][3]int{one, plane, plane, half}, 14, true)
	two := spec([]int{8, 16}, [][3]int{cube, cube}, [][3]int{one, {2, 1, 2}}, 2, false)
	return []networkCase{
		{"three stages", three, [3]int{4, 12, 20}, 2, compile.LossConfig{BatchDice: true, Ignore: -1}, program.SGD, 12, 0},
		{"four stages, clipped", four, [3]int{2, 16, 24}, 2, compile.LossConfig{BatchDice: true, Ignore: 14}, program.SGD, 0.1, 3},
		{"two stages, adamw", two, [3]int{6, 5, 14}, 1, compile.LossConfig{Ignore: -1, ClassWeights: []float32{0.5, 2}}, program.AdamW, 12, 0},
	}
}

// networks checks whole programs as package compile places them, where buffers
// share memory: two training steps with all gradients and parameters, and logits.
func networks(t *testing.T, open func() device.Device, tolerance float64) {
	for k, c := range networkCases() {
		if testing.Short() && k == 1 { // the largest
			continue
		}
		t.Run("training/"+c.name, func(t *testing.T) {
			p, net, err := compile.Train(c.spec, c.batch, c.patch, c.loss, c.rule, c.clip)
			if err != nil {
				t.Fatal(err)
			}
			for seed := c.seed; ; seed++ {
				b := c.steps(p, net, seed)
				if want := b.reference(t); b.bend > bendDistance {
					b.compareNetwork(t, open, want, tolerance)
					return
				}
			}
		})
	}
	inferences(t, open, tolerance)
}

// inferences checks the logits of whole networks.
func inferences(t *testing.T, open func() device.Device, tolerance float64) {
	for k, c := range networkCases() {
		if testing.Short() && k == 1 { // the largest
			continue
		}
		t.Run("inference/"+c.name, func(t *testing.T) {
			p, net, err := compile.Infer(c.spec, c.batch, c.patch)
			if err != nil {
				t.Fatal(err)
			}
			b := c.problem(p, net, 0)
			b.wanted = net.Logits[:1]
			b.compareNetwork(t, open, b.reference(t), tolerance)
		})
	}
}

// sameSteps checks that devices give the same bytes in two training steps of the smallest network.
func sameSteps(t *testing.T, opens []func() device.Device) {
	c := networkCases()[2]
	p, net, err := compile.Train(c.spec, c.batch, c.patch, c.loss, c.rule, c.clip)
	if err != nil {
		t.Fatal(err)
	}
	var first [][][]float32
	for i, open := range opens {
		got := c.steps(p, net, c.seed).networkResults(t, open)
		if first == nil {
			first = got
		}
		for run := range got {
			if err := sameBytes(got[run], first[run]); err != nil {
				t.Errorf("training/%s: device %d, step %d: %v", c.name, i, run, err)
			}
		}
	}
}

// steps is two training steps with all gradients, parameters and what the optimiser keeps.
func (c networkCase) steps(p *program.Program, net *compile.Network, seed uint64) *problem {
	b := c.problem(p, net, seed)
	for _, ids := range []map[string]program.ID{net.Grads, net.Params, net.State} {
		b.wanted = append(b.wanted, slices.Sorted(maps.Values(ids))...)
	}
	b.wanted = append(b.wanted, net.Loss, net.Norm)
	b.runs = 2
	return b
}

// problem gives every input and parameter its values.
func (c networkCase) problem(p *program.Program, net *compile.Network, seed uint64) *problem {
	b := newProblem(22, seed)
	b.Program = *p
	for _, q := range unet.Params(c.spec) {
		id, ok := net.Params[q.Name]
		if !ok {
			continue
		}
		v, s := make([]float32, q.Len()), random.New(23, random.Key(q.Name))
		for i := range v {
			v[i] = q.Value + float32(0.1*s.Normal())
			if q.Fan > 0 {
				v[i] = float32(q.SD() * s.Normal())
			}
		}
		b.values[id] = v
	}
	b.values[net.Image] = b.draw(net.Image)
	if net.Labels == program.None {
		return b
	}
	b.values[net.Seed] = []float32{1}
	hyper := optim.Default(c.rule)
	hyper.Eps = 0.01 // else AdamW turns the rounding of a gradient that is 0 into a whole step
	b.values[net.Hyper] = hyper.Vector(c.rule, 1)
	if net.ClassWeights != program.None {
		b.values[net.ClassWeights] = c.loss.ClassWeights
	}
	b.labels[net.Labels] = b.drawLabels(net.Labels, max(c.spec.Classes, c.loss.Ignore+1))
	return b
}

// compareNetwork is compare for a program that package compile places.
func (b *problem) compareNetwork(t *testing.T, open func() device.Device, want [][][]float32, tolerance float64) {
	t.Helper()
	for run, got := range b.networkResults(t, open) {
		for i, id := range b.wanted {
			if err := near(got[i], want[run][i], tolerance, networkFloor); err != nil {
				t.Errorf("run %d: %s: %v", run, b.Buffers[id].Name, err)
			}
		}
	}
}

// networkResults is results for a program that package compile places.
func (b *problem) networkResults(t *testing.T, open func() device.Device) (runs [][][]float32) {
	t.Helper()
	d := open()
	defer closing(t, d)
	p := clone(&b.Program)
	if err := compile.Place(p, d); err != nil {
		t.Fatal(err)
	}
	l, err := d.Load(p)
	if err != nil {
		t.Fatal(err)
	}
	defer closing(t, l)
	for run := range b.runs {
		b.write(t, l, run == 0)
		if err := l.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		runs = append(runs, b.read(t, l))
	}
	return runs
}

// bendOf returns how near to 0 a value comes that a NormGrad of the program has
// passed through leaky ReLU. The program is not placed, so that all its buffers are
// still there after a run.
func bendOf(t *testing.T, p *program.Program, l device.Loaded) float64 {
	t.Helper()
	nearest := math.Inf(1)
	for _, in := range p.Instrs {
		i, ok := in.(program.NormGrad)
		if !ok {
			continue
		}
		raw, norm := make([]float32, p.Buffers[i.Raw].Len()), make([]float32, p.Buffers[i.Norm].Len())
		if err := errors.Join(l.Read(i.Raw, raw), l.Read(i.Norm, norm)); err != nil {
			t.Fatal(err)
		}
		voxels := len(raw) / (len(norm) / 2)
		for k, x := range raw {
			scale, shift := float64(norm[k/voxels*2]), float64(norm[k/voxels*2+1])
			nearest = min(nearest, math.Abs(scale*float64(x)+shift))
		}
	}
	return nearest
}
