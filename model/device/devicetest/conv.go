package devicetest

import (
	"fmt"

	"noisystudent/model/program"
)

var (
	kernels  = [][3]int{{1, 1, 1}, {1, 3, 3}, {3, 3, 3}}
	channels = []int{1, 3, 7, 14, 16, 17, 33, 48}
	widths   = []int{1, 5, 7, 12, 13, 24, 25}
	strides  = [][3]int{{1, 1, 1}, {1, 2, 2}, {2, 2, 2}, {1, 1, 2}, {1, 2, 1}, {2, 1, 1}, {2, 1, 2}, {2, 2, 1}}
)

// convolution is the geometry of one case: the channels of each input, whether it
// is seen through a norm, and the rest.
type convolution struct {
	n, out         int
	in             []int
	normed         []bool
	grid           [3]int
	kernel, stride [3]int
}

func (g convolution) String() string {
	return fmt.Sprintf("k%d%d%d s%d%d%d c%v-%d n%d %dx%dx%d normed%v", g.kernel[0], g.kernel[1], g.kernel[2],
		g.stride[0], g.stride[1], g.stride[2], g.in, g.out, g.n, g.grid[0], g.grid[1], g.grid[2], g.normed)
}

// convolutions walks all pairs of kernel and stride twice; channels, widths and
// the kinds of input go round beside them, each at its own pace.
func convolutions() []convolution {
	var all []convolution
	k := 0
	for round := range 2 {
		for _, kernel := range kernels {
			for _, stride := range strides {
				g := convolution{
					n: 1 + k%2, out: channels[(3*k+round)%len(channels)], in: []int{channels[(5*k+2)%len(channels)]},
					grid: [3]int{1 + (k+round)%4, 1 + (2*k+round)%5, widths[k%len(widths)]}, kernel: kernel, stride: stride,
				}
				g.normed = []bool{k%3 != 0}
				if k%4 == 1 {
					g.in, g.normed = append(g.in, channels[(k+1)%len(channels)]), append(g.normed, k%3 != 1)
				}
				all = append(all, g)
				k++
			}
		}
	}
	// What networks are made of, the ends of half a block, and three inputs at once.
	same, half := [3]int{1, 1, 1}, [3]int{2, 2, 2}
	return append(all,
		convolution{2, 16, []int{1}, []bool{false}, [3]int{3, 9, 33}, kernels[1], same},
		convolution{2, 32, []int{32, 32}, []bool{false, true}, [3]int{4, 6, 24}, kernels[2], same},
		convolution{1, 64, []int{32}, []bool{true}, [3]int{4, 6, 24}, kernels[2], half},
		convolution{2, 14, []int{16}, []bool{true}, [3]int{3, 5, 48}, kernels[0], same},
		convolution{2, 8, []int{8, 8}, []bool{false, true}, [3]int{3, 5, 26}, kernels[2], same},
		convolution{1, 9, []int{8}, []bool{true}, [3]int{2, 5, 13}, kernels[1], half},
		convolution{1, 8, []int{24}, []bool{true}, [3]int{3, 4, 12}, kernels[0], same},
		convolution{1, 17, []int{16, 3, 20}, []bool{true, false, true}, [3]int{2, 3, 13}, kernels[2], same},
	)
}

func convCases() []testCase {
	var all []testCase
	for k, g := range convolutions() {
		seed := uint64(k)
		all = append(all,
			testCase{"conv/" + g.String(), func() *problem { return g.forward(seed) }, k == 55},
			testCase{"conv weight grad/" + g.String(), func() *problem { return g.weightGrad(seed) }, k > 47},
			testCase{"conv data grad/" + g.String(), func() *problem { return g.dataGrad(seed) }, k == 53},
		)
	}
	return all
}

func (g convolution) outShape() []int {
	s := []int{g.n, g.out, 0, 0, 0}
	for a := range 3 {
		s[2+a] = (g.grid[a] + g.stride[a] - 1) / g.stride[a]
	}
	return s
}

func (g convolution) total() (n int) {
	for _, c := range g.in {
		n += c
	}
	return n
}

func (g convolution) views(b *problem) []program.View {
	var list []program.View
	for i, c := range g.in {
		list = append(list, b.view(fmt.Sprintf("in%d", i), g.normed[i], g.n, c, g.grid[0], g.grid[1], g.grid[2]))
	}
	return list
}

// forward has bias and moments in turns.
func (g convolution) forward(seed uint64) *problem {
	b := newProblem(1, seed)
	i := program.Conv{In: g.views(b), Stride: g.stride, Bias: program.None, Moments: program.None}
	i.Weight = b.kernel("weight", g.out, g.total(), g.kernel[0], g.kernel[1], g.kernel[2])
	if seed%5 != 0 {
		i.Bias = b.given("bias", program.Vector, program.Param, 1, 0.5, g.out)
	}
	i.Out = b.want("out", program.Activation, g.outShape()...)
	if seed%3 != 0 {
		i.Moments = b.want("moments", program.Vector, g.n, g.out, 2)
	}
	b.Emit(i)
	return b
}

