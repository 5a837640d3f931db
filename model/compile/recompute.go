package compile

import (
	"slices"

	"noisystudent/model/program"
)

// recompute makes cheap activations a second time for the backward run instead of
// keeping them: upsampled features, and the convolution of the image. In nnU-Net's
// topologies these are a quarter of what training keeps and under 1 % of its
// arithmetic.
func recompute(u *unit) {
	start := slices.IndexFunc(u.Instrs, func(in program.Instr) bool { _, ok := in.(program.DiceCEGrad); return ok })
	for t := start - 1; t >= 0; t-- {
		if again, out := u.again(t); out != program.None {
			u.makeAgain(t, start, again, out)
		}
	}
}

// again returns a cheap instruction without what it only needs to do once, and the
// activation that it makes, None where it is not cheap.
func (u *unit) again(t int) (program.Instr, program.ID) {
	switch i := u.Instrs[t].(type) {
	case program.ConvTransposed:
		return i, i.Out
	case program.Conv:
		for _, v := range i.In {
			if u.Buffers[v.Buf].Role != program.Input {
				return nil, program.None
			}
		}
		i.Moments = program.None
		return i, i.Out
	}
	return nil, program.None
}

// makeAgain lets the readers of out from instruction start on read a copy that is
// made right before the first of them, if what it is made from is alive there.
func (u *unit) makeAgain(t, start int, again program.Instr, out program.ID) {
	s := u.uses()
	readers := s.readers[out]
	k, _ := slices.BinarySearch(readers, start)
	if k == 0 || k == len(readers) || !u.temp(out) {
		return
	}
	at := readers[k]
	for _, id := range again.Reads() {
		if u.Buffers[id].Role == program.Temp && s.last(id) < at {
			return
		}
	}
	b := u.Buffers[out]
	copied := u.New(b.Name+".again", b.Class, b.Role, b.Shape...)
	move := func(id program.ID) program.ID {
		if id == out {
			return copied
		}
		return id
	}
	for _, r := range readers[k:] {
		u.Instrs[r] = rename(u.Instrs[r], move)
	}
	u.Instrs = slices.Insert(u.Instrs, at, rename(again, move))
}
