package compile

import (
	"slices"

	"noisystudent/model/program"
)

// order moves instructions so that less memory is alive at once: of those that are
// ready it takes, again and again, the one after which the fewest bytes are alive,
// the earliest where several are equal. Gradients of weights so run as soon as they
// can, for they free activations; label pyramids and gradients of low-resolution
// losses wait. The old order is kept where the new one is not better.
func order(u *unit) {
	before := slices.Clone(u.Instrs)
	peak := u.peak()
	u.Instrs = u.schedule()
	if u.peak() >= peak {
		u.Instrs = before
	}
}

// logicalBytes is the size of a buffer without padding.
func logicalBytes(b program.Buffer) int64 {
	if b.Class == program.Labels {
		return int64(b.Len())
	}
	return 4 * int64(b.Len())
}

// peak returns the most bytes of temporary buffers that are alive at once.
func (u *unit) peak() int64 {
	change := make([]int64, len(u.Instrs)+1)
	for id, l := range program.Lifetimes(u.Program) {
		if b := u.Buffers[id]; b.Role == program.Temp && l.First <= l.Last {
			change[l.First] += logicalBytes(b)
			change[l.Last+1] -= logicalBytes(b)
		}
	}
	var now, most int64
	for _, c := range change {
		now += c
		most = max(most, now)
	}
	return most
}

func (u *unit) schedule() []program.Instr {
	after, waiting := u.dependencies()
	left := make([]int, len(u.Buffers)) // uses still to come
	for _, in := range u.Instrs {
		for _, id := range operands(in) {
			left[id]++
		}
	}
	var ready []int
	for t, n := range waiting {
		if n == 0 {
			ready = append(ready, t)
		}
	}
	born := make([]bool, len(u.Buffers))
	list := make([]program.Instr, 0, len(u.Instrs))
	for len(ready) > 0 {
		k := u.cheapest(ready, left, born)
		t := ready[k]
		ready = slices.Delete(ready, k, k+1)
		for _, id := range operands(u.Instrs[t]) {
			born[id] = true
			left[id]--
		}
		list = append(list, u.Instrs[t])
		for _, next := range after[t] {
			if waiting[next]--; waiting[next] == 0 {
				at, _ := slices.BinarySearch(ready, next)
				ready = slices.Insert(ready, at, next)
			}
		}
	}
	return list
}

// operands lists the buffers of an instruction, each once.
func operands(in program.Instr) []program.ID {
	list := append(in.Reads(), in.Writes()...)
	slices.Sort(list)
	return slices.Compact(list)
}

// cheapest returns the place in ready of the instruction that leaves the fewest
// bytes alive.
func (u *unit) cheapest(ready, left []int, born []bool) int {
	best, bestBytes := 0, int64(0)
	for k, t := range ready {
		var bytes int64
		for _, id := range operands(u.Instrs[t]) {
			b := u.Buffers[id]
			if b.Role != program.Temp {
				continue
			}
			if !born[id] {
				bytes += logicalBytes(b)
			}
			if left[id] == 1 {
				bytes -= logicalBytes(b)
			}
		}
		if k == 0 || bytes < bestBytes {
			best, bestBytes = k, bytes
		}
	}
	return best
}

// dependencies returns, for every instruction, those that must come after it, and
// how many must come before it: readers follow writers and writers follow both.
func (u *unit) dependencies() (after [][]int, waiting []int) {
	after, waiting = make([][]int, len(u.Instrs)), make([]int, len(u.Instrs))
	writer, readers := make([]int, len(u.Buffers)), make([][]int, len(u.Buffers))
	for id := range writer {
		writer[id] = -1
	}
	for t, in := range u.Instrs {
		var before []int
		for _, id := range in.Reads() {
			before = append(before, writer[id])
			readers[id] = append(readers[id], t)
		}
		for _, id := range in.Writes() {
			before = append(append(before, writer[id]), readers[id]...)
			writer[id], readers[id] = t, nil
		}
		slices.Sort(before)
		for _, b := range slices.Compact(before) {
			if b >= 0 && b != t {
				after[b] = append(after[b], t)
				waiting[t]++
			}
		}
	}
	return after, waiting
}