func (g convolution) weightGrad(seed uint64) *problem {
	b := newProblem(2, seed)
	i := program.ConvWeightGrad{In: g.views(b), Stride: g.stride, DBias: program.None}
	i.DOut = b.activation("dout", g.outShape()...)
	i.DWeight = b.want("dweight", program.Kernel, g.out, g.total(), g.kernel[0], g.kernel[1], g.kernel[2])
	if seed%4 != 0 {
		i.DBias = b.want("dbias", program.Vector, g.out)
	}
	b.Emit(i)
	return b
}

// dataGrad leaves out and accumulates inputs in turns.
func (g convolution) dataGrad(seed uint64) *problem {
	b := newProblem(3, seed)
	i := program.ConvDataGrad{Stride: g.stride}
	for k, c := range g.in {
		shape := []int{g.n, c, g.grid[0], g.grid[1], g.grid[2]}
		name, id := fmt.Sprintf("din%d", k), program.None
		accumulate := (int(seed)+k)%3 == 0
		switch {
		case accumulate:
			id = b.written(name, shape...)
		case len(g.in) == 1 || (int(seed)/4+k)%2 == 0 || len(g.in) == 3 && k == 2:
			id = b.want(name, program.Activation, shape...)
		}
		i.DIn, i.Channels, i.Accumulate = append(i.DIn, id), append(i.Channels, c), append(i.Accumulate, accumulate)
	}
	i.DOut = b.activation("dout", g.outShape()...)
	i.Weight = b.kernel("weight", g.out, g.total(), g.kernel[0], g.kernel[1], g.kernel[2])
	b.Emit(i)
	return b
}

func transposedCases() []testCase {
	var all []testCase
	for k := range 16 {
		kernel := [3]int{1 + k&1, 1 + k>>1&1, 1 + k>>2&1}
		g := convolution{
			n: 1 + k%2, in: []int{channels[(5*k+3)%len(channels)]}, out: channels[(3*k+4)%len(channels)],
			normed: []bool{k%3 != 0}, grid: [3]int{1 + k%3, 1 + k%4, widths[k%len(widths)]}, kernel: kernel, stride: kernel,
		}
		seed := uint64(k)
		all = append(all,
			testCase{"transposed conv/" + g.String(), func() *problem { return g.transposed(seed) }, k == 6},
			testCase{"transposed conv weight grad/" + g.String(), func() *problem { return g.transposedWeightGrad(seed) }, false},
			testCase{"transposed conv data grad/" + g.String(), func() *problem { return g.transposedDataGrad(seed) }, k == 6},
		)
	}
	return all
}

func (g convolution) enlarged() []int {
	return []int{g.n, g.out, g.grid[0] * g.kernel[0], g.grid[1] * g.kernel[1], g.grid[2] * g.kernel[2]}
}

func (g convolution) transposed(seed uint64) *problem {
	b := newProblem(4, seed)
	i := program.ConvTransposed{In: g.views(b)[0], Bias: program.None}
	i.Weight = b.kernel("weight", g.in[0], g.out, g.kernel[0], g.kernel[1], g.kernel[2])
	if seed%4 != 0 {
		i.Bias = b.given("bias", program.Vector, program.Param, 1, 0.5, g.out)
	}
	i.Out = b.want("out", program.Activation, g.enlarged()...)
	b.Emit(i)
	return b
}

func (g convolution) transposedWeightGrad(seed uint64) *problem {
	b := newProblem(5, seed)
	i := program.ConvTransposedWeightGrad{In: g.views(b)[0], DBias: program.None}
	i.DOut = b.activation("dout", g.enlarged()...)
	i.DWeight = b.want("dweight", program.Kernel, g.in[0], g.out, g.kernel[0], g.kernel[1], g.kernel[2])
	if seed%4 != 0 {
		i.DBias = b.want("dbias", program.Vector, g.out)
	}
	b.Emit(i)
	return b
}

func (g convolution) transposedDataGrad(seed uint64) *problem {
	b := newProblem(6, seed)
	i := program.ConvTransposedDataGrad{Accumulate: seed%2 == 1}
	shape := []int{g.n, g.in[0], g.grid[0], g.grid[1], g.grid[2]}
	if i.Accumulate {
		i.DIn = b.written("din", shape...)
	} else {
		i.DIn = b.want("din", program.Activation, shape...)
	}
	i.DOut = b.activation("dout", g.enlarged()...)
	i.Weight = b.kernel("weight", g.in[0], g.out, g.kernel[0], g.kernel[1], g.kernel[2])
	b.Emit(i)
	return b
}
