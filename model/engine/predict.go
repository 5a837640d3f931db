package engine

import (
	"context"
	"fmt"
	"slices"

	"noisystudent/model/compile"
	"noisystudent/model/program"
	"noisystudent/model/unet"
)

// PredictConfig is a network and the size of its input.
type PredictConfig struct {
	Spec      unet.Spec
	Patch     [3]int
	Batch     int
	Precision program.Precision
}

// Predictor applies a network.
type Predictor struct {
	network
	params []unet.Param
}

// NewPredictor compiles the forward part, takes its memory and sets the weights.
func (e *Engine) NewPredictor(c PredictConfig, weights map[string]Tensor) (*Predictor, error) {
	p, names, err := compile.Infer(c.Spec, c.Batch, c.Patch)
	if err != nil {
		return nil, fmt.Errorf("engine: new predictor: %w", err)
	}
	n, err := e.load(p, names, c.Precision)
	if err != nil {
		return nil, fmt.Errorf("engine: new predictor: %w", err)
	}
	predictor := &Predictor{n, unet.Params(c.Spec)}
	if err := predictor.SetWeights(weights); err != nil {
		n.Close()
		return nil, err
	}
	return predictor, nil
}

// SetWeights takes the weights of another model of the same network: all of them,
// as Snapshot gives them, though the heads of lower resolutions are not computed.
// They are checked as a whole before any is written.
func (p *Predictor) SetWeights(weights map[string]Tensor) error {
	if len(weights) > len(p.params) {
		for name := range weights {
			if !slices.ContainsFunc(p.params, func(q unet.Param) bool { return q.Name == name }) {
				return fmt.Errorf("engine: set weights: %s is unknown: %w", name, ErrState)
			}
		}
	}
	for _, q := range p.params {
		v, ok := weights[q.Name]
		if !ok {
			return fmt.Errorf("engine: set weights: %s is missing: %w", q.Name, ErrState)
		}
		if err := checkTensor(v, q.Shape); err != nil {
			return fmt.Errorf("engine: set weights: %s: %w", q.Name, err)
		}
	}
	for name, id := range p.names.Params {
		if err := p.loaded.Write(id, weights[name].Data); err != nil {
			return fmt.Errorf("engine: set weights: %s: %w", name, err)
		}
	}
	return nil
}

// Logits computes the logits (N, classes, D, H, W) of images (N, 1, D, H, W).
func (p *Predictor) Logits(ctx context.Context, images, logits []float32) error {
	if err := p.fits("logits", p.names.Logits[0], len(logits)); err != nil {
		return fmt.Errorf("engine: logits: %w", err)
	}
	if err := p.Forward(ctx, images); err != nil {
		return err
	}
	if err := p.loaded.Read(p.names.Logits[0], logits); err != nil {
		return fmt.Errorf("engine: logits: %w", err)
	}
	return nil
}

// Forward computes the logits of images (N, 1, D, H, W) and leaves them in the
// device's memory, where Plane finds them until the next call.
func (p *Predictor) Forward(ctx context.Context, images []float32) error {
	if err := p.fits("images", p.names.Image, len(images)); err != nil {
		return fmt.Errorf("engine: forward: %w", err)
	}
	if err := p.loaded.Write(p.names.Image, images); err != nil {
		return fmt.Errorf("engine: forward: %w", err)
	}
	if err := p.loaded.Run(ctx); err != nil {
		return fmt.Errorf("engine: forward: %w", err)
	}
	return nil
}

// Plane copies one plane (classes, H, W) of the last Forward's logits. Planes count
// through the batch: n*D + d.
func (p *Predictor) Plane(plane int, logits []float32) error {
	if err := p.loaded.ReadPlane(p.names.Logits[0], plane, logits); err != nil {
		return fmt.Errorf("engine: plane: %w", err)
	}
	return nil
}
