package devicetest

import (
	"fmt"

	"noisystudent/model/program"
)

// upsampledCases have convolutions that upsample an input while they read it, alone
// and beside others: every kernel of the upsampling, in turn with every kernel of
// the convolution and, for the last, as the network has it.
func upsampledCases() []testCase {
	var all []testCase
	for k := range 16 {
		up := convolution{
			n: 1 + k%2, in: []int{channels[(3*k+4)%len(channels)]}, out: channels[(5*k+2)%len(channels)],
			normed: []bool{k%3 != 0}, grid: [3]int{1 + k%3, 1 + k/2%4, widths[k%len(widths)]}, kernel: [3]int{1 + k&1, 1 + k>>1&1, 1 + k>>2&1},
		}
		beside, kernel := channels[(k+3)%len(channels)], kernels[k%len(kernels)]
		if k%4 == 3 {
			beside = 0
		}
		if k == 15 {
			up.in[0], up.out, beside = 32, 16, 16
		}
		all = append(all, up.upsampledCase(uint64(k), beside, kernel))
	}
	return all
}

// upsampledCase joins up's result with an activation of so many channels, if any,
// and has both a convolution and its gradient by weight read them.
func (up convolution) upsampledCase(seed uint64, beside int, kernel [3]int) testCase {
	name := fmt.Sprintf("upsampled conv/%s, %d beside, k%d%d%d", up, beside, kernel[0], kernel[1], kernel[2])
	return testCase{name, func() *problem {
		b := newProblem(24, seed)
		v := up.views(b)[0]
		v.Up = &program.Upsampling{Weight: b.kernel("up", up.in[0], up.out, up.kernel[0], up.kernel[1], up.kernel[2]), Bias: program.None}
		if seed%4 != 0 {
			v.Up.Bias = b.given("up bias", program.Vector, program.Param, 1, 0.5, up.out)
		}
		shape := up.enlarged()
		views := []program.View{v}
		if beside > 0 {
			views = append(views, b.view("beside", true, up.n, beside, shape[2], shape[3], shape[4]))
		}
		g := convolution{n: up.n, in: []int{up.out + beside}, out: channels[(2*seed+3)%8], grid: [3]int(shape[2:]), kernel: kernel, stride: [3]int{1, 1, 1}}
		g.emit(b, views)
		return b
	}, seed%4 == 0}
}

// emit writes a convolution of views, and its gradient by weight.
func (g convolution) emit(b *problem, views []program.View) {
	weight := []int{g.out, g.in[0], g.kernel[0], g.kernel[1], g.kernel[2]}
	b.Emit(program.Conv{
		In: views, Weight: b.kernel("weight", weight...), Bias: program.None, Stride: g.stride,
		Out: b.want("out", program.Activation, g.outShape()...), Moments: b.want("moments", program.Vector, g.n, g.out, 2),
	}, program.ConvWeightGrad{
		In: views, DOut: b.activation("dout", g.outShape()...), DBias: program.None, Stride: g.stride,
		DWeight: b.want("dweight", program.Kernel, weight...),
	})
}
