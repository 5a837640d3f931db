package compile

import (
	"math"
	"testing"

	"noisystudent/model/program"
	"noisystudent/model/unet"
)

// The network of the paper has 240.7 GFLOP a patch, counted by layers; its gradients
// take twice that but for the first layer's input, which has none.
func TestCostOfTheRealNetwork(t *testing.T) {
	spec := unet.Spec{
		InChannels: 1, Classes: 14, Features: []int{16, 32, 64, 128, 256, 320},
		Kernels:      [][3]int{{1, 3, 3}, {3, 3, 3}, {3, 3, 3}, {3, 3, 3}, {3, 3, 3}, {3, 3, 3}},
		Strides:      [][3]int{{1, 1, 1}, {1, 2, 2}, {2, 2, 2}, {2, 2, 2}, {2, 2, 2}, {1, 2, 2}},
		ConvsEncoder: []int{2, 2, 2, 2, 2, 2}, ConvsDecoder: []int{2, 2, 2, 2, 2}, DeepSupervision: true,
	}
	total := func(p *program.Program) (sum float64) {
		for _, in := range p.Instrs {
			flops, _ := p.Cost(in)
			sum += float64(flops) / 1e9
		}
		return sum
	}
	infer, _, err := Infer(spec, 1, [3]int{40, 224, 192})
	if err != nil {
		t.Fatal(err)
	}
	if got := total(infer); math.Abs(got-240.7) > 0.5 {
		t.Errorf("a forward pass has %.1f GFLOP, want 240.7", got)
	}
	train, _, err := Train(spec, 1, [3]int{40, 224, 192}, LossConfig{BatchDice: true, Ignore: -1}, program.SGD, 12)
	if err != nil {
		t.Fatal(err)
	}
	if got := total(train); got < 2.95*240.7 || got > 3.05*240.7 {
		t.Errorf("a training step has %.1f GFLOP", got)
	}
}
