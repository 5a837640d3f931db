package compile

import (
	"testing"

	"noisystudent/model/program"
)

// sketch writes small programs that no U-Net leads to.
type sketch struct{ *program.Program }

func (s sketch) act(name string, r program.Role, channels int) program.ID {
	return s.New(name, program.Activation, r, 1, channels, 2, 2, 2)
}

func (s sketch) vector(name string, r program.Role, n int) program.ID {
	return s.New(name, program.Vector, r, n)
}

// conv emits a 1x1x1 convolution of x.
func (s sketch) conv(name string, x program.ID, r program.Role) program.ID {
	c := s.Buffers[x].Shape[1]
	w, out := s.New(name+".weight", program.Kernel, program.Param, c, c, 1, 1, 1), s.act(name, r, c)
	s.Emit(program.Conv{In: views([]program.ID{x}), Weight: w, Bias: program.None, Out: out, Moments: program.None, Stride: [3]int{1, 1, 1}})
	return out
}

func (s sketch) dataGrad(name string, dout program.ID) program.ID {
	c := s.Buffers[dout].Shape[1]
	w, din := s.New(name+".weight", program.Kernel, program.Param, c, c, 1, 1, 1), s.act(name, program.Temp, c)
	s.Emit(program.ConvDataGrad{DOut: dout, Weight: w, DIn: []program.ID{din}, Channels: []int{c}, Accumulate: []bool{false}, Stride: [3]int{1, 1, 1}})
	return din
}

func (s sketch) add(name string, a, b program.ID, r program.Role) program.ID {
	out := s.act(name, r, s.Buffers[a].Shape[1])
	s.Emit(program.Add{A: a, B: b, Out: out})
	return out
}

// norm emits moments, scale and activation of x.
func (s sketch) norm(name string, x program.ID, r program.Role) (out program.ID, scale program.ID) {
	c := s.Buffers[x].Shape[1]
	m, scale := s.vector(name+".moments", program.Temp, 2*c), s.vector(name+".scale", program.Temp, 2*c)
	out = s.act(name, r, c)
	s.Emit(program.Moments{In: x, Out: m},
		program.NormScale{Moments: m, Gamma: s.vector(name+".gamma", program.Param, c), Beta: s.vector(name+".beta", program.Param, c), Out: scale},
		program.NormAct{In: program.View{Buf: x, Norm: scale}, Out: out})
	return out, scale
}

func (s sketch) transposed(name string, x program.ID, r program.Role) program.ID {
	c := s.Buffers[x].Shape[1]
	out := s.act(name, r, c)
	s.Emit(program.ConvTransposed{In: view(x), Weight: s.New(name+".weight", program.Kernel, program.Param, c, c, 1, 1, 1), Bias: program.None, Out: out})
	return out
}

// lossGrad marks where the backward run starts.
func (s sketch) lossGrad(logits program.ID) program.ID {
	c, labels := s.Buffers[logits].Shape[1], s.New("labels", program.Labels, program.Input, 1, 2, 2, 2)
	sums, dlogits := s.vector("sums", program.Temp, 3*c+1), s.act("dlogits", program.Temp, c)
	l := program.Loss{ClassWeights: program.None}
	s.Emit(program.DiceCE{Logits: logits, Labels: labels, Sums: sums, Out: s.vector("loss", program.Output, 3), Loss: l},
		program.DiceCEGrad{Logits: logits, Labels: labels, Sums: sums, Seed: s.vector("seed", program.Input, 1), DLogits: dlogits, Weight: 1, Loss: l})
	return dlogits
}

// weightGrad reads x as a backward run does.
func (s sketch) weightGrad(name string, x, dout program.ID) {
	s.Emit(program.ConvWeightGrad{
		In: views([]program.ID{x}), DOut: dout, DBias: program.None, Stride: [3]int{1, 1, 1},
		DWeight: s.New(name, program.Kernel, program.Output, s.Buffers[dout].Shape[1], s.Buffers[x].Shape[1], 1, 1, 1),
	})
}

// normGrad goes backward through a norm of raw.
func (s sketch) normGrad(name string, raw, dout program.ID, r program.Role) program.ID {
	c := s.Buffers[raw].Shape[1]
	din := s.act(name, r, c)
	s.Emit(program.NormGrad{
		Raw: raw, Moments: s.vector(name+".m", program.Input, 2*c), Norm: s.vector(name+".n", program.Input, 2*c),
		Gamma: s.vector(name+".gamma", program.Param, c), DOut: dout, DIn: din,
		DGamma: s.vector(name+".dgamma", program.Output, c), DBeta: s.vector(name+".dbeta", program.Output, c),
	})
	return din
}

