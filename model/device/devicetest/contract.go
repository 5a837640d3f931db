package devicetest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"testing"

	"noisystudent/model/device"
	"noisystudent/model/program"
)

// contract checks what device.Device promises besides the numbers.
func contract(t *testing.T, open func() device.Device) {
	d := open()
	defer closing(t, d)
	if d.Name() == "" {
		t.Error("the device has no name")
	}
	t.Run("bytes", func(t *testing.T) { bytes(t, d) })
	t.Run("copies", func(t *testing.T) { copies(t, d) })
	t.Run("planes", func(t *testing.T) { planes(t, d) })
	t.Run("refuses", func(t *testing.T) { refuses(t, d) })
	t.Run("ahead", func(t *testing.T) { ahead(t, d) })
	t.Run("cancel", func(t *testing.T) { cancel(t, d) })
	t.Run("state starts at zero", func(t *testing.T) { stateStartsAtZero(t, d) })
}

func bytes(t *testing.T, d device.Device) {
	for _, c := range channels {
		b := program.Buffer{Class: program.Activation, Shape: []int{1, c, 2, 3, 5}}
		if n := d.Bytes(b, program.Float32); n < int64(2*b.Len()) || n%16 != 0 {
			t.Errorf("%v takes %d bytes", b.Shape, n)
		}
	}
}

// copies checks that what is written into each class of buffer is read back.
func copies(t *testing.T, d device.Device) {
	b := newProblem(18)
	for _, c := range channels {
		for _, w := range []int{1, 13} {
			b.given(fmt.Sprintf("activation %d %d", c, w), program.Activation, program.Input, 1, 0, 2, c, 2, 3, w)
		}
		b.given(fmt.Sprintf("kernel %d", c), program.Kernel, program.Param, 1, 0, c, 17, 1, 3, 3)
		b.given(fmt.Sprintf("narrow kernel %d", c), program.Kernel, program.Param, 1, 0, 5, c, 2, 2, 2)
		b.given(fmt.Sprintf("vector %d", c), program.Vector, program.Input, 1, 0, c)
	}
	for i := range b.Buffers {
		b.wanted = append(b.wanted, program.ID(i))
	}
	for i, got := range b.results(t, d, 1)[0] {
		if at := differs(b.values[program.ID(i)], got); at >= 0 {
			t.Errorf("%s: element %d is %g, wrote %g", b.Buffers[i].Name, at, got[at], b.values[program.ID(i)][at])
		}
	}
}

// planes checks that planes are what Read gives.
func planes(t *testing.T, d device.Device) {
	b := newProblem(25)
	for _, c := range channels {
		b.activation(fmt.Sprintf("activation %d", c), 2, c, 3, 5, 13)
	}
	l, err := d.Load(b.placed(d))
	if err != nil {
		t.Fatal(err)
	}
	defer closing(t, l)
	b.write(t, l, true)
	for i := range channels {
		all, shape := b.values[program.ID(i)], b.Buffers[i].Shape
		plane := make([]float32, shape[1]*5*13)
		for at := range 2 * 3 {
			if err := l.ReadPlane(program.ID(i), at, plane); err != nil {
				t.Fatal(err)
			}
			for k, got := range plane {
				if want := all[((at/3*shape[1]+k/65)*3+at%3)*65+k%65]; got != want {
					t.Fatalf("%s: element %d of plane %d is %g, wrote %g", b.Buffers[i].Name, k, at, got, want)
				}
			}
		}
	}
}

func refuses(t *testing.T, d device.Device) {
	b := newProblem(19)
	x := b.activation("x", 1, 3, 2, 2, 5)
	labels := b.labelled("labels", 2, 1, 2, 2, 5)
	b.Emit(program.NormAct{In: program.View{Buf: x, Norm: program.None}, Out: b.want("out", program.Activation, 1, 3, 2, 2, 5)})
	p := b.placed(d)
	l, err := d.Load(p)
	if err != nil {
		t.Fatal(err)
	}
	defer closing(t, l)
	n := b.Buffers[x].Len()
	for name, err := range map[string]error{
		"a short write":         l.Write(x, make([]float32, n-1)),
		"a long write":          l.Write(x, make([]float32, n+1)),
		"a short read":          l.Read(x, make([]float32, n-1)),
		"no buffer":             l.Write(program.None, nil),
		"no such plane":         l.ReadPlane(x, 2, make([]float32, 30)),
		"a plane before all":    l.ReadPlane(x, -1, make([]float32, 30)),
		"a short plane":         l.ReadPlane(x, 0, make([]float32, 29)),
		"a plane of labels":     l.ReadPlane(labels, 0, make([]float32, 10)),
		"a plane of no buffer":  l.ReadPlane(program.None, 0, nil),
		"a buffer past the end": l.Write(program.ID(len(p.Buffers)), nil),
		"floats into labels":    l.Write(labels, make([]float32, 20)),
		"labels into floats":    l.WriteLabels(x, make([]uint8, n)),
		"short labels":          l.WriteLabels(labels, make([]uint8, 19)),
	} {
		if err == nil {
			t.Errorf("%s is not refused", name)
		}
	}
	broken := b.placed(d)
	broken.Instrs[0] = program.Add{A: x, B: labels, Out: x}
	if _, err := d.Load(broken); err == nil {
		t.Error("a broken program is not refused")
	}
}

