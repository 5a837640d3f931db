package ref

// Geometry is a convolution: the batch, the channels on both sides, the input
// grid (D, H, W), and the kernel and stride along it.
//
// A Conv is a cross-correlation, zero padded by (kernel-1)/2 on both sides, whose
// output extent is ceil(in/stride); kernels are odd. A ConvTransposed has stride =
// kernel (Stride is not looked at), no padding, and output extent in*kernel.
type Geometry struct {
	N, Cin, Cout int
	In           [3]int
	Kernel       [3]int
	Stride       [3]int
}

// Out returns the output grid of a Conv.
func (g Geometry) Out() [3]int {
	var out [3]int
	for a := range out {
		out[a] = (g.In[a] + g.Stride[a] - 1) / g.Stride[a]
	}
	return out
}

// OutTransposed returns the output grid of a ConvTransposed.
func (g Geometry) OutTransposed() [3]int {
	return [3]int{g.In[0] * g.Kernel[0], g.In[1] * g.Kernel[1], g.In[2] * g.Kernel[2]}
}

// WeightLen returns the number of elements of the kernel array.
func (g Geometry) WeightLen() int { return g.Cin * g.Cout * volume(g.Kernel) }

func (g Geometry) pad() (p [3]int) {
	for a := range p {
		p[a] = (g.Kernel[a] - 1) / 2
	}
	return p
}

func volume(e [3]int) int { return e[0] * e[1] * e[2] }

// Conv computes out = x * w + bias. Shapes: x (N, Cin, In), w (Cout, Cin, Kernel),
// bias (Cout) or nil, out (N, Cout, Out()). Reference: torch.nn.functional.conv3d.
func Conv[T Float](g Geometry, x, w, bias, out []T) {
	og := g.Out()
	iv, ov, kv := volume(g.In), volume(og), volume(g.Kernel)
	fitConv("conv", g, ov, x, w, out)
	parallel(g.N*g.Cout, func(i int) {
		n, co := i/g.Cout, i%g.Cout
		acc := make([]float64, ov)
		for ci := range g.Cin {
			xc := x[(n*g.Cin+ci)*iv:][:iv]
			wc := w[(co*g.Cin+ci)*kv:][:kv]
			rows(g.In, og, g, func(tap, in, o, width int) {
				wv, step := float64(wc[tap]), g.Stride[2]
				for k := range width {
					acc[o+k] += wv * float64(xc[in+k*step])
				}
			})
		}
		store(out[i*ov:][:ov], acc, bias, co)
	})
}

// ConvDataGrad computes d loss/d x of a Conv. Shapes: dout (N, Cout, Out()),
// w (Cout, Cin, Kernel), dx (N, Cin, In).
func ConvDataGrad[T Float](g Geometry, dout, w, dx []T) {
	og := g.Out()
	iv, ov, kv := volume(g.In), volume(og), volume(g.Kernel)
	fitConv("conv data gradient", g, ov, dx, w, dout)
	parallel(g.N*g.Cin, func(i int) {
		n, ci := i/g.Cin, i%g.Cin
		acc := make([]float64, iv)
		for co := range g.Cout {
			dc := dout[(n*g.Cout+co)*ov:][:ov]
			wc := w[(co*g.Cin+ci)*kv:][:kv]
			rows(g.In, og, g, func(tap, in, o, width int) {
				wv, step := float64(wc[tap]), g.Stride[2]
				for k := range width {
					acc[in+k*step] += wv * float64(dc[o+k])
				}
			})
		}
		store(dx[i*iv:][:iv], acc, nil, 0)
	})
}

// ConvWeightGrad computes d loss/d w and, unless dbias is nil, d loss/d bias of a
// Conv. Shapes: x (N, Cin, In), dout (N, Cout, Out()), dw (Cout, Cin, Kernel),
// dbias (Cout).
func ConvWeightGrad[T Float](g Geometry, x, dout, dw, dbias []T) {
	og := g.Out()
	iv, ov, kv := volume(g.In), volume(og), volume(g.Kernel)
	fitConv("conv weight gradient", g, ov, x, dw, dout)
	parallel(g.Cout*g.Cin, func(i int) {
		co, ci := i/g.Cin, i%g.Cin
		acc := make([]float64, kv)
		for n := range g.N {
			xc := x[(n*g.Cin+ci)*iv:][:iv]
			dc := dout[(n*g.Cout+co)*ov:][:ov]
			rows(g.In, og, g, func(tap, in, o, width int) {
				sum, step := 0.0, g.Stride[2]
				for k := range width {
					sum += float64(xc[in+k*step]) * float64(dc[o+k])
				}
				acc[tap] += sum
			})
		}
		store(dw[i*kv:][:kv], acc, nil, 0)
	})
	biasGrad(Shape{g.N, g.Cout, ov}, dout, dbias)
}

// rows visits, for every tap of the kernel, the pairs of rows that it joins: the
// n output voxels from o on lie under the input voxels from in on, which are
// Stride[2] apart. Taps that fall into the padding are left out.
func rows(in, out [3]int, g Geometry, f func(tap, in, o, n int)) {
	pad := g.pad()
	for tap := range volume(g.Kernel) {
		kd, kh, kw := tap/(g.Kernel[1]*g.Kernel[2]), tap/g.Kernel[2]%g.Kernel[1], tap%g.Kernel[2]
		w0, w1 := span(in[2], out[2], g.Stride[2], kw-pad[2])
		d0, d1 := span(in[0], out[0], g.Stride[0], kd-pad[0])
		h0, h1 := span(in[1], out[1], g.Stride[1], kh-pad[1])
		for d := d0; d < d1; d++ {
			id := d*g.Stride[0] + kd - pad[0]
			for h := h0; h < h1; h++ {
				ih := h*g.Stride[1] + kh - pad[1]
				f(tap, (id*in[1]+ih)*in[2]+w0*g.Stride[2]+kw-pad[2], (d*out[1]+h)*out[2]+w0, w1-w0)
			}
		}
	}
}

// span returns the outputs o of [0, out) whose input o*stride+shift lies in
// [0, in); where there is none, lo = hi.
func span(in, out, stride, shift int) (lo, hi int) {
	if shift < 0 {
		lo = (-shift + stride - 1) / stride
	}
	hi = min(out, (in-shift+stride-1)/stride)
	return lo, max(lo, hi)
}

// store rounds sums to T, with bias[c] added where there is a bias.
func store[T Float](dst []T, acc []float64, bias []T, c int) {
	b := 0.0
	if bias != nil {
		b = float64(bias[c])
	}
	for i, v := range acc {
		dst[i] = T(v + b)
	}
}

// biasGrad sums dout over everything but the channels.
func biasGrad[T Float](s Shape, dout, dbias []T) {
	if dbias == nil {
		return
	}
	fit("bias gradient", "dbias", dbias, s.C)
	for c := range s.C {
		sum := 0.0
		for n := range s.N {
			for _, v := range dout[(n*s.C+c)*s.V:][:s.V] {
				sum += float64(v)
			}
		}
		dbias[c] = T(sum)
	}
}

func fitConv[T Float](op string, g Geometry, outVoxels int, x, w, out []T) {
	fit(op, "input", x, g.N*g.Cin*volume(g.In))
	fit(op, "weight", w, g.WeightLen())
	fit(op, "output", out, g.N*g.Cout*outVoxels)
}
