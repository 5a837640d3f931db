package fit

import "testing"

func TestTrackerRefusesSplitsInFlight(t *testing.T) {
	tr := newTracker(Epochs{0, 4})
	if !tr.TryClaim(int64(0)) {
		t.Fatal("first epoch not claimed")
	}
	for _, fraction := range []float64{0, 0.5, 1} {
		if _, residual, _ := tr.TrySplit(fraction); residual != nil {
			t.Errorf("split at %v while an epoch is in flight gave %v", fraction, residual)
		}
	}
	if !tr.TryClaim(commit(0)) {
		t.Fatal("commit not claimed")
	}
	if _, residual, _ := tr.TrySplit(0.5); residual != nil {
		t.Errorf("split at a fraction gave %v", residual)
	}
	primary, residual, err := tr.TrySplit(0)
	if err != nil || primary != (Epochs{0, 1}) || residual != (Epochs{1, 4}) {
		t.Errorf("split between epochs = %v, %v, %v; want [0,1) and [1,4)", primary, residual, err)
	}
	if !tr.IsDone() || tr.GetError() != nil {
		t.Errorf("after the split: done %v, error %v", tr.IsDone(), tr.GetError())
	}
}

func TestTrackerKeepsOrder(t *testing.T) {
	tr := newTracker(Epochs{2, 4})
	for e := int64(2); e < 4; e++ {
		if !tr.TryClaim(e) || !tr.TryClaim(commit(e)) {
			t.Fatalf("epoch %d not claimed", e)
		}
	}
	if tr.TryClaim(int64(4)) || !tr.IsDone() {
		t.Error("claimed past the end, or not done at it")
	}

	for name, claims := range map[string][]any{
		"twice in flight": {int64(2), int64(3)},
		"backwards":       {int64(3), commit(3), int64(2)},
		"no position":     {"2"},
	} {
		tr := newTracker(Epochs{2, 4})
		last := true
		for _, c := range claims {
			last = tr.TryClaim(c)
		}
		if last || tr.GetError() == nil || tr.IsDone() {
			t.Errorf("%s: claimed %v, error %v, done %v", name, last, tr.GetError(), tr.IsDone())
		}
	}
}
