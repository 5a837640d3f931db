package cpu

import (
	"testing"
	"unsafe"

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
	p.Buffers[x].Offset, p.Buffers[x].Bytes = 0, d.Bytes(p.Buffers[x], p.Precision)
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

// TestSpareMemoryIsUnused looks at where shared scratch lies: under no buffer whose
// value the instruction, or one after it, needs; and the arena of the paper's network has
// room for all of it that counts.
func TestSpareMemoryIsUnused(t *testing.T) {
	for _, train := range []bool{false, true} {
		d := open(tables()[0], 1)
		l := paper.load(t, d, train, program.Float32)
		if l.needSpare > 1<<18 {
			t.Errorf("training %v: %d bytes of scratch beside the arena", train, 4*l.needSpare)
		}
		base := uintptr(unsafe.Pointer(&l.arena[0]))
		for i := range l.p.Instrs {
			gap := l.gap(i, 1<<20)
			if gap == nil {
				continue
			}
			from := int64(uintptr(unsafe.Pointer(&gap[0])) - base)
			for id, b := range l.p.Buffers {
				alive := b.Role == program.Input || l.lives[id].First <= i && i <= l.lives[id].Last
				if alive && from < b.Offset+b.Bytes && b.Offset < from+4<<20 {
					t.Fatalf("instruction %d: scratch at %d lies on %q at %d", i, from, b.Name, b.Offset)
				}
			}
		}
		must(t, l.Close())
		must(t, d.Close())
	}
}
