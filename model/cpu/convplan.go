package cpu

import (
	"slices"

	"noisystudent/model/program"
)

// grid returns the (D, H, W) of an activation.
func grid(shape []int) [3]int { return [3]int(shape[2:5]) }

// newConvOp begins a plan; rounds says whether factors may be bfloat16.
func (l *loaded) newConvOp(batch int, out [3]int, rounds bool) *convOp {
	t := l.dev.table
	c := &convOp{l: l, table: t, kernels: &t.conv, format: t.format(), batch: batch, out: out}
	if rounds && l.half != nil {
		c.half, c.kernels, c.format = l.half, &l.half.conv, l.half.format()
	}
	return c
}

func (c *convOp) layTaps(k kernelLayout) {
	c.tapH = 4 * k.tapFloats()
	c.tapD = k.kh * c.tapH
}

// read plans how a convolution reads its weights, and what has to be done before.
func (c *convOp) read(id program.ID, in []*source) (k kernelLayout, before []phase) {
	if c.half != nil {
		h := c.halveWeights(id, in)
		k, before = h.to, []phase{h.phase()}
	} else {
		k = newKernelLayout(c.l.shape(id))
		c.weights = func() []float32 { return c.l.floats(id) }
		c.segments = segments(in, k)
	}
	c.layTaps(k)
	return k, before
}

// gridOf returns the (D, H, W) of a view.
func (l *loaded) gridOf(v program.View) [3]int {
	if v.Up == nil {
		return grid(l.shape(v.Buf))
	}
	return grid(program.Upsampled(l.shape(v.Buf), l.shape(v.Up.Weight)))
}

// leavesImage reports whether a convolution goes from the image's grid to a coarser
// one. Every deeper stage inherits what it rounds: half of a network's error.
func (l *loaded) leavesImage(in, stride [3]int) bool {
	return stride != [3]int{1, 1, 1} && slices.ContainsFunc(l.p.Buffers, func(b program.Buffer) bool {
		return plain(b) && grid(b.Shape) == in
	})
}

// newConv plans a convolution. A plain one-channel image is gathered by kernel
// rows instead of being spread over 16 lanes.
func (l *loaded) newConv(i program.Conv) op {
	k, out := newKernelLayout(l.shape(i.Weight)), l.shape(i.Out)
	gathers := l.gathers(i.In, k, i.Stride)
	in := l.gridOf(i.In[0])
	rounds := !gathers && !l.transforms(k, i.Stride, out[0]*voxels(out)) && !l.leavesImage(in, i.Stride)
	c := l.newConvOp(out[0], grid(out), rounds)
	c.taps[0] = forwardTaps(in[0], c.out[0], k.kd, i.Stride[0], (k.kd-1)/2)
	c.taps[1] = forwardTaps(in[1], c.out[1], k.kh, i.Stride[1], (k.kh-1)/2)
	var sources []*source
	var before []phase
	if gathers {
		c.pack = l.gatherPacker(i.In[0].Buf, k, c.taps)
		c.weights = func() []float32 { return l.floats(i.Weight) }
		c.segments = []segment{{channels: k.taps()}}
		c.taps = identityTaps(c.out)
		c.layTaps(k)
	} else {
		sources = l.sources(i.In)
		c.pack = newPacker(c.format, sources, in, forwardColumns(in[2], c.out[2], k.kw, i.Stride[2]), k.kw > 1)
		k, before = c.read(i.Weight, sources)
	}
	c.forwardPass(k.kw, i.Stride[2])
	c.assign(l.floats(i.Out), k, false)
	if i.Moments != program.None {
		c.moments = &momentsOut{id: i.Moments}
	}
	begin := func() { prepare(sources); c.bias(i.Bias) }
	before = append(turns(sources), before...)
	if o := c.winograd(k, i.Stride, false); o != nil {
		return o.op("conv", begin, 0, before...)
	}
	return c.op("conv", begin, before...)
}