// Each sketch differs in one point from what its pass is for; the pass must leave
// it alone.
var leftAlone = []struct {
	name string
	pass func(*unit)
	draw func(s sketch, x program.ID)
}{
	{"moments of an upsampled activation", fuseMoments, func(s sketch, x program.ID) {
		s.norm("y", s.transposed("up", x, program.Temp), program.Output)
	}},
	{"second moments of one convolution", func(u *unit) { fuseMoments(u); fuseMoments(u) }, func(s sketch, x program.ID) {
		c := s.act("c", program.Temp, 2)
		w := s.New("w", program.Kernel, program.Param, 2, 2, 1, 1, 1)
		s.Emit(program.Conv{In: views([]program.ID{x}), Weight: w, Bias: program.None, Out: c, Moments: s.vector("m", program.Output, 4), Stride: [3]int{1, 1, 1}})
		s.norm("y", c, program.Output)
	}},
	{"activation that is an output", fuseNorms, func(s sketch, x program.ID) { s.norm("y", x, program.Output) }},
	{"activation that a loss reads too", fuseNorms, func(s sketch, x program.ID) {
		y, _ := s.norm("y", x, program.Temp)
		s.conv("z", y, program.Output)
		s.lossGrad(y)
	}},
	{"concatenation that is upsampled", fuseConcats, func(s sketch, x program.ID) {
		joined := s.act("joined", program.Temp, 4)
		s.Emit(program.Concat{In: views([]program.ID{x, x}), Out: joined})
		s.transposed("up", joined, program.Output)
	}},
	{"sum of a gradient with itself", fuseAdds, func(s sketch, x program.ID) {
		g := s.dataGrad("g", x)
		s.weightGrad("dw", x, s.add("sum", g, g, program.Temp))
	}},
	{"sum whose first term is read later", fuseAdds, func(s sketch, x program.ID) {
		a, b := s.dataGrad("a", x), s.dataGrad("b", x)
		sum := s.add("sum", a, b, program.Temp)
		s.weightGrad("dw", sum, a)
	}},
	{"sum whose second term is read too", fuseAdds, func(s sketch, x program.ID) {
		a, b := s.dataGrad("a", x), s.dataGrad("b", x)
		sum := s.add("sum", a, b, program.Temp)
		s.weightGrad("dw", sum, b)
	}},
	{"sum around a residual branch", fuseAdds, func(s sketch, x program.ID) {
		a := s.dataGrad("a", x)
		sum := s.add("sum", a, s.dataGrad("b", a), program.Temp)
		s.weightGrad("dw", x, sum)
	}},
	{"sum whose later term is a norm's gradient", fuseAdds, func(s sketch, x program.ID) {
		a := s.dataGrad("a", x)
		b := s.normGrad("b", x, s.dataGrad("c", x), program.Temp)
		s.weightGrad("dw", x, s.add("sum", a, b, program.Temp))
	}},
	{"norm gradient of a gradient that is read later", inPlace, func(s sketch, x program.ID) {
		a := s.dataGrad("a", x)
		s.weightGrad("dw", s.normGrad("b", x, a, program.Temp), a)
	}},
	{"norm gradient of an input", inPlace, func(s sketch, x program.ID) {
		s.weightGrad("dw", x, s.normGrad("b", s.conv("raw", x, program.Temp), x, program.Temp))
	}},
	{"norm gradient of its own raw values", inPlace, func(s sketch, x program.ID) {
		raw := s.conv("raw", x, program.Temp)
		s.weightGrad("dw", x, s.normGrad("b", raw, raw, program.Temp))
	}},
	{"upsampling from what is gone", recompute, func(s sketch, x program.ID) {
		up := s.transposed("up", s.conv("low", s.conv("x2", x, program.Temp), program.Temp), program.Temp)
		s.weightGrad("dw", up, s.lossGrad(up))
	}},
	{"upsampling that only the backward run reads", recompute, func(s sketch, x program.ID) {
		up := s.transposed("up", x, program.Temp)
		s.weightGrad("dw", up, s.lossGrad(s.conv("logits", s.conv("y", x, program.Output), program.Output)))
	}},
	{"upsampling that two convolutions read", fuseUpsampling, func(s sketch, x program.ID) {
		up := s.transposed("up", x, program.Temp)
		s.conv("y", up, program.Output)
		s.conv("z", up, program.Output)
	}},
	{"upsampling that is an output", fuseUpsampling, func(s sketch, x program.ID) {
		s.conv("y", s.transposed("up", x, program.Output), program.Output)
	}},
	{"upsampling of an upsampling", fuseUpsampling, func(s sketch, x program.ID) {
		s.transposed("up2", s.transposed("up", x, program.Temp), program.Output)
	}},
	{"upsampling that a norm reads", fuseUpsampling, func(s sketch, x program.ID) {
		y, _ := s.norm("y", s.transposed("up", x, program.Temp), program.Temp)
		s.conv("z", y, program.Output)
	}},
	{"upsampling that a strided convolution reads", fuseUpsampling, func(s sketch, x program.ID) {
		up, w := s.transposed("up", x, program.Temp), s.New("w", program.Kernel, program.Param, 2, 2, 1, 1, 1)
		out := s.New("out", program.Activation, program.Output, 1, 2, 1, 1, 1)
		s.Emit(program.Conv{In: views([]program.ID{up}), Weight: w, Bias: program.None, Out: out, Moments: program.None, Stride: [3]int{2, 2, 2}})
	}},
	{"upsampling away from the peak", fuseUpsampling, func(s sketch, x program.ID) {
		y := s.conv("y", s.transposed("up", x, program.Temp), program.Temp)
		more, w := s.act("more", program.Output, 40), s.New("w", program.Kernel, program.Param, 40, 2, 1, 1, 1)
		s.Emit(program.Conv{In: views([]program.ID{y}), Weight: w, Bias: program.None, Out: more, Moments: program.None, Stride: [3]int{1, 1, 1}})
	}},
	{"no backward run", recompute, func(s sketch, x program.ID) {
		s.conv("logits", s.transposed("up", x, program.Temp), program.Output)
	}},
}

