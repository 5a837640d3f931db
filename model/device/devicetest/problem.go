package devicetest

import (
	"fmt"
	"math"
	"testing"

	"noisystudent/model/device"
	"noisystudent/model/program"
	"noisystudent/model/random"
	"noisystudent/model/ref"
)

// problem is a program under construction together with the data of its inputs
// and parameters, and the buffers that are compared after a run.
type problem struct {
	program.Program
	values map[program.ID][]float32
	labels map[program.ID][]uint8
	wanted []program.ID
	runs   int     // times that compare runs it
	bend   float64 // set by reference, see bendOf
	stream *random.Stream

	loaded          *program.Program // the placed copy
	guards, scratch []program.ID     // of the placed copy
}

func newProblem(seed ...uint64) *problem {
	return &problem{
		values: map[program.ID][]float32{}, labels: map[program.ID][]uint8{},
		runs: 1, stream: random.New(20, seed...),
	}
}

// given adds an input or parameter with normal values times scale plus shift.
func (b *problem) given(name string, c program.Class, r program.Role, scale, shift float64, shape ...int) program.ID {
	id := b.New(name, c, r, shape...)
	v := b.draw(id)
	for i := range v {
		v[i] = float32(scale*float64(v[i]) + shift)
	}
	b.values[id] = v
	return id
}

// draw returns normal values for a buffer.
func (b *problem) draw(id program.ID) []float32 {
	v := make([]float32, b.Buffers[id].Len())
	for i := range v {
		v[i] = float32(b.stream.Normal())
	}
	return v
}

// drawLabels returns labels below n for a buffer.
func (b *problem) drawLabels(id program.ID, n int) []uint8 {
	v := make([]uint8, b.Buffers[id].Len())
	for i := range v {
		v[i] = uint8(b.stream.IntN(n))
	}
	return v
}

func (b *problem) activation(name string, shape ...int) program.ID {
	return b.given(name, program.Activation, program.Input, 1, 0, shape...)
}

func (b *problem) kernel(name string, shape ...int) program.ID {
	return b.given(name, program.Kernel, program.Param, 0.3, 0, shape...)
}

func (b *problem) vector(name string, shift float64, shape ...int) program.ID {
	return b.given(name, program.Vector, program.Input, 0.5, shift, shape...)
}

// constant adds an input vector of given values.
func (b *problem) constant(name string, values ...float32) program.ID {
	id := b.New(name, program.Vector, program.Input, len(values))
	b.values[id] = values
	return id
}

// want adds an output that is compared.
func (b *problem) want(name string, c program.Class, shape ...int) program.ID {
	id := b.New(name, c, program.Output, shape...)
	b.wanted = append(b.wanted, id)
	return id
}

// written adds an output activation that holds random values when the next
// instruction runs, for instructions that update in place.
func (b *problem) written(name string, shape ...int) program.ID {
	x := b.activation(name+" source", shape...)
	zero := b.given(name+" zero", program.Activation, program.Input, 0, 0, shape...)
	id := b.want(name, program.Activation, shape...)
	b.Emit(program.Add{A: x, B: zero, Out: id})
	return id
}

// viewSlope is a power of two, so that it costs no digits of coarse data.
const viewSlope = 1.0 / 128

// view adds an activation, seen through a norm where normed is set.
func (b *problem) view(name string, normed bool, shape ...int) program.View {
	v := program.View{Buf: b.activation(name, shape...), Norm: program.None}
	if normed {
		v.Norm, v.Slope = b.vector(name+" norm", 0.2, shape[0], shape[1], 2), viewSlope
	}
	return v
}

// compare runs the problem on the device and on the reference.
func (b *problem) compare(t *testing.T, d device.Device, tolerance float64) {
	t.Helper()
	want := b.reference(t)
	got := b.results(t, d, b.runs)
	for run := range got {
		for i, id := range b.wanted {
			if err := near(got[run][i], want[run][i], tolerance, 0); err != nil {
				t.Errorf("run %d: %s: %v", run, b.Buffers[id].Name, err)
			}
		}
	}
}

// reference returns the results of package ref in float64.
func (b *problem) reference(t *testing.T) [][][]float32 {
	t.Helper()
	l, err := ref.New64().Load(clone(&b.Program))
	if err != nil {
		t.Fatalf("the suite's own program: %v", err)
	}
	var runs [][][]float32
	b.bend = math.Inf(1)
	for run := range b.runs {
		b.write(t, l, run == 0)
		if err := l.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		runs = append(runs, b.read(t, l))
		b.bend = min(b.bend, bendOf(t, &b.Program, l))
	}
	return runs
}

// write gives inputs their values before each run, parameters before the first.
func (b *problem) write(t *testing.T, l device.Loaded, first bool) {
	t.Helper()
	for id := range b.Buffers {
		var err error
		if b.Buffers[id].Role == program.Param && !first {
			continue
		}
		if v, ok := b.values[program.ID(id)]; ok {
			err = l.Write(program.ID(id), v)
		} else if v, ok := b.labels[program.ID(id)]; ok {
			err = l.WriteLabels(program.ID(id), v)
		}
		if err != nil {
			t.Fatalf("write %q: %v", b.Buffers[id].Name, err)
		}
	}
}

func (b *problem) read(t *testing.T, l device.Loaded) [][]float32 {
	t.Helper()
	out := make([][]float32, len(b.wanted))
	for i, id := range b.wanted {
		out[i] = make([]float32, b.Buffers[id].Len())
		if err := l.Read(id, out[i]); err != nil {
			t.Fatalf("read %q: %v", b.Buffers[id].Name, err)
		}
	}
	return out
}

// near compares whole buffers, relative to the largest value, or to floor where all
// are smaller. NaN and infinity must be where they are wanted.
func near(got, want []float32, tolerance, floor float64) error {
	largest := floor
	for _, v := range want {
		if a := math.Abs(float64(v)); !math.IsInf(a, 0) && a > largest {
			largest = a
		}
	}
	for i, v := range want {
		g, w := float64(got[i]), float64(v)
		switch {
		case math.IsNaN(w) && math.IsNaN(g) || g == w:
		case !(math.Abs(g-w) <= tolerance*largest):
			return fmt.Errorf("element %d is %g, want %g (largest %g, tolerance %g)", i, g, w, largest, tolerance)
		}
	}
	return nil
}

// differs returns the first index where two slices differ in a bit, or -1.
func differs(a, b []float32) int {
	for i := range a {
		if math.Float32bits(a[i]) != math.Float32bits(b[i]) {
			return i
		}
	}
	return -1
}
