package program

import "slices"

// checkOperands checks classes, shapes and in-place use of one instruction.
func checkOperands(p *Program, in Instr) error {
	c := &operands{p: p}
	switch i := in.(type) {
	case Conv:
		s, out := c.concat(i.In), c.shape("out", i.Out, Activation)
		c.upsampled(i.In, i.Stride)
		c.conv(s, c.shape("weight", i.Weight, Kernel), out, i.Stride)
		c.optional("bias", i.Bias, out[1])
		c.optional("moments", i.Moments, out[0]*out[1]*2)
	case ConvTransposed:
		out := c.shape("out", i.Out, Activation)
		c.stored(i.In)
		c.transposed(c.view("in", i.In), c.shape("weight", i.Weight, Kernel), out)
		c.optional("bias", i.Bias, out[1])
	case ConvWeightGrad:
		s, out := c.concat(i.In), c.shape("dout", i.DOut, Activation)
		c.upsampled(i.In, i.Stride)
		c.conv(s, c.shape("dweight", i.DWeight, Kernel), out, i.Stride)
		c.optional("dbias", i.DBias, out[1])
	case ConvDataGrad:
		c.dataGrad(i)
	case ConvTransposedWeightGrad:
		out := c.shape("dout", i.DOut, Activation)
		c.stored(i.In)
		c.transposed(c.view("in", i.In), c.shape("dweight", i.DWeight, Kernel), out)
		c.optional("dbias", i.DBias, out[1])
	case ConvTransposedDataGrad:
		c.transposed(c.shape("din", i.DIn, Activation), c.shape("weight", i.Weight, Kernel), c.shape("dout", i.DOut, Activation))
	default:
		c.pointwise(in)
	}
	c.inPlace(in)
	return c.err
}

// dataGrad checks the inputs that a ConvDataGrad is cut into.
func (c *operands) dataGrad(i ConvDataGrad) {
	out, weight := c.shape("dout", i.DOut, Activation), c.shape("weight", i.Weight, Kernel)
	if len(i.DIn) != len(i.Channels) || len(i.DIn) != len(i.Accumulate) {
		c.fail("%d inputs, %d channel counts, %d accumulate flags", len(i.DIn), len(i.Channels), len(i.Accumulate))
		return
	}
	all, wanted := []int{out[0], 0, 0, 0, 0}, false
	for k, n := range i.Channels {
		if n < 1 {
			c.fail("input %d has %d channels", k, n)
		}
		all[1] += n
		if i.DIn[k] == None {
			continue
		}
		s := c.shape("din", i.DIn[k], Activation)
		if wanted {
			c.same("din", s[2:], all[2:])
		}
		copy(all[2:], s[2:])
		c.same("din", s[:2], []int{out[0], n})
		wanted = true
	}
	if !wanted {
		c.fail("din: no input is wanted")
		return
	}
	c.conv(all, weight, out, i.Stride)
}

// pointwise checks the instructions that are not convolutions.
func (c *operands) pointwise(in Instr) {
	switch i := in.(type) {
	case Moments:
		s := c.shape("in", i.In, Activation)
		c.vector("out", i.Out, s[0]*s[1]*2)
	case NormScale:
		c.normScale(i)
	case NormAct:
		c.stored(i.In)
		c.same("out", c.shape("out", i.Out, Activation), c.view("in", i.In))
	case Concat:
		c.stored(i.In...)
		c.same("out", c.shape("out", i.Out, Activation), c.concat(i.In))
	case NormGrad:
		c.normGrad(i)
	case Add:
		c.add(i)
	case LabelsNearest:
		s, out := c.shape("in", i.In, Labels), c.shape("out", i.Out, Labels)
		c.same("out", out[:1], s[:1])
	case DiceCE:
		c.loss(i.Logits, i.Labels, i.Sums, i.Loss)
		c.vector("out", i.Out, 3)
	case DiceCEGrad:
		s := c.loss(i.Logits, i.Labels, i.Sums, i.Loss)
		c.vector("seed", i.Seed, 1)
		c.same("dlogits", c.shape("dlogits", i.DLogits, Activation), s)
	case WeightedSum:
		c.weightedSum(i)
	case GradNorm:
		c.gradNorm(i)
	case Update:
		c.update(i)
	default:
		c.fail("unknown instruction %T", in)
	}
}

func (c *operands) normScale(i NormScale) {
	if !c.exists("moments", i.Moments) || !c.exists("gamma", i.Gamma) {
		return
	}
	n, channels := c.p.Buffers[i.Moments].Len(), c.p.Buffers[i.Gamma].Len()
	if n%(2*channels) != 0 {
		c.fail("moments: %d elements for %d channels", n, channels)
	}
	c.vector("moments", i.Moments, n)
	c.vector("gamma", i.Gamma, channels)
	c.vector("beta", i.Beta, channels)
	c.vector("out", i.Out, n)
}

