package compile

import "noisystudent/model/program"

// fuseUpsampling lets a convolution upsample its input while it reads it, so that
// the upsampled features are never stored, as long as they are part of what sets the
// program's peak. Elsewhere they are computed once and stored, for a convolution that
// is cut into parts computes some of them again.
func fuseUpsampling(u *unit) {
	for u.upsample(u.peak()) {
	}
}

// upsample removes an upsampling that instruction t makes or reads, or returns
// false where there is none that one convolution of stride 1 alone reads.
func (u *unit) upsample(t int) bool {
	s := u.uses()
	for _, id := range append(u.Instrs[t].Reads(), u.Instrs[t].Writes()...) {
		if len(s.writers[id]) != 1 || len(s.readers[id]) != 1 || !u.temp(id) {
			continue
		}
		w, r := s.writers[id][0], s.readers[id][0]
		up, ok := u.Instrs[w].(program.ConvTransposed)
		if !ok || !upsamples(u.Instrs[r]) || !u.all([]int{r}, id, listed) {
			continue
		}
		view := up.In
		view.Up = &program.Upsampling{Weight: up.Weight, Bias: up.Bias}
		u.Instrs[r] = throughView(u.Instrs[r], id, view)
		u.remove(map[int]bool{w: true})
		return true
	}
	return false
}

// upsamples tells whether an instruction may read upsampled views.
func upsamples(in program.Instr) bool {
	switch i := in.(type) {
	case program.Conv:
		return i.Stride == [3]int{1, 1, 1}
	case program.ConvWeightGrad:
		return i.Stride == [3]int{1, 1, 1}
	}
	return false
}

// peak returns the instruction during which most elements are alive, the first of
// several. Which device the program is for is not known yet; channel padding changes
// the numbers but hardly their order.
func (u *unit) peak() int {
	change := make([]int, len(u.Instrs)+1)
	for id, l := range program.Lifetimes(u.Program) {
		if l.First > l.Last || u.Buffers[id].Class == program.Labels {
			continue
		}
		n := u.Buffers[id].Len()
		change[max(l.First, 0)] += n
		change[min(l.Last, len(u.Instrs)-1)+1] -= n
	}
	now, most, at := 0, -1, 0
	for t := range u.Instrs {
		now += change[t]
		if now > most {
			most, at = now, t
		}
	}
	return at
}
