package null

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"noisystudent/model/program"
)

// chain is y = x*x-ish in three steps: a and b live together, c may take a's place.
func chain() *program.Program {
	p := &program.Program{}
	x, w := p.New("x", program.Vector, program.Input, 16), p.New("w", program.Vector, program.Param, 16)
	a, b := p.New("a", program.Vector, program.Temp, 16), p.New("b", program.Vector, program.Temp, 16)
	c := p.New("c", program.Vector, program.Output, 16)
	p.Emit(program.Add{A: x, B: w, Out: a}, program.Add{A: a, B: w, Out: b}, program.Add{A: b, B: w, Out: c})
	return p
}

func clone(p *program.Program) *program.Program {
	return &program.Program{Buffers: slices.Clone(p.Buffers), Instrs: p.Instrs}
}

// place puts the buffers at multiples of 64 bytes, the arena behind the last.
func place(p *program.Program, at ...int64) *program.Program {
	for i := range p.Buffers {
		p.Buffers[i].Offset, p.Buffers[i].Bytes = 64*at[i], 64
		p.Arena = max(p.Arena, 64*at[i]+64)
	}
	return p
}

func TestRun(t *testing.T) {
	p := place(chain(), 0, 1, 2, 3, 2) // c over a
	loaded, err := New(nil).Load(p)
	if err != nil {
		t.Fatal(err)
	}
	l := loaded.(*Loaded)
	w, out := make([]float32, 16), make([]float32, 16)
	w[3] = 7
	if err := errors.Join(l.Write(1, w), l.Write(0, out)); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := l.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Read(1, out); err != nil || out[3] != 7 {
		t.Errorf("a parameter reads %v, %v", out, err)
	}
	if err := l.Read(4, out); err != nil || out[3] != 0 {
		t.Errorf("an output reads %v, %v", out, err)
	}
	if err := l.Read(2, out); err == nil {
		t.Error("a buffer that was overwritten can be read")
	}
	want := Report{Runs: 2, Reach: 256, Live: 192, At: "Add a=%0:x b=%1:w out=%2:a"}
	if diff := cmp.Diff(want, l.Report()); diff != "" {
		t.Error(diff)
	}
}

// Run must find by itself what program.Check, which is not asked here, refuses.
func TestRunFindsOverwrittenValues(t *testing.T) {
	sums := &program.Program{}
	x, labels := sums.New("x", program.Activation, program.Input, 1, 2, 1, 1, 2), sums.New("labels", program.Labels, program.Input, 1, 1, 1, 2)
	s, out := sums.New("sums", program.Vector, program.Temp, 7), sums.New("out", program.Vector, program.Output, 3)
	sums.Emit(program.DiceCE{Logits: x, Labels: labels, Sums: s, Out: out, Loss: program.Loss{Ignore: -1, ClassWeights: program.None}})
	late := chain()
	late.Instrs[1] = program.Add{A: 2, B: 2, Out: 3} // does not read w, which is read after it
	partly := place(clone(late), 0, 1, 2, 1, 3)
	partly.Buffers[3].Offset -= 32
	for name, c := range map[string]struct {
		p    *program.Program
		want string
	}{
		"a temp over a parameter": {place(clone(late), 0, 1, 2, 1, 3), `instruction 2 reads "w", which holds no value`},
		"a temp half over one":    {partly, `instruction 2 reads "w", which holds no value`},
		"a temp over the input":   {place(chain(), 0, 1, 0, 2, 3), `instruction 0 writes over its own operand "x"`},
		"two results as one":      {place(sums, 0, 1, 2, 2), `instruction 0 writes over its own operand "sums"`},
	} {
		l := &Loaded{p: c.p, holds: make([]bool, len(c.p.Buffers)), kept: map[program.ID][]float32{}}
		l.hold(0)
		l.hold(1)
		err := l.Run(t.Context())
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
		if program.Check(c.p) == nil {
			t.Errorf("%s: Check accepts it", name)
		}
	}
}

// What the first run destroys, the second one misses.
func TestRunMissesWhatTheLastRunDestroyed(t *testing.T) {
	lastOver := place(chain(), 0, 1, 2, 3, 4)
	lastOver.Instrs[2] = program.Add{A: 3, B: 3, Out: 4} // does not need w any more
	lastOver.Buffers[4].Offset = lastOver.Buffers[1].Offset
	l := &Loaded{p: lastOver, holds: make([]bool, 5), kept: map[program.ID][]float32{}}
	l.hold(0)
	l.hold(1)
	if err := l.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := l.Run(t.Context()); err == nil || !strings.Contains(err.Error(), `instruction 0 reads "w"`) {
		t.Errorf("second run: %v", err)
	}
}

func TestRefuses(t *testing.T) {
	if _, err := New(nil).Load(chain()); err == nil {
		t.Error("an unplaced program is loaded")
	}
	small := place(chain(), 0, 1, 2, 3, 4)
	small.Buffers[2].Bytes = 32
	if _, err := New(nil).Load(small); err == nil {
		t.Error("a buffer that is too small is loaded")
	}
	broken := place(chain(), 0, 1, 2, 3, 4)
	broken.Instrs = broken.Instrs[1:]
	if _, err := New(nil).Load(broken); err == nil {
		t.Error("a broken program is loaded")
	}
	l, err := New(nil).Load(place(chain(), 0, 1, 2, 3, 4))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if err := l.Run(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("an ended context: %v", err)
	}
	if err := l.Run(t.Context()); err == nil {
		t.Error("a run without its input succeeds")
	}
	if l.Write(0, make([]float32, 15)) == nil || l.WriteLabels(0, make([]uint8, 16)) == nil || l.Read(9, nil) == nil {
		t.Error("a wrong copy is accepted")
	}
}

func TestLayoutOfAnother(t *testing.T) {
	inner := New(nil)
	d := New(inner)
	b := program.Buffer{Class: program.Vector, Shape: []int{17}}
	if d.Bytes(b, program.Float32) != 128 || d.Name() != "null in the layout of null" {
		t.Errorf("%s: %d bytes", d.Name(), d.Bytes(b, program.Float32))
	}
}