func (c *operands) normGrad(i NormGrad) {
	s := c.shape("raw", i.Raw, Activation)
	c.same("dout", c.shape("dout", i.DOut, Activation), s)
	c.same("din", c.shape("din", i.DIn, Activation), s)
	c.vector("moments", i.Moments, s[0]*s[1]*2)
	c.vector("norm", i.Norm, s[0]*s[1]*2)
	c.vector("gamma", i.Gamma, s[1])
	c.vector("dgamma", i.DGamma, s[1])
	c.vector("dbeta", i.DBeta, s[1])
}

func (c *operands) add(i Add) {
	if !c.exists("a", i.A) {
		return
	}
	class := c.p.Buffers[i.A].Class
	if class == Labels {
		c.fail("labels cannot be added")
	}
	s := c.shape("a", i.A, class)
	c.same("b", c.shape("b", i.B, class), s)
	c.same("out", c.shape("out", i.Out, class), s)
}

// loss checks what DiceCE and its gradient share and returns the shape of the logits.
func (c *operands) loss(logits, labels, sums ID, l Loss) []int {
	s := c.shape("logits", logits, Activation)
	c.same("labels", c.shape("labels", labels, Labels), []int{s[0], s[2], s[3], s[4]})
	c.vector("sums", sums, s[0]*s[1]*3+1)
	c.optional("class weights", l.ClassWeights, s[1])
	if s[1] < 2 {
		c.fail("%d classes, need at least 2", s[1])
	}
	return s
}

func (c *operands) weightedSum(i WeightedSum) {
	if len(i.Terms) == 0 || len(i.Terms) != len(i.Weights) || !c.exists("out", i.Out) {
		c.fail("%d terms with %d weights", len(i.Terms), len(i.Weights))
		return
	}
	for _, id := range append(slices.Clone(i.Terms), i.Out) {
		c.vector("term", id, c.p.Buffers[i.Out].Len())
	}
}

func (c *operands) gradNorm(i GradNorm) {
	for _, id := range i.Grads {
		if c.exists("gradient", id) && c.p.Buffers[id].Class != Kernel && c.p.Buffers[id].Class != Vector {
			c.fail("gradient %q is %s", c.p.Buffers[id].Name, c.p.Buffers[id].Class)
		}
	}
	c.vector("seed", i.Seed, 1)
	c.vector("out", i.Out, 2)
}

func (c *operands) update(i Update) {
	if !c.exists("param", i.Param) {
		return
	}
	if i.Rule != SGD && i.Rule != AdamW {
		c.fail("unknown rule %d", i.Rule)
		return
	}
	b := c.p.Buffers[i.Param]
	for _, id := range append(slices.Clone(i.State), i.Grad) {
		c.same("state or gradient", c.shape("state or gradient", id, b.Class), b.Shape)
	}
	if len(i.State) != i.Rule.States() {
		c.fail("%d states, need %d", len(i.State), i.Rule.States())
	}
	c.vector("hyper", i.Hyper, i.Rule.HyperLen())
	c.vector("norm", i.Norm, 2)
}

func (c *operands) exists(name string, id ID) bool {
	if id < 0 || int(id) >= len(c.p.Buffers) {
		c.fail("%s: no buffer %d", name, id)
		return false
	}
	return true
}

// inPlace refuses a buffer that an instruction writes twice, or reads and writes
// where its definition does not allow that.
func (c *operands) inPlace(in Instr) {
	if c.err != nil {
		return
	}
	writes := in.Writes()
	allowed := map[ID]bool{}
	switch i := in.(type) {
	case Add:
		allowed[i.Out] = true
	case NormGrad:
		allowed[i.DIn] = i.DIn == i.DOut && i.DIn != i.Raw
	case ConvDataGrad:
		for k, id := range i.DIn {
			allowed[id] = i.Accumulate[k] && id != i.DOut
		}
	case ConvTransposedDataGrad:
		allowed[i.DIn] = i.Accumulate && i.DIn != i.DOut
	case Update:
		allowed[i.Param] = i.Param != i.Grad
		for _, id := range i.State {
			allowed[id] = id != i.Grad
		}
	}
	reads := in.Reads()
	for k, id := range writes {
		if slices.Contains(writes[:k], id) {
			c.fail("writes %q twice", c.p.Buffers[id].Name)
		}
		if slices.Contains(reads, id) && !allowed[id] {
			c.fail("reads and writes %q", c.p.Buffers[id].Name)
		}
	}
}
