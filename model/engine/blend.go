package engine

import (
	"errors"
	"fmt"

	"noisystudent/model/device"
)

// Blend takes memory of the device to blend the logits that Forward leaves there; it is
// to be closed before the Predictor. Where the device cannot, the error is
// errors.ErrUnsupported.
func (p *Predictor) Blend(b device.Blend) (device.Blended, error) {
	blender, ok := p.loaded.(device.Blender)
	if !ok {
		return nil, fmt.Errorf("engine: blend in the device's memory: %w", errors.ErrUnsupported)
	}
	blended, err := blender.Blend(p.names.Logits[0], b)
	if err != nil {
		return nil, fmt.Errorf("engine: blend: %w", err)
	}
	return blended, nil
}

// BlendBytes returns the bytes of a card that blending takes beside the Predictor of a
// network, 0 where no card computes. Weights of b are not looked at.
func (e *Engine) BlendBytes(classes int, tile [3]int, b device.Blend) int64 {
	if d, ok := e.device.(interface {
		BlendBytes(classes int, tile [3]int, b device.Blend) int64
	}); ok {
		return d.BlendBytes(classes, tile, b)
	}
	return 0
}
