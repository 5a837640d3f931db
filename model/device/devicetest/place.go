package devicetest

import (
	"math"
	"testing"

	"noisystudent/model/device"
	"noisystudent/model/program"
)

const guardLen = 64

// placed returns a copy of the problem's program, placed for the device: each
// buffer is followed by a guard, a parameter that no instruction names. Under each
// buffer that instructions write first lies an input of its own that nothing
// reads, a scratch: filled with NaN before a run, it shows who counts on zeros.
func (b *problem) placed(d device.Device) *program.Program {
	p := clone(&b.Program)
	b.guards, b.scratch = nil, nil
	put := func(id program.ID, at int64) {
		f := &p.Buffers[id]
		f.Offset, f.Bytes = at, d.Bytes(*f, p.Precision)
		p.Arena = max(p.Arena, at+f.Bytes)
	}
	for i, f := range b.Buffers {
		at := p.Arena
		put(program.ID(i), at)
		if f.Role == program.Temp || f.Role == program.Output {
			s := p.New("scratch "+f.Name, program.Vector, program.Input, int(p.Buffers[i].Bytes/4))
			put(s, at)
			b.scratch = append(b.scratch, s)
		}
		g := p.New("guard "+f.Name, program.Vector, program.Param, guardLen)
		put(g, p.Arena)
		b.guards = append(b.guards, g)
	}
	b.loaded = p
	return p
}

// poison fills all scratches with NaN.
func (b *problem) poison(t *testing.T, l device.Loaded) {
	t.Helper()
	for _, id := range b.scratch {
		v := make([]float32, b.loaded.Buffers[id].Len())
		for i := range v {
			v[i] = float32(math.NaN())
		}
		if err := l.Write(id, v); err != nil {
			t.Fatal(err)
		}
	}
}

func guardValues() []float32 {
	v := make([]float32, guardLen)
	for i := range v {
		v[i] = float32(i) + 0.25
	}
	return v
}

func (b *problem) writeGuards(t *testing.T, l device.Loaded) {
	t.Helper()
	for _, id := range b.guards {
		if err := l.Write(id, guardValues()); err != nil {
			t.Fatal(err)
		}
	}
}

func (b *problem) checkGuards(t *testing.T, l device.Loaded) {
	t.Helper()
	got := make([]float32, guardLen)
	for _, id := range b.guards {
		if err := l.Read(id, got); err != nil {
			t.Fatal(err)
		}
		if at := differs(guardValues(), got); at >= 0 {
			t.Errorf("%s was overwritten at %d with %g", b.loaded.Buffers[id].Name, at, got[at])
		}
	}
}

func clone(p *program.Program) *program.Program {
	return &program.Program{
		Buffers: append([]program.Buffer(nil), p.Buffers...),
		Instrs:  append([]program.Instr(nil), p.Instrs...),
	}
}
