package compile

import (
	"slices"

	"noisystudent/model/program"
)

// fuseMoments lets a convolution take the moments of what it writes, where a pass
// of their own would read it again.
func fuseMoments(u *unit) {
	s, dead := u.uses(), map[int]bool{}
	for t, in := range u.Instrs {
		m, ok := in.(program.Moments)
		if !ok || len(s.writers[m.In]) != 1 {
			continue
		}
		w := s.writers[m.In][0]
		if c, ok := u.Instrs[w].(program.Conv); ok && c.Moments == program.None {
			c.Moments = m.Out
			u.Instrs[w] = c
			dead[t] = true
		}
	}
	u.remove(dead)
}

// fuseNorms lets readers apply norm and activation to the raw values, where all of
// them can. The normalised values are then never stored.
func fuseNorms(u *unit) {
	s, dead := u.uses(), map[int]bool{}
	for t, in := range u.Instrs {
		n, ok := in.(program.NormAct)
		if !ok || u.Buffers[n.Out].Role != program.Temp || !u.all(s.readers[n.Out], n.Out, viewed) {
			continue
		}
		for _, r := range s.readers[n.Out] {
			u.Instrs[r] = throughView(u.Instrs[r], n.Out, n.In)
		}
		dead[t] = true
	}
	u.remove(dead)
}

// all tells whether each of the instructions reads a buffer only in the given way.
func (u *unit) all(list []int, id program.ID, way func(program.Instr, program.ID) int) bool {
	for _, t := range list {
		reads := 0
		for _, r := range u.Instrs[t].Reads() {
			if r == id {
				reads++
			}
		}
		if way(u.Instrs[t], id) != reads {
			return false
		}
	}
	return true
}

// viewed counts the plain views of a buffer in an instruction.
func viewed(in program.Instr, id program.ID) int {
	switch i := in.(type) {
	case program.ConvTransposed:
		return plain([]program.View{i.In}, id)
	case program.ConvTransposedWeightGrad:
		return plain([]program.View{i.In}, id)
	}
	return listed(in, id)
}

// listed counts the plain views of a buffer in an instruction's list of inputs.
func listed(in program.Instr, id program.ID) int { return plain(inputs(in), id) }

func plain(list []program.View, id program.ID) int {
	n := 0
	for _, v := range list {
		if v.Buf == id && v.Norm == program.None && v.Up == nil {
			n++
		}
	}
	return n
}

// inputs returns the input list of an instruction that has one.
func inputs(in program.Instr) []program.View {
	switch i := in.(type) {
	case program.Conv:
		return i.In
	case program.ConvWeightGrad:
		return i.In
	case program.Concat:
		return i.In
	}
	return nil
}

func withInputs(in program.Instr, list []program.View) program.Instr {
	switch i := in.(type) {
	case program.Conv:
		i.In = list
		return i
	case program.ConvWeightGrad:
		i.In = list
		return i
	case program.Concat:
		i.In = list
		return i
	}
	return in
}

// throughView replaces the plain views of a buffer by another view.
func throughView(in program.Instr, id program.ID, by program.View) program.Instr {
	swap := func(v program.View) program.View {
		if v.Buf == id {
			return by
		}
		return v
	}
	switch i := in.(type) {
	case program.ConvTransposed:
		i.In = swap(i.In)
		return i
	case program.ConvTransposedWeightGrad:
		i.In = swap(i.In)
		return i
	}
	list := slices.Clone(inputs(in))
	for k, v := range list {
		list[k] = swap(v)
	}
	return withInputs(in, list)
}

// fuseConcats lets readers take the parts of a concatenation as a longer list of
// inputs, where all of them can. Nothing is copied then.
func fuseConcats(u *unit) {
	s, dead := u.uses(), map[int]bool{}
	for t, in := range u.Instrs {
		c, ok := in.(program.Concat)
		if !ok || u.Buffers[c.Out].Role != program.Temp || !u.all(s.readers[c.Out], c.Out, listed) {
			continue
		}
		for _, r := range s.readers[c.Out] {
			u.Instrs[r] = withParts(u.Instrs[r], c.Out, c.In)
		}
		dead[t] = true
	}
	u.remove(dead)
}

// withParts replaces a buffer in a list of inputs by several.
func withParts(in program.Instr, id program.ID, parts []program.View) program.Instr {
	var list []program.View
	for _, v := range inputs(in) {
		if v.Buf == id {
			list = append(list, parts...)
			continue
		}
		list = append(list, v)
	}
	return withInputs(in, list)
}
