package unet

import (
	"fmt"
	"math"
)

// leak is the negative slope of all activations, eps the constant of all norms.
const (
	leak = 0.01
	eps  = 1e-5
)

// Param is one learned array. Names are those of nnU-Net's state dict (the ones
// that are not aliases of another).
type Param struct {
	Name  string
	Shape []int // 5 axes: a kernel; 1 axis: bias, gamma or beta
	// Fan is the number of inputs of He initialisation, 0 for an array that starts
	// at Value.
	Fan   int
	Value float32
}

// SD is the standard deviation of a kernel's initial normal distribution:
// sqrt(2/(1+leak^2)/Fan). Reference: nnU-Net's InitWeights_He(1e-2), which is
// torch.nn.init.kaiming_normal_(a=0.01) on convolutions and transposed ones; for
// the latter PyTorch takes the output channels as inputs.
func (p Param) SD() float64 { return math.Sqrt(2 / (1 + leak*leak) / float64(p.Fan)) }

// Len returns the number of elements.
func (p Param) Len() int {
	n := 1
	for _, s := range p.Shape {
		n *= s
	}
	return n
}

// Params lists the learned arrays of a network in the order in which a forward run
// uses them, heads last. As in nnU-Net every decoder stage has a head, also where
// deep supervision is off.
func Params(s Spec) []Param {
	var list []Param
	for stage, features := range s.Features {
		in := s.InChannels
		if stage > 0 {
			in = s.Features[stage-1]
		}
		for i := range s.ConvsEncoder[stage] {
			list = append(list, block(encoderBlock(stage, i), in, features, s.Kernels[stage])...)
			in = features
		}
	}
	for d := range s.Stages() - 1 {
		below, here := s.level(d)
		features := s.Features[here]
		list = append(list, upsampling(upsamplingName(d), s.Features[below], features, s.Strides[below])...)
		in := 2 * features
		for i := range s.ConvsDecoder[d] {
			list = append(list, block(decoderBlock(d, i), in, features, s.Kernels[here])...)
			in = features
		}
	}
	for d := range s.Stages() - 1 {
		_, here := s.level(d)
		list = append(list, conv(headName(d), s.Features[here], s.Classes, [3]int{1, 1, 1})...)
	}
	return list
}

// level returns the encoder stages whose grids decoder stage d reads and writes;
// decoder stages count upwards from the lowest resolution.
func (s Spec) level(d int) (below, here int) { return s.Stages() - 1 - d, s.Stages() - 2 - d }

func encoderBlock(stage, i int) string { return fmt.Sprintf("encoder.stages.%d.0.convs.%d", stage, i) }
func decoderBlock(d, i int) string     { return fmt.Sprintf("decoder.stages.%d.convs.%d", d, i) }
func upsamplingName(d int) string      { return fmt.Sprintf("decoder.transpconvs.%d", d) }
func headName(d int) string            { return fmt.Sprintf("decoder.seg_layers.%d", d) }

// block is convolution, norm and activation.
func block(name string, in, out int, kernel [3]int) []Param {
	return append(conv(name+".conv", in, out, kernel),
		Param{Name: name + ".norm.weight", Shape: []int{out}, Value: 1},
		Param{Name: name + ".norm.bias", Shape: []int{out}})
}

func conv(name string, in, out int, k [3]int) []Param {
	return []Param{
		{Name: name + ".weight", Shape: []int{out, in, k[0], k[1], k[2]}, Fan: in * k[0] * k[1] * k[2]},
		{Name: name + ".bias", Shape: []int{out}},
	}
}

func upsampling(name string, in, out int, k [3]int) []Param {
	return []Param{
		{Name: name + ".weight", Shape: []int{in, out, k[0], k[1], k[2]}, Fan: out * k[0] * k[1] * k[2]},
		{Name: name + ".bias", Shape: []int{out}},
	}
}