// newTransposed plans a transposed convolution: the data gradient of a convolution
// whose stride is its kernel, so its weights are packed the other way round.
func (l *loaded) newTransposed(i program.ConvTransposed) op {
	k, out := newKernelLayout(l.shape(i.Weight)), l.shape(i.Out)
	in := grid(l.shape(i.In.Buf))
	c := l.newConvOp(out[0], grid(out), true)
	c.taps[0] = backwardTaps(c.out[0], in[0], k.kd, k.kd, 0)
	c.taps[1] = backwardTaps(c.out[1], in[1], k.kh, k.kh, 0)
	sources := l.sources([]program.View{i.In})
	c.pack = newPacker(c.format, sources, in, []columns{{0, 1, in[2]}}, false)
	for j := range k.kw {
		c.addPass(pass{kind: point, columns: []column{{0, j * pixelBytes}}, first: j, step: k.kw, count: in[2], inStep: c.format.pixel})
	}
	t := c.turn(i.Weight, []int{k.b}, false)
	to := t.to
	to.a = k.b
	c.assign(l.floats(i.Out), to, false)
	return c.op("transposed conv", func() { prepare(sources); c.bias(i.Bias) }, t.phase())
}

// newDataGrad plans the gradient of a convolution by its inputs.
func (l *loaded) newDataGrad(i program.ConvDataGrad) op {
	k, dout := newKernelLayout(l.shape(i.Weight)), grid(l.shape(i.DOut))
	var channels []int
	var out []int
	for j, id := range i.DIn {
		n := i.Channels[j]
		if id == program.None {
			n = -n
		} else {
			out = l.shape(id)
		}
		channels = append(channels, n)
	}
	back := turned(k, len(channelBlocks(channels)))
	c := l.newConvOp(out[0], grid(out), !l.transforms(back, i.Stride, out[0]*voxels(out)))
	c.taps[0] = backwardTaps(c.out[0], dout[0], k.kd, i.Stride[0], (k.kd-1)/2)
	c.taps[1] = backwardTaps(c.out[1], dout[1], k.kh, i.Stride[1], (k.kh-1)/2)
	sources := l.sources([]program.View{{Buf: i.DOut, Norm: program.None}})
	c.pack = newPacker(c.format, sources, dout, []columns{{0, 1, dout[2]}}, k.kw > 1)
	c.backwardPasses(k.kw, i.Stride[2])
	t := c.turn(i.Weight, channels, k.kw > 1 && i.Stride[2] == 1)
	block := 0
	for j, id := range i.DIn {
		if id != program.None {
			part := t.to
			part.a = i.Channels[j]
			c.assignFrom(l.floats(id), part, block, i.Accumulate[j])
			block += blocks(i.Channels[j])
		}
	}
	begin := func() { prepare(sources) }
	if o := c.winograd(t.to, i.Stride, true); o != nil {
		return o.op("conv data gradient", begin, t.to.floats(), t.phase())
	}
	return c.op("conv data gradient", begin, t.phase())
}

// newTransposedDataGrad plans the gradient of a transposed convolution by its
// input: a convolution without padding whose stride is its kernel.
func (l *loaded) newTransposedDataGrad(i program.ConvTransposedDataGrad) op {
	k, in := newKernelLayout(l.shape(i.Weight)), grid(l.shape(i.DOut))
	out := l.shape(i.DIn)
	c := l.newConvOp(out[0], grid(out), true)
	c.taps[0] = forwardTaps(in[0], c.out[0], k.kd, k.kd, 0)
	c.taps[1] = forwardTaps(in[1], c.out[1], k.kh, k.kh, 0)
	sources := l.sources([]program.View{{Buf: i.DOut, Norm: program.None}})
	p := pass{kind: point, step: 1, count: c.out[2], inStep: c.format.pixel}
	var cols []columns
	for j := range k.kw {
		cols = append(cols, columns{j, k.kw, c.out[2]})
		p.columns = append(p.columns, column{j * c.out[2] * c.format.pixel, j * pixelBytes})
	}
	c.pack = newPacker(c.format, sources, in, cols, false)
	c.addPass(p)
	k, before := c.read(i.Weight, sources)
	c.assign(l.floats(i.DIn), k, i.Accumulate)
	return c.op("transposed conv data gradient", func() { prepare(sources) }, before...)
}

func prepare(list []*source) {
	for _, s := range list {
		s.prepare()
	}
}

// turns are the phases that pack weights of upsamplings.
func turns(list []*source) (phases []phase) {
	for _, s := range list {
		if s.up != nil {
			phases = append(phases, s.up.turn.phase())
		}
	}
	return phases
}

func (l *loaded) sources(views []program.View) []*source {
	var list []*source
	for _, v := range views {
		list = append(list, l.source(v))
	}
	return list
}
