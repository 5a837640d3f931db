package unet

import (
	"fmt"

	"noisystudent/model/op"
)

// Net is a network declared on a graph.
type Net struct {
	Image *op.Node
	// Logits has one node a decoder stage, highest resolution first; nil where the
	// head was not asked for.
	Logits []*op.Node
	// Params are the learned arrays that the logits depend on, in the order of their use.
	Params []*op.Node
}

// Forward declares the network of s on g for batches of patches; heads says which
// resolutions give logits, highest first. Each block is convolution, instance norm
// and leaky ReLU; the decoder joins the upsampled features, then the skipped ones.
// Errors of the declaration itself are g's. Reference: nnU-Net's PlainConvUNet.
// Checked by: compile.TestTinyNetworkEqualsNnUNet.
func Forward(g *op.Graph, s Spec, batch int, patch [3]int, heads []bool) (Net, error) {
	if err := checkPatch(s, batch, patch, heads); err != nil {
		return Net{}, err
	}
	b := builder{Graph: g, spec: s, shapes: map[string][]int{}}
	for _, p := range Params(s) {
		b.shapes[p.Name] = p.Shape
	}
	image := g.Input("image", batch, s.InChannels, patch[0], patch[1], patch[2])
	net := Net{Image: image, Logits: make([]*op.Node, s.Stages()-1)}
	skips := b.encoder(image)
	lowest := b.lowestHead(heads)
	x := skips[s.Stages()-1]
	for d := range s.Stages() - 1 {
		if d > lowest {
			break
		}
		_, here := s.level(d)
		x = b.decoderStage(d, x, skips[here])
		if heads[here] {
			net.Logits[here] = b.conv(headName(d), x, [3]int{1, 1, 1})
		}
	}
	net.Params = b.params
	return net, g.Err()
}

func checkPatch(s Spec, batch int, patch [3]int, heads []bool) error {
	if err := s.Check(); err != nil {
		return err
	}
	if batch < 1 || len(heads) != s.Stages()-1 {
		return fmt.Errorf("unet: declare network: batch %d and %d heads for %d decoder stages", batch, len(heads), s.Stages()-1)
	}
	wanted := false
	for _, h := range heads {
		wanted = wanted || h
	}
	if !wanted {
		return fmt.Errorf("unet: declare network: no head is wanted")
	}
	for a, by := range s.Divisor() {
		if patch[a] < by || patch[a]%by != 0 {
			return fmt.Errorf("unet: declare network: patch %v is not a multiple of %v", patch, s.Divisor())
		}
	}
	return nil
}

// builder declares blocks by the name of their parameters.
type builder struct {
	*op.Graph
	spec   Spec
	shapes map[string][]int
	params []*op.Node
}

// lowestHead returns the last decoder stage that a wanted head needs.
func (b *builder) lowestHead(heads []bool) int {
	for here, wanted := range heads {
		if wanted {
			return b.spec.Stages() - 2 - here
		}
	}
	return -1
}

// encoder returns the output of every stage.
func (b *builder) encoder(x *op.Node) []*op.Node {
	skips := make([]*op.Node, b.spec.Stages())
	for stage := range skips {
		stride := b.spec.Strides[stage]
		for i := range b.spec.ConvsEncoder[stage] {
			x = b.block(encoderBlock(stage, i), x, stride)
			stride = [3]int{1, 1, 1}
		}
		skips[stage] = x
	}
	return skips
}

func (b *builder) decoderStage(d int, x, skip *op.Node) *op.Node {
	up := upsamplingName(d)
	x = b.Apply(up, op.ConvTransposed{}, x, b.param(up+".weight"), b.param(up+".bias"))
	x = b.Apply(fmt.Sprintf("decoder.stages.%d.concat", d), op.Concat{N: 2}, x, skip)
	for i := range b.spec.ConvsDecoder[d] {
		x = b.block(decoderBlock(d, i), x, [3]int{1, 1, 1})
	}
	return x
}

func (b *builder) block(name string, x *op.Node, stride [3]int) *op.Node {
	raw := b.conv(name+".conv", x, stride)
	moments := b.Apply(name+".moments", op.Moments{}, raw)
	return b.Apply(name, op.NormAct{Eps: eps, Slope: leak}, raw, moments, b.param(name+".norm.weight"), b.param(name+".norm.bias"))
}

func (b *builder) conv(name string, x *op.Node, stride [3]int) *op.Node {
	return b.Apply(name, op.Conv{Stride: stride}, x, b.param(name+".weight"), b.param(name+".bias"))
}

func (b *builder) param(name string) *op.Node {
	n := b.Input(name, b.shapes[name]...)
	b.params = append(b.params, n)
	return n
}
