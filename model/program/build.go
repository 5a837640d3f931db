package program

// New adds a buffer that has no place yet and returns its ID.
func (p *Program) New(name string, c Class, r Role, shape ...int) ID {
	p.Buffers = append(p.Buffers, Buffer{Name: name, Class: c, Role: r, Shape: shape, Offset: -1})
	return ID(len(p.Buffers) - 1)
}

// Emit appends instructions.
func (p *Program) Emit(list ...Instr) { p.Instrs = append(p.Instrs, list...) }

// Find returns the ID of the first buffer of that name, or None.
func (p *Program) Find(name string) ID {
	for i, b := range p.Buffers {
		if b.Name == name {
			return ID(i)
		}
	}
	return None
}

// Placed reports whether every buffer has a place in the arena.
func (p *Program) Placed() bool {
	for _, b := range p.Buffers {
		if b.Offset < 0 {
			return false
		}
	}
	return len(p.Buffers) > 0
}
