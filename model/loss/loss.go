// Package loss declares what training minimises: nnU-Net's cross-entropy plus Dice,
// summed over the outputs of deep supervision.
//
// Labels are given once, at the highest resolution, and shrunk on the graph for
// the other outputs. The value is a vector of three: loss, Dice term (negative),
// cross-entropy, each already weighted over the outputs; only the first is
// differentiated. Reference: nnunetv2 2.8.1 DC_and_CE_loss, DeepSupervisionWrapper
// and DownsampleSegForDSTransform.
package loss

import (
	"fmt"
	"math"

	"noisystudent/model/op"
)

// Config chooses the loss. Its zero value ignores label 0; set Ignore to -1 where
// nothing is ignored.
type Config struct {
	BatchDice bool
	// Ignore is a label that counts nowhere, -1 for none.
	Ignore int
	// ClassWeights weigh cross-entropy, one a class; empty: all 1.
	ClassWeights []float32
	// OutputWeights are those of the outputs, highest resolution first; nil:
	// nnU-Net's, see OutputWeights. An output of weight 0 is not computed.
	OutputWeights []float32
}

// OutputWeights returns nnU-Net's weights of n outputs, highest resolution first:
// halved from one to the next, 0 for the lowest, normalised to sum 1. A single
// output has weight 1.
func OutputWeights(n int) []float32 {
	weights := make([]float32, n)
	if n == 1 {
		weights[0] = 1
		return weights
	}
	sum := 2 - math.Ldexp(1, 2-n) // of 1, 1/2, ... n-1 terms
	for i := range n - 1 {
		weights[i] = float32(math.Ldexp(1, -i) / sum)
	}
	return weights
}

// Weights returns the weights of n outputs under c.
func (c Config) Weights(n int) ([]float32, error) {
	if c.OutputWeights == nil {
		return OutputWeights(n), nil
	}
	positive := false
	for _, w := range c.OutputWeights {
		if !(w >= 0) || math.IsInf(float64(w), 0) {
			return nil, fmt.Errorf("loss: output weights %v, none may be negative or infinite", c.OutputWeights)
		}
		positive = positive || w > 0
	}
	if len(c.OutputWeights) != n || !positive {
		return nil, fmt.Errorf("loss: output weights %v, need %d with one above 0", c.OutputWeights, n)
	}
	return c.OutputWeights, nil
}

// Declared is a loss on a graph.
type Declared struct {
	Value        *op.Node // (3): loss, Dice term, cross-entropy
	ClassWeights *op.Node // (C), input; nil without class weights
}

// Declare adds the loss of the outputs in logits, highest resolution first, to g;
// labels (N, D, H, W) lie on the grid of the highest. Outputs whose weight is 0
// may be nil. Errors of the declaration itself are g's.
// Checked by: TestLossEqualsNnUNet, TestLabelPyramidEqualsNnUNet.
func Declare(g *op.Graph, logits []*op.Node, labels *op.Node, c Config) (Declared, error) {
	weights, err := c.Weights(len(logits))
	if err != nil {
		return Declared{}, err
	}
	if g.Err() != nil {
		return Declared{}, g.Err()
	}
	var d Declared
	if len(c.ClassWeights) > 0 {
		d.ClassWeights = g.Input("class weights", len(c.ClassWeights))
	}
	var terms []*op.Node
	var active []float32
	for i, w := range weights {
		if w == 0 {
			continue
		}
		if logits[i] == nil {
			return Declared{}, fmt.Errorf("loss: declare: output %d has weight %g but no logits", i, w)
		}
		terms = append(terms, d.term(g, i, logits[i], labels, c))
		active = append(active, w)
	}
	d.Value = g.Apply("loss", op.WeightedSum{Weights: active}, terms...)
	return d, g.Err()
}

// term declares the loss of output i.
func (d Declared) term(g *op.Graph, i int, logits, labels *op.Node, c Config) *op.Node {
	size := [3]int(logits.Shape()[2:5])
	if [3]int(labels.Shape()[1:4]) != size {
		labels = g.Apply(fmt.Sprintf("labels.%d", i), op.LabelsNearest{Out: size}, labels)
	}
	o := op.DiceCE{BatchDice: c.BatchDice, Ignore: c.Ignore}
	if d.ClassWeights == nil {
		return g.Apply(fmt.Sprintf("loss.%d", i), o, logits, labels)
	}
	o.Weighted = true
	return g.Apply(fmt.Sprintf("loss.%d", i), o, logits, labels, d.ClassWeights)
}
