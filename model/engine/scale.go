package engine

import (
	"fmt"
	"math"
)

// LossScale is the factor of the loss on its way back in programs of
// program.Float16, and of program.Mixed from the first device on that computes in it, so that small gradients stay above the least that half precision
// holds. The update divides by it. It doubles after 2000 good steps and halves with
// every step whose gradient is not finite, which is skipped. It is kept whatever
// device computes, so that a training may change devices; others than cuda compute in
// float32, which a power of two does not change. The zero value is that of a training
// that has none. Reference: torch.amp.GradScaler, but kept within 1 and 2^24.
type LossScale struct {
	Value  float64 `json:"value"`  // a power of two
	Good   int64   `json:"good"`   // steps since it changed or one was skipped
	Halved int64   `json:"halved"` // skipped steps that a smaller scale explains
}

const (
	firstScale   = 1 << 16
	largestScale = 1 << 24
	growAfter    = 2000
)

// seed is what the program multiplies the loss by.
func (s LossScale) seed() float32 { return float32(max(s.Value, 1)) }

// after takes account of a step and reports whether the scale explains that it was
// skipped: the loss itself was finite and the scale can still fall.
func (s *LossScale) after(r StepResult) (explained bool) {
	switch {
	case s.Value == 0:
	case r.Skipped:
		if explained = s.Value > 1 && finite(r.Loss); explained {
			s.Halved++
		}
		s.Value, s.Good = max(s.Value/2, 1), 0
	default:
		s.Good++
		if s.Good == growAfter {
			s.Value, s.Good = min(s.Value*2, largestScale), 0
		}
	}
	return explained
}

// check reports what no training leaves behind; skipped is its count of skipped steps.
func (s LossScale) check(skipped int64) error {
	fraction, _ := math.Frexp(s.Value)
	power := s.Value >= 1 && s.Value <= largestScale && fraction == 0.5
	if s != (LossScale{}) && !(power && s.Good >= 0 && s.Good < growAfter && s.Halved >= 0 && s.Halved <= skipped) {
		return fmt.Errorf("loss scale %+v: %w", s, ErrState)
	}
	return nil
}
