package compile

import (
	"slices"

	"noisystudent/model/program"
)

// fuseAdds lets the later of two data gradients accumulate into the earlier one,
// where their sum is all that is wanted.
func fuseAdds(u *unit) {
	for t := 0; t < len(u.Instrs); {
		if a, ok := u.Instrs[t].(program.Add); !ok || !u.fuseAdd(t, a) {
			t++
		}
	}
}

// fuseAdd removes the sum at t, or returns false where it must stay: both terms
// must be temporary, the later written once and read by the sum alone, and from
// there on the earlier one too.
func (u *unit) fuseAdd(t int, a program.Add) bool {
	s, first, second := u.uses(), a.A, a.B
	if !u.temp(first, second, a.Out) {
		return false
	}
	if slices.Max(s.writers[first]) > slices.Max(s.writers[second]) {
		first, second = second, first
	}
	w := s.writers[second][0]
	alone := len(s.writers[second]) == 1 && slices.Equal(s.readers[second], []int{t})
	if !alone || slices.Max(s.writers[first]) >= w || slices.Contains(u.Instrs[w].Reads(), first) {
		return false
	}
	for _, r := range s.readers[first] {
		if r > w && r != t {
			return false
		}
	}
	in, ok := accumulating(u.Instrs[w], second, first)
	if !ok {
		return false
	}
	u.Instrs[w] = in
	u.remove(map[int]bool{t: true})
	u.replace(a.Out, first)
	return true
}

func (u *unit) temp(list ...program.ID) bool {
	for _, id := range list {
		if u.Buffers[id].Role != program.Temp {
			return false
		}
	}
	return true
}

// accumulating makes a data gradient add to sum what it would have assigned to id.
func accumulating(in program.Instr, id, sum program.ID) (program.Instr, bool) {
	switch i := in.(type) {
	case program.ConvDataGrad:
		i.DIn, i.Accumulate = slices.Clone(i.DIn), slices.Clone(i.Accumulate)
		k := slices.Index(i.DIn, id)
		i.DIn[k], i.Accumulate[k] = sum, true
		return i, true
	case program.ConvTransposedDataGrad:
		i.DIn, i.Accumulate = sum, true
		return i, true
	}
	return in, false
}

// inPlace lets norm gradients, and sums that are left, write where their input was.
func inPlace(u *unit) {
	for t, in := range u.Instrs {
		switch i := in.(type) {
		case program.NormGrad:
			u.reuse(t, i.DOut, i.DIn, i.Raw)
		case program.Add:
			u.reuse(t, i.A, i.Out, program.None)
		}
	}
}

// reuse puts out into in's memory if instruction t is the last to need in; not
// where in is also the operand other.
func (u *unit) reuse(t int, in, out, other program.ID) {
	if in != out && in != other && u.temp(in, out) && u.uses().last(in) == t {
		u.replace(out, in)
	}
}
