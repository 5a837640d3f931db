package cuda_test

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"noisystudent/model/compile"
	"noisystudent/model/cuda/emulator"
	"noisystudent/model/device"
	"noisystudent/model/device/devicetest"
	"noisystudent/model/program"
	"noisystudent/model/random"
	"noisystudent/model/ref"
)

// sharedOut are convolutions that the conformance suite is too small for: several tiles
// along every axis and of output channels, input channels split over blocks, and these
// with several views.
var sharedOut = []struct {
	batch          int
	in             []int
	out            int
	grid           [3]int
	kernel, stride [3]int
}{
	{1, []int{16}, 16, [3]int{5, 18, 35}, [3]int{1, 3, 3}, [3]int{1, 1, 1}},
	{1, []int{16, 24}, 40, [3]int{3, 9, 31}, [3]int{3, 3, 3}, [3]int{1, 1, 1}},
	{1, []int{24}, 72, [3]int{3, 9, 20}, [3]int{3, 3, 3}, [3]int{1, 1, 1}},
	{1, []int{20}, 40, [3]int{5, 9, 37}, [3]int{3, 3, 3}, [3]int{2, 2, 2}},
	{2, []int{136, 8, 40}, 20, [3]int{2, 5, 7}, [3]int{3, 3, 3}, [3]int{1, 1, 1}},
	{1, []int{160}, 136, [3]int{2, 9, 12}, [3]int{1, 3, 3}, [3]int{1, 2, 2}},
	{1, []int{1}, 33, [3]int{6, 9, 34}, [3]int{3, 3, 3}, [3]int{1, 1, 1}},
}

// TestConvSharedOut compares these and their gradients by data with ref, and with a run
// whose warps take turns in another order.
func TestConvSharedOut(t *testing.T) {
	_, control := controlled(t)
	open := checked(t)
	for k, c := range sharedOut {
		precision := program.Half + program.Precision(k%2)
		t.Run(fmt.Sprint(c), func(t *testing.T) {
			p := &program.Program{Precision: precision}
			s := random.New(7, uint64(k))
			values := map[program.ID][]float32{}
			given := func(name string, class program.Class, role program.Role, scale float64, shape ...int) program.ID {
				id := p.New(name, class, role, shape...)
				for range p.Buffers[id].Len() {
					values[id] = append(values[id], float32(scale*s.Normal()))
				}
				return id
			}
			total, outShape := 0, []int{c.batch, c.out, 0, 0, 0}
			for a := range c.grid {
				outShape[2+a] = (c.grid[a] + c.stride[a] - 1) / c.stride[a]
			}
			conv := program.Conv{Stride: c.stride}
			grad := program.ConvDataGrad{Stride: c.stride}
			for i, n := range c.in {
				shape := []int{c.batch, n, c.grid[0], c.grid[1], c.grid[2]}
				v := program.View{Buf: given(fmt.Sprint("x", i), program.Activation, program.Input, 1, shape...), Norm: program.None}
				if i != 1 {
					v.Norm, v.Slope = given(fmt.Sprint("norm", i), program.Vector, program.Input, 0.5, c.batch, n, 2), 0.01
				}
				conv.In, total = append(conv.In, v), total+n
				din := p.New(fmt.Sprint("din", i), program.Activation, program.Output, shape...)
				if i != 1 { // something to add to
					p.Emit(program.Add{A: v.Buf, B: v.Buf, Out: din})
				}
				grad.DIn, grad.Channels, grad.Accumulate = append(grad.DIn, din), append(grad.Channels, n), append(grad.Accumulate, i != 1)
			}
			conv.Weight = given("weight", program.Kernel, program.Param, 0.2, c.out, total, c.kernel[0], c.kernel[1], c.kernel[2])
			conv.Bias = given("bias", program.Vector, program.Param, 0.5, c.out)
			conv.Out = p.New("out", program.Activation, program.Output, outShape...)
			conv.Moments = p.New("moments", program.Vector, program.Output, c.batch, c.out, 2)
			grad.Weight, grad.DOut = conv.Weight, given("dout", program.Activation, program.Input, 1, outShape...)
			p.Emit(conv, grad)
			wanted := append([]program.ID{conv.Out, conv.Moments}, grad.DIn...)
			compare(t, open, control, uint64(1+k), p, values, wanted)
		})
	}
}

// compare runs a program on ref and on a device, and there once more with warps that take
// turns in another order, which changes no bit.
func compare(t *testing.T, open func() device.Device, control *emulator.Control, order uint64, p *program.Program, values map[program.ID][]float32, wanted []program.ID) {
	t.Helper()
	want := computed(t, ref.New64(), p, values, wanted)
	got := computed(t, open(), p, values, wanted)
	for i, id := range wanted {
		near(t, p.Buffers[id].Name, got[i], want[i])
	}
	control.Seed(order)
	defer control.Seed(0)
	for i, again := range computed(t, open(), p, values, wanted) {
		if !slices.Equal(again, got[i]) {
			t.Errorf("%s: the order of warps matters", p.Buffers[wanted[i]].Name)
		}
	}
}

// computed runs a program on a device, which it closes.
func computed(t *testing.T, d device.Device, p *program.Program, values map[program.ID][]float32, wanted []program.ID) (results [][]float32) {
	t.Helper()
	q := *p
	q.Buffers = slices.Clone(p.Buffers)
	if err := compile.Place(&q, d); err != nil {
		t.Fatal(err)
	}
	l, err := d.Load(&q)
	if err != nil {
		t.Fatal(err)
	}
	for id, v := range values {
		if err := l.Write(id, v); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, id := range wanted {
		v := make([]float32, q.Buffers[id].Len())
		if err := l.Read(id, v); err != nil {
			t.Fatal(err)
		}
		results = append(results, v)
	}
	for _, err := range []error{l.Close(), d.Close()} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return results
}

func near(t *testing.T, name string, got, want []float32) {
	t.Helper()
	largest := 0.0
	for _, v := range want {
		largest = max(largest, math.Abs(float64(v)))
	}
	for i := range want {
		if d := math.Abs(float64(got[i]) - float64(want[i])); !(d <= devicetest.HalfTolerance*largest) {
			t.Errorf("%s: element %d is %g, want %g (largest %g)", name, i, got[i], want[i], largest)
			return
		}
	}
}
