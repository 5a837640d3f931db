package cpu

import (
	"cmp"
	"slices"

	"noisystudent/model/program"
)

// lend gives the op of instruction t the shared scratch that planning it asked for:
// memory of the arena that holds no value while the instruction runs, or, where no gap
// is so large, memory of its own that all such ops share.
func (l *loaded) lend(t int, o op) op {
	n := l.needShared
	l.needShared = 0
	if n == 0 {
		return o
	}
	gap := l.gap(t, n)
	if gap == nil {
		l.needSpare = max(l.needSpare, n)
	}
	take := once(func() {
		if l.shared = gap; gap == nil {
			l.shared = l.spare
		}
	})
	o.phases = append([]phase{take}, o.phases...)
	return o
}

// gap returns the lowest n floats of the arena that lie under no buffer whose value
// is needed during instruction t, nor under an input, or nil.
func (l *loaded) gap(t, n int) []float32 {
	var taken []program.Buffer
	for id, b := range l.p.Buffers {
		if life := l.lives[id]; b.Role == program.Input || life.First <= t && t <= life.Last {
			taken = append(taken, b)
		}
	}
	slices.SortFunc(taken, func(a, b program.Buffer) int { return cmp.Compare(a.Offset, b.Offset) })
	var at int64
	for _, b := range append(taken, program.Buffer{Offset: int64(len(l.arena)) * 4}) {
		if b.Offset-at >= 4*int64(n) {
			return l.arena[at/4:][:n:n]
		}
		at = max(at, b.Offset+b.Bytes)
	}
	return nil
}
