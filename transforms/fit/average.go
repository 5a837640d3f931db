package fit

import (
	"math"
	"slices"

	"noisystudent/model/engine"
)

// follow moves the average of the weights on after an epoch, where kept is not 0. Of n epochs the k-th weighs
// kept^(n-k), and all of them 1: the first ones weigh no more than that, however short the training.
func (c *checkpoint) follow(kept float64) {
	if kept == 0 {
		return
	}
	n := len(c.history) + 1
	if n == 1 {
		c.average = map[string]engine.Tensor{}
		for name, w := range c.state.Weights {
			c.average[name] = engine.Tensor{Shape: w.Shape, Data: slices.Clone(w.Data)}
		}
		return
	}
	part := (1 - kept) / (1 - math.Pow(kept, float64(n)))
	for name, w := range c.state.Weights {
		average := c.average[name].Data
		for i, v := range w.Data {
			average[i] += float32(part * (float64(v) - float64(average[i])))
		}
	}
}

// predicting are the weights that a model predicts with: their average where there is one.
func (c *checkpoint) predicting() map[string]engine.Tensor {
	if c.average != nil {
		return c.average
	}
	return c.state.Weights
}
