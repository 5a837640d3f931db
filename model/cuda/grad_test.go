package cuda_test

import (
	"fmt"
	"math"
	"testing"

	"noisystudent/model/program"
	"noisystudent/model/random"
)

// sharedOutGrads are weight gradients that the conformance suite is too small for:
// several tiles along both axes, blocks of channels, and splits that begin and end in the
// middle of a tile's depth. A transposed convolution has its stride as kernel.
var sharedOutGrads = []struct {
	transposed     bool
	batch          int
	in             []int
	out            int
	grid           [3]int // of the input
	kernel, stride [3]int
}{
	{false, 1, []int{16, 24}, 16, [3]int{9, 17, 19}, [3]int{3, 3, 3}, [3]int{1, 1, 1}},
	{false, 1, []int{24}, 40, [3]int{9, 9, 8}, [3]int{3, 3, 3}, [3]int{1, 1, 1}},
	{false, 2, []int{20}, 20, [3]int{9, 9, 37}, [3]int{3, 3, 3}, [3]int{2, 2, 2}},
	{false, 2, []int{20}, 14, [3]int{5, 17, 19}, [3]int{1, 3, 3}, [3]int{1, 1, 1}},
	{false, 1, []int{33}, 20, [3]int{5, 11, 38}, [3]int{1, 3, 3}, [3]int{1, 2, 2}},
	{false, 1, []int{16}, 14, [3]int{9, 17, 24}, [3]int{1, 1, 1}, [3]int{1, 1, 1}},
	{false, 2, []int{1}, 20, [3]int{5, 9, 19}, [3]int{3, 3, 3}, [3]int{1, 1, 1}},
	{false, 1, []int{1}, 16, [3]int{5, 19, 37}, [3]int{1, 3, 3}, [3]int{1, 2, 2}},
	{true, 2, []int{40}, 20, [3]int{6, 5, 19}, [3]int{2, 2, 2}, [3]int{2, 2, 2}},
	{true, 1, []int{40}, 40, [3]int{6, 5, 24}, [3]int{1, 2, 2}, [3]int{1, 2, 2}},
	{true, 1, []int{8}, 1, [3]int{2, 3, 9}, [3]int{2, 2, 2}, [3]int{2, 2, 2}},
}

// TestWeightGradSharedOut compares these with ref, and with a run whose warps take turns in
// another order.
func TestWeightGradSharedOut(t *testing.T) {
	_, control := controlled(t)
	open := checked(t)
	for k, c := range sharedOutGrads {
		t.Run(fmt.Sprint(c), func(t *testing.T) {
			p := &program.Program{Precision: program.Half + program.Precision(k%2)}
			s := random.New(8, uint64(k))
			values := map[program.ID][]float32{}
			given := func(name string, class program.Class, scale float64, shape ...int) program.ID {
				id := p.New(name, class, program.Input, shape...)
				for range p.Buffers[id].Len() { // of so few bits that it is stored as it is
					values[id] = append(values[id], float32(math.Round(32*scale*s.Normal())/32))
				}
				return id
			}
			total, outShape := 0, []int{c.batch, c.out, 0, 0, 0}
			for a, n := range c.grid {
				if outShape[2+a] = (n + c.stride[a] - 1) / c.stride[a]; c.transposed {
					outShape[2+a] = n * c.stride[a]
				}
			}
			var in []program.View
			for i, n := range c.in {
				v := program.View{Buf: given(fmt.Sprint("x", i), program.Activation, 1, c.batch, n, c.grid[0], c.grid[1], c.grid[2]), Norm: program.None}
				if i != 1 {
					v.Norm, v.Slope = given(fmt.Sprint("norm", i), program.Vector, 0.5, c.batch, n, 2), 0.01
				}
				in, total = append(in, v), total+n
			}
			dout := given("dout", program.Activation, 1, outShape...)
			channels := [2]int{c.out, total}
			if c.transposed {
				channels = [2]int{total, c.out}
			}
			dweight := p.New("dweight", program.Kernel, program.Output, channels[0], channels[1], c.kernel[0], c.kernel[1], c.kernel[2])
			dbias := p.New("dbias", program.Vector, program.Output, c.out)
			if c.transposed {
				p.Emit(program.ConvTransposedWeightGrad{In: in[0], DOut: dout, DWeight: dweight, DBias: dbias})
			} else {
				p.Emit(program.ConvWeightGrad{In: in, DOut: dout, DWeight: dweight, DBias: dbias, Stride: c.stride})
			}
			wanted := []program.ID{dweight, dbias}
			compare(t, open, control, uint64(1+k), p, values, wanted)
		})
	}
}
