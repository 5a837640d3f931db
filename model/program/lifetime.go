package program

// Life is the part of a run in which a buffer must keep its memory: from
// instruction First to instruction Last, both included. -1 is before the first
// instruction, len(Instrs) after the last.
type Life struct{ First, Last int }

// Overlaps reports whether two buffers are alive at one time.
func (l Life) Overlaps(m Life) bool { return l.First <= m.Last && m.First <= l.Last }

// Lifetimes returns the life of every buffer. Params and state live always, an
// input from before the run to its last read, an output from its first write to
// after the run, anything else from its first write to its last use. A buffer
// that nothing uses gets First > Last: it needs no memory of its own.
func Lifetimes(p *Program) []Life {
	end := len(p.Instrs)
	lives := make([]Life, len(p.Buffers))
	for i := range lives {
		lives[i] = Life{First: end + 1, Last: -2}
	}
	for t, in := range p.Instrs {
		for _, list := range [][]ID{in.Reads(), in.Writes()} {
			for _, id := range list {
				lives[id].First, lives[id].Last = min(lives[id].First, t), max(lives[id].Last, t)
			}
		}
	}
	for i, b := range p.Buffers {
		switch b.Role {
		case Param, State:
			lives[i] = Life{-1, end}
		case Input:
			lives[i] = Life{-1, max(-1, lives[i].Last)}
		case Output:
			lives[i] = Life{min(end, lives[i].First), end}
		}
	}
	return lives
}