func TestPassesLeaveOthersAlone(t *testing.T) {
	for _, c := range leftAlone {
		t.Run(c.name, func(t *testing.T) {
			u := &unit{&program.Program{}, newLowering(nil).net}
			s := sketch{u.Program}
			c.draw(s, s.act("x", program.Input, 2))
			if err := program.Check(u.Program); err != nil {
				t.Fatal(err)
			}
			before := u.String()
			c.pass(u)
			if after := u.String(); after != before {
				t.Errorf("before:\n%safter:\n%s", before, after)
			}
		})
	}
}

func TestRecomputeStopsWithTheForwardRun(t *testing.T) {
	u := &unit{&program.Program{}, newLowering(nil).net}
	s := sketch{u.Program}
	x := s.act("x", program.Input, 2)
	up := s.transposed("up", x, program.Temp)
	s.conv("other", up, program.Output)
	logits := s.conv("logits", up, program.Temp)
	s.weightGrad("dw", up, s.lossGrad(logits))
	recompute(u)
	if err := program.Check(u.Program); err != nil {
		t.Fatal(err)
	}
	again := u.Find("up.again")
	if again == program.None {
		t.Fatal("the upsampling is not made again")
	}
	if r := u.uses().readers; len(r[up]) != 2 || len(r[again]) != 1 || r[up][1] > r[again][0] {
		t.Errorf("readers %v and %v", r[up], r[again])
	}
}

// The two highest of the paper's five upsamplings set the peak of inference; training
// peaks elsewhere.
func TestUpsamplingsAtThePeakAreFused(t *testing.T) {
	infer, _, err := Infer(paper, 1, paperPatch)
	if err != nil {
		t.Fatal(err)
	}
	train, _, err := Train(paper, 1, paperPatch, plainLoss, program.SGD, 12)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		p             *program.Program
		fused, stored int
	}{{infer, 2, 3}, {train, 0, 10}} {
		fused, stored := 0, 0
		for _, in := range c.p.Instrs {
			if _, ok := in.(program.ConvTransposed); ok {
				stored++
			}
			for _, v := range inputs(in) {
				if v.Up != nil {
					fused++
				}
			}
		}
		if fused != c.fused || stored != c.stored {
			t.Errorf("%d upsamplings fused and %d stored, want %d and %d", fused, stored, c.fused, c.stored)
		}
	}
}

func TestFusedUpsamplingReadsWhatItsInputWas(t *testing.T) {
	u := &unit{&program.Program{}, newLowering(nil).net}
	s := sketch{u.Program}
	x := s.act("x", program.Input, 2)
	_, scale := s.norm("n", x, program.Output)
	up := s.transposed("up", x, program.Temp)
	t2 := u.Instrs[len(u.Instrs)-1].(program.ConvTransposed)
	t2.In = program.View{Buf: x, Norm: scale, Slope: 0.5}
	u.Instrs[len(u.Instrs)-1] = t2
	s.conv("y", up, program.Output)
	fuseUpsampling(u)
	if err := program.Check(u.Program); err != nil {
		t.Fatal(err)
	}
	c, ok := u.Instrs[len(u.Instrs)-1].(program.Conv)
	if !ok || len(c.In) != 1 || c.In[0].Up == nil || c.In[0].Buf != x || c.In[0].Norm != scale || c.In[0].Slope != 0.5 || c.In[0].Up.Weight != t2.Weight {
		t.Errorf("%s", u.Text(u.Instrs[len(u.Instrs)-1]))
	}
}
