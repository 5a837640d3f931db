package engine

import (
	"context"
	"fmt"

	"noisystudent/model/device"
	"noisystudent/model/program"
)

// Feed gives the images and labels of one step after the other. They stay as they are
// until it is called again.
type Feed func() (images []float32, labels []uint8, err error)

// Steps runs n optimiser steps on what feed gives: n times Step, to the byte. The i-th has
// the learning rate rate(i), and done takes its result, that of a *DivergedError too.
// Where the device takes inputs while it computes, those of a step are fetched and copied
// during the step before. Errors of feed come as they are.
func (t *Trainer) Steps(ctx context.Context, n int, feed Feed, rate func(i int) float64, done func(i int, r StepResult)) error {
	ahead, overlaps := t.loaded.(device.Ahead)
	var fed error // of the inputs that the device has got last
	for i := range n {
		if i == 0 || !overlaps {
			fed = t.feed(t.loaded, feed)
		}
		if fed == nil {
			fed = ctx.Err()
		}
		if fed != nil {
			return fed
		}
		run := t.loaded.Run
		if overlaps && i+1 < n {
			run = func(ctx context.Context) error {
				return ahead.RunAhead(ctx, func() { fed = t.feed(waiting{ahead}, feed) })
			}
		}
		r, err := t.step(ctx, rate(i), run)
		if r != (StepResult{}) { // it has run
			done(i, r)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (t *Trainer) feed(to inputs, feed Feed) error {
	images, labels, err := feed()
	if err != nil {
		return err
	}
	if err := t.bring(to, images, labels); err != nil {
		return fmt.Errorf("engine: step: %w", err)
	}
	return nil
}

// waiting takes the inputs of the next run.
type waiting struct{ device.Ahead }

func (w waiting) Write(id program.ID, src []float32) error { return w.Ahead.Ahead(id, src) }

func (w waiting) WriteLabels(id program.ID, src []uint8) error { return w.AheadLabels(id, src) }
