package store

import (
	"testing"
	"time"
)

// Hurry lets the same request follow soon after the one that failed, and sets the limits of patience, until the test ends.
func Hurry(t *testing.T, tries int, quiet time.Duration) {
	usual := patience
	t.Cleanup(func() { patience = usual })
	patience.first, patience.longest, patience.tries = time.Millisecond, 5*time.Millisecond, tries
	patience.quiet, patience.total = quiet, 4*quiet
}
