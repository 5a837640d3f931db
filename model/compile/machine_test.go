package compile

import (
	"context"
	"math"
	"testing"

	"noisystudent/io/iotest"
	"noisystudent/model/program"
	"noisystudent/model/ref"
)

func wide(data []float32) []float64 {
	out := make([]float64, len(data))
	for i, v := range data {
		out[i] = float64(v)
	}
	return out
}

func bytesOf(data []float32) []uint8 {
	out := make([]uint8, len(data))
	for i, v := range data {
		out[i] = uint8(v)
	}
	return out
}

// near compares with tolerance times the largest magnitude of want. The floor is
// for what is zero but for rounding: gradients of a bias before an instance norm.
func near(t *testing.T, what string, got, want []float64, tolerance float64) {
	t.Helper()
	const floor = 1e-7
	if len(got) != len(want) {
		t.Fatalf("%s: %d elements, want %d", what, len(got), len(want))
	}
	scale := 0.0
	for _, v := range want {
		scale = max(scale, math.Abs(v))
	}
	for i := range got {
		if !(math.Abs(got[i]-want[i]) <= tolerance*scale+floor) {
			t.Errorf("%s: element %d is %g, want %g (largest %g)", what, i, got[i], want[i], scale)
			return
		}
	}
}

// ownLabels makes the labels of the second output an input, as the fixtures have
// them: they are drawn, not shrunk.
func ownLabels(p *program.Program) program.ID {
	for t, in := range p.Instrs {
		if l, ok := in.(program.LabelsNearest); ok {
			p.Instrs = append(append([]program.Instr(nil), p.Instrs[:t]...), p.Instrs[t+1:]...)
			p.Buffers[l.Out].Role = program.Input
			return l.Out
		}
	}
	return program.None
}

// machine is a placed program in the reference device's memory.
type machine struct {
	t  *testing.T
	p  *program.Program
	at interface {
		Write(program.ID, []float32) error
		WriteLabels(program.ID, []uint8) error
		Read(program.ID, []float32) error
		Run(context.Context) error
	}
}

func load(t *testing.T, p *program.Program) machine {
	t.Helper()
	if err := Place(p, ref.New()); err != nil {
		t.Fatal(err)
	}
	at, err := ref.New().Load(p)
	if err != nil {
		t.Fatal(err)
	}
	return machine{t, p, at}
}

func (m machine) write(id program.ID, data ...float32) {
	m.t.Helper()
	if err := m.at.Write(id, data); err != nil {
		m.t.Fatal(err)
	}
}

func (m machine) labels(id program.ID, data []uint8) {
	m.t.Helper()
	if err := m.at.WriteLabels(id, data); err != nil {
		m.t.Fatal(err)
	}
}

func (m machine) read(id program.ID) []float64 {
	m.t.Helper()
	data := make([]float32, m.p.Buffers[id].Len())
	if err := m.at.Read(id, data); err != nil {
		m.t.Fatal(err)
	}
	return wide(data)
}

func (m machine) run() {
	m.t.Helper()
	if err := m.at.Run(context.Background()); err != nil {
		m.t.Fatal(err)
	}
}

// loadTiny loads a training program of the tiny network with the fixtures' weights
// and batch; seed is the loss scale.
func loadTiny(t *testing.T, p *program.Program, n *Network, seed float32) machine {
	t.Helper()
	second := ownLabels(p)
	m, forward := load(t, p), iotest.Tensors(t, "testdata/tiny_forward.safetensors")
	for name, a := range iotest.Tensors(t, "testdata/tiny_weights.safetensors") {
		m.write(n.Params[name], a.Data...)
	}
	m.write(n.Image, forward["x"].Data...)
	m.labels(n.Labels, bytesOf(forward["y0"].Data))
	m.labels(second, bytesOf(forward["y1"].Data))
	m.write(n.Seed, seed)
	m.write(n.Hyper, 0.01, 0.99, 3e-5)
	return m
}
