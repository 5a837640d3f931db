package fit

import (
	"context"
	"fmt"
	"sync"
	"time"

	"noisystudent/io/store"
)

// A pace is taken of paceSteps steps, after two that are not counted, but for no longer
// than paceTime and the step that is under way then.
const (
	paceSteps = 10
	paceTime  = 10 * time.Second
)

// Pace measures how many steps a second jobs make that train side by side in this process,
// all together, their validation with it. Nothing of it is kept.
func Pace(ctx context.Context, jobs []Job, o Options) (stepsASecond float64, err error) {
	var group sync.WaitGroup
	seconds, errs := make([]float64, len(jobs)), make([]error, len(jobs))
	for i, j := range jobs {
		group.Go(func() { seconds[i], errs[i] = pace(ctx, j, o.among(len(jobs))) })
	}
	group.Wait()
	for i, err := range errs {
		if err != nil {
			return 0, fmt.Errorf("fit: measure the pace: %w", err)
		}
		stepsASecond += 1 / max(seconds[i], 1e-6)
	}
	return stepsASecond, nil
}

// pace measures the seconds of a step of a job.
func pace(ctx context.Context, j Job, o Options) (seconds float64, err error) {
	st, err := store.Open(ctx, j.Store)
	if err != nil {
		return 0, err
	}
	j.Epochs, j.Rate, j.Plan.Training.StepsPerEpoch = 1, 1e-12, 2+2*paceSteps
	s, err := newSession(ctx, st, j, o, checkpoint{})
	if err != nil {
		return 0, err
	}
	defer s.close()
	if _, err := s.steps(ctx, &Epoch{}, 2); err != nil {
		return 0, err
	}
	n, start := 0, time.Now()
	for ; n < paceSteps && time.Since(start) < paceTime; n += 2 {
		if _, err := s.steps(ctx, &Epoch{}, 2); err != nil {
			return 0, err
		}
	}
	seconds = time.Since(start).Seconds() / float64(n)
	if len(j.Validation) == 0 {
		return seconds, nil
	}
	if s.state, err = s.trainer.Snapshot(); err != nil {
		return 0, err
	}
	if err := s.validator.ready(s, s.state.Weights); err != nil {
		return 0, err
	}
	start = time.Now()
	_, err = s.count(ctx, 0, 2)
	return seconds + time.Since(start).Seconds()/2/validationPart, err
}
