package ref

// ConvTransposed computes the transposed convolution with stride = kernel and no
// padding. Shapes: x (N, Cin, In), w (Cin, Cout, Kernel), bias (Cout) or nil,
// out (N, Cout, OutTransposed()). Reference: torch.nn.functional.conv_transpose3d.
func ConvTransposed[T Float](g Geometry, x, w, bias, out []T) {
	og := g.OutTransposed()
	iv, ov, kv := volume(g.In), volume(og), volume(g.Kernel)
	fitConv("transposed conv", g, ov, x, w, out)
	parallel(g.N*g.Cout, func(i int) {
		n, co := i/g.Cout, i%g.Cout
		acc := make([]float64, ov)
		for ci := range g.Cin {
			xc := x[(n*g.Cin+ci)*iv:][:iv]
			wc := w[(ci*g.Cout+co)*kv:][:kv]
			rowsTransposed(g, func(tap, in, o int) {
				wv := float64(wc[tap])
				for k := range g.In[2] {
					acc[o+k*g.Kernel[2]] += wv * float64(xc[in+k])
				}
			})
		}
		store(out[i*ov:][:ov], acc, bias, co)
	})
}

// ConvTransposedDataGrad computes d loss/d x of a ConvTransposed. Shapes: dout
// (N, Cout, OutTransposed()), w (Cin, Cout, Kernel), dx (N, Cin, In).
func ConvTransposedDataGrad[T Float](g Geometry, dout, w, dx []T) {
	iv, ov, kv := volume(g.In), volume(g.OutTransposed()), volume(g.Kernel)
	fitConv("transposed conv data gradient", g, ov, dx, w, dout)
	parallel(g.N*g.Cin, func(i int) {
		n, ci := i/g.Cin, i%g.Cin
		acc := make([]float64, iv)
		for co := range g.Cout {
			dc := dout[(n*g.Cout+co)*ov:][:ov]
			wc := w[(ci*g.Cout+co)*kv:][:kv]
			rowsTransposed(g, func(tap, in, o int) {
				wv := float64(wc[tap])
				for k := range g.In[2] {
					acc[in+k] += wv * float64(dc[o+k*g.Kernel[2]])
				}
			})
		}
		store(dx[i*iv:][:iv], acc, nil, 0)
	})
}

// ConvTransposedWeightGrad computes d loss/d w and, unless dbias is nil, d loss/d
// bias of a ConvTransposed. Shapes: x (N, Cin, In), dout (N, Cout,
// OutTransposed()), dw (Cin, Cout, Kernel), dbias (Cout).
func ConvTransposedWeightGrad[T Float](g Geometry, x, dout, dw, dbias []T) {
	iv, ov, kv := volume(g.In), volume(g.OutTransposed()), volume(g.Kernel)
	fitConv("transposed conv weight gradient", g, ov, x, dw, dout)
	parallel(g.Cin*g.Cout, func(i int) {
		ci, co := i/g.Cout, i%g.Cout
		acc := make([]float64, kv)
		for n := range g.N {
			xc := x[(n*g.Cin+ci)*iv:][:iv]
			dc := dout[(n*g.Cout+co)*ov:][:ov]
			rowsTransposed(g, func(tap, in, o int) {
				sum := 0.0
				for k := range g.In[2] {
					sum += float64(xc[in+k]) * float64(dc[o+k*g.Kernel[2]])
				}
				acc[tap] += sum
			})
		}
		store(dw[i*kv:][:kv], acc, nil, 0)
	})
	biasGrad(Shape{g.N, g.Cout, ov}, dout, dbias)
}

// rowsTransposed visits, for every tap of the kernel, each input row (from in on)
// and the output voxels that it alone feeds (from o on, Kernel[2] apart).
func rowsTransposed(g Geometry, f func(tap, in, o int)) {
	out := g.OutTransposed()
	for tap := range volume(g.Kernel) {
		kd, kh, kw := tap/(g.Kernel[1]*g.Kernel[2]), tap/g.Kernel[2]%g.Kernel[1], tap%g.Kernel[2]
		for d := range g.In[0] {
			for h := range g.In[1] {
				o := ((d*g.Kernel[0]+kd)*out[1]+h*g.Kernel[1]+kh)*out[2] + kw
				f(tap, (d*g.In[1]+h)*g.In[2], o)
			}
		}
	}
}