// ahead checks that inputs that come during a run are those of the next one, unless
// they are written.
func ahead(t *testing.T, d device.Device) {
	b := lossCases()[0].build()
	l, err := d.Load(b.placed(d))
	if err != nil {
		t.Fatal(err)
	}
	defer closing(t, l)
	a, ok := l.(device.Ahead)
	if !ok {
		t.Skip("the device takes no inputs ahead")
	}
	run := func(meanwhile func()) [][]float32 {
		if err := a.RunAhead(t.Context(), meanwhile); err != nil {
			t.Fatal(err)
		}
		return b.read(t, l)
	}
	nothing := func() {}
	give := func(inputs *problem) func() {
		return func() {
			if err := inputs.ahead(a); err != nil {
				t.Fatal(err)
			}
		}
	}
	b.write(t, l, true)
	first := run(nothing)
	other := b.redrawn()
	other.write(t, l, false)
	second := run(nothing)
	if sameBytes(first, second) == nil {
		t.Fatal("the suite's own program gives the same for all inputs")
	}
	b.write(t, l, false)
	for i, c := range []struct {
		meanwhile func()
		want      [][]float32
	}{
		{give(other), first},
		{give(b), second},
		{give(other), first},
		{nothing, second},
		{nothing, second},
		{func() { give(other)(); give(b)() }, second},
		{nothing, first},
	} {
		if err := sameBytes(run(c.meanwhile), c.want); err != nil {
			t.Errorf("run %d of those whose inputs come ahead: %v", i, err)
		}
	}
	give(b)()
	other.write(t, l, false)
	if err := sameBytes(run(nothing), second); err != nil {
		t.Errorf("after inputs have come and others were written: %v", err)
	}
}

// redrawn is the problem with new values of voxels.
func (b *problem) redrawn() *problem {
	other := &problem{Program: b.Program, values: maps.Clone(b.values), labels: map[program.ID][]uint8{}}
	for id := range b.values {
		if b.Buffers[id].Class == program.Activation {
			other.values[id] = b.draw(id)
		}
	}
	for id := range b.labels {
		other.labels[id] = b.drawLabels(id, 2)
	}
	return other
}

// ahead gives the values of voxels for the next run.
func (b *problem) ahead(a device.Ahead) error {
	for id, v := range b.values {
		if b.Buffers[id].Class == program.Activation {
			if err := a.Ahead(id, v); err != nil {
				return err
			}
		}
	}
	for id, v := range b.labels {
		if err := a.AheadLabels(id, v); err != nil {
			return err
		}
	}
	return nil
}

func cancel(t *testing.T, d device.Device) {
	b := vectorCases()[0].build()
	l, err := d.Load(b.placed(d))
	if err != nil {
		t.Fatal(err)
	}
	defer closing(t, l)
	b.write(t, l, true)
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if err := l.Run(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("run with an ended context: %v, want one that is context.Canceled", err)
	}
}

func stateStartsAtZero(t *testing.T, d device.Device) {
	b := newProblem(21)
	x := b.vector("x", 0, 33)
	s := b.New("state", program.Vector, program.State, 33)
	k := b.New("kernel state", program.Kernel, program.State, 17, 3, 1, 3, 3)
	b.Emit(program.Add{A: x, B: s, Out: b.want("out", program.Vector, 33)})
	b.wanted = append(b.wanted, s, k)
	got := b.results(t, d, 1)[0]
	for i, v := range append(got[1], got[2]...) {
		if v != 0 {
			t.Fatalf("element %d of state is %g, want 0", i, v)
		}
	}
}
