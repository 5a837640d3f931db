package cpu

import (
	"testing"

	"noisystudent/model/program"
)

// TestEmptyLanesStayZero looks behind the copies: after a training step, lanes of
// kernels, gradients and optimiser memory that belong to no channel are zero, for
// the gradient norm and the update pass over them.
func TestEmptyLanesStayZero(t *testing.T) {
	n := demo.withFeatures(7, 17, 20)
	n.patch = [3]int{4, 12, 28}
	for _, way := range ways() {
		d := open(way.table, 2)
		l := n.load(t, d, true, way.precision)
		for range 2 {
			must(t, l.Run(t.Context()))
		}
		for id, b := range l.p.Buffers {
			if b.Class != program.Kernel {
				continue
			}
			empty := make([]float32, floats(b))
			copy(empty, l.floats(program.ID(id)))
			newKernelLayout(b.Shape).each(func(_, at int) { empty[at] = 0 })
			for at, v := range empty {
				if v != 0 {
					t.Errorf("%s: %q holds %g at %d, where it has no element", way.name, b.Name, v, at)
					break
				}
			}
		}
		must(t, l.Close())
		must(t, d.Close())
	}
}

// TestWriteClearsEmptyLanes does it for an activation that is written.
func TestWriteClearsEmptyLanes(t *testing.T) {
	p := &program.Program{}
	x := p.New("x", program.Activation, program.Input, 2, 19, 1, 3, 7)
	d := open(tables()[0], 1)
	p.Buffers[x].Offset, p.Buffers[x].Bytes = 0, d.Bytes(p.Buffers[x])
	p.Arena = p.Buffers[x].Bytes
	dl, err := d.Load(p)
	must(t, err)
	l := dl.(*loaded)
	for i := range l.arena {
		l.arena[i] = 1
	}
	v := make([]float32, p.Buffers[x].Len())
	for i := range v {
		v[i] = 2
	}
	must(t, l.Write(x, v))
	for i, got := range l.floats(x) {
		want := float32(2)
		if block := i / lanes / 21; block%2 == 1 && i%lanes >= 3 {
			want = 0
		}
		if got != want {
			t.Fatalf("float %d is %g, want %g", i, got, want)
		}
	}
	must(t, l.Close())
	must(t, d.Close())
}
