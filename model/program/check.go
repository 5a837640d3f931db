package program

import (
	"cmp"
	"fmt"
	"slices"
)

// maxElements bounds one buffer, so that sizes in bytes cannot overflow.
const maxElements = 1 << 36

// Check reports the first thing that makes p not runnable: buffers or operands of
// a wrong class or shape, a read of what nothing has written, a write to what
// instructions must not write, and, in a placed program, two live buffers that
// overlap or one that leaves the arena. The passes of package compile run it
// after each step, devices before they load.
func Check(p *Program) error {
	for i, b := range p.Buffers {
		if err := checkBuffer(b); err != nil {
			return fmt.Errorf("program: check buffer %d %q: %w", i, b.Name, err)
		}
	}
	if err := checkNames(p); err != nil {
		return fmt.Errorf("program: check: %w", err)
	}
	for t, in := range p.Instrs {
		if err := checkOperands(p, in); err != nil {
			return fmt.Errorf("program: check instruction %d %s: %w", t, kind(in), err)
		}
	}
	if err := checkOrder(p); err != nil {
		return fmt.Errorf("program: check: %w", err)
	}
	if err := checkPlaces(p); err != nil {
		return fmt.Errorf("program: check: %w", err)
	}
	return nil
}

func checkBuffer(b Buffer) error {
	rank, ok := map[Class]int{Activation: 5, Kernel: 5, Labels: 4, Vector: len(b.Shape)}[b.Class]
	switch {
	case !ok:
		return fmt.Errorf("unknown class %d", b.Class)
	case b.Role > Output:
		return fmt.Errorf("unknown role %d", b.Role)
	case len(b.Shape) != rank || rank == 0:
		return fmt.Errorf("%s of %d axes", b.Class, len(b.Shape))
	}
	n := 1
	for _, s := range b.Shape {
		if s < 1 || n > maxElements/s {
			return fmt.Errorf("shape %v", b.Shape)
		}
		n *= s
	}
	return nil
}

// checkNames demands that what outlives a run can be found by name.
func checkNames(p *Program) error {
	seen := map[string]bool{}
	for i, b := range p.Buffers {
		if b.Role == Temp {
			continue
		}
		if b.Name == "" || seen[b.Name] {
			return fmt.Errorf("buffer %d: name %q of role %s is empty or taken", i, b.Name, b.Role)
		}
		seen[b.Name] = true
	}
	return nil
}

// checkOrder walks the instructions and keeps account of what holds a value.
func checkOrder(p *Program) error {
	written := make([]bool, len(p.Buffers))
	for i, b := range p.Buffers {
		written[i] = b.Role != Temp && b.Role != Output
	}
	for t, in := range p.Instrs {
		for _, id := range in.Reads() {
			if !written[id] {
				return fmt.Errorf("instruction %d %s reads %q before anything writes it", t, kind(in), p.Buffers[id].Name)
			}
		}
		_, update := in.(Update)
		for _, id := range in.Writes() {
			switch b := p.Buffers[id]; {
			case b.Role == Input, !update && (b.Role == Param || b.Role == State):
				return fmt.Errorf("instruction %d %s writes %q, whose role is %s", t, kind(in), b.Name, b.Role)
			}
			written[id] = true
		}
	}
	for i, b := range p.Buffers {
		if !written[i] && b.Role == Output {
			return fmt.Errorf("output %q is never written", b.Name)
		}
	}
	return nil
}

// checkPlaces demands that buffers which live at one time lie apart.
func checkPlaces(p *Program) error {
	if !p.Placed() {
		return nil
	}
	lives := Lifetimes(p)
	order := make([]int, 0, len(p.Buffers))
	for i, b := range p.Buffers {
		if b.Bytes < 0 || b.Offset > p.Arena || b.Bytes > p.Arena-b.Offset {
			return fmt.Errorf("buffer %q at %d with %d bytes leaves the arena of %d", b.Name, b.Offset, b.Bytes, p.Arena)
		}
		order = append(order, i)
	}
	slices.SortFunc(order, func(a, b int) int { return cmp.Compare(p.Buffers[a].Offset, p.Buffers[b].Offset) })
	for k, i := range order {
		end := p.Buffers[i].Offset + p.Buffers[i].Bytes
		for _, j := range order[k+1:] {
			if p.Buffers[j].Offset >= end {
				break
			}
			if p.Buffers[j].Bytes > 0 && lives[i].Overlaps(lives[j]) {
				return fmt.Errorf("buffers %q and %q overlap while both are alive", p.Buffers[i].Name, p.Buffers[j].Name)
			}
		}
	}
	return nil
}
