package fit

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"noisystudent/io/store"
)

// A run that dies anywhere and is repeated gives the bytes of an undisturbed one.
func TestResumeGivesTheSameBytes(t *testing.T) {
	want := trained(t, Student, onRef)
	dead := errors.New("the machine died")
	for epoch := 1; epoch <= 3; epoch++ {
		if testing.Short() && epoch != 2 {
			continue
		}
		folder := fmt.Sprintf("epoch_%05d/", epoch)
		for _, at := range []struct{ op, key string }{
			{"create", folder + "weights"}, // trained, nothing is written
			{"write", folder + "weights"},  // while it is written
			{"commit", folder + "weights"},
			{"create", folder + "optimiser"},
			{"create", folder + "state"},
			{"create", "fold_0/training"}, // its logs
			{"write", "fold_0/events"},
			{"create", "fold_0/latest"}, // all is written, latest is not moved
			{"commit", "fold_0/latest"},
			{"list", "fold_0/epoch_"},   // latest is moved, old files are not removed
			{"remove", "fold_0/epoch_"}, // some are
		} {
			st, j := prepare(t, Student)
			err := run(t.Context(), dying(st, at.op, at.key, epoch, dead), j, onRef, nil)
			if !errors.Is(err, dead) {
				t.Fatalf("epoch %d, %s %s: %v", epoch, at.op, at.key, err)
			}
			done, err := Done(t.Context(), st, j)
			if err != nil {
				t.Fatal(err)
			}
			if err := Run(t.Context(), j, onRef, nil); err != nil {
				t.Fatalf("epoch %d, %s %s: the second run: %v", epoch, at.op, at.key, err)
			}
			if !same(want, files(t, st, j)) {
				t.Errorf("epoch %d, %s %s: other weights than undisturbed", epoch, at.op, at.key)
			}
			logged(t, st, j)
			if done < j.Epochs { // else only old files were left to remove
				checkpoints(t, st, j, 2, 3)
			}
		}
	}
}

// dying fails from the n-th use of latest on, or from the first use of another key.
func dying(st *store.Store, op, text string, n int, err error) *store.Store {
	seen, dead := 0, false
	return store.WithFault(st, func(o, key string) error {
		if o == op && strings.Contains(key, text) {
			if seen++; seen >= n || strings.Contains(text, "epoch_0") {
				dead = true
			}
		}
		if dead {
			return err
		}
		return nil
	})
}

// checkpoints fails the test unless exactly these are in the store.
func checkpoints(t *testing.T, st *store.Store, j Job, epochs ...int64) {
	t.Helper()
	infos, err := st.List(t.Context(), j.Folder()+"/")
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]bool{latestKey(j.Folder()): true, linesKey(j.Folder()): true, eventsKey(j.Folder()): true}
	for _, n := range epochs {
		e := epochFolder(j.Folder(), n)
		want[weightsKey(e)], want[optimiserKey(e)], want[positionKey(e)] = true, true, true
	}
	for _, i := range infos {
		if !want[i.Key] {
			t.Errorf("%s is left", i.Key)
		}
		delete(want, i.Key)
	}
	for key := range want {
		t.Errorf("%s is missing", key)
	}
}

// A run that is stopped in the middle of an epoch begins that epoch again.
func TestResumeInTheMiddleOfAnEpoch(t *testing.T) {
	want := trained(t, Student, onRef)
	for _, steps := range []int{1, 2, 5, 7} {
		st, j := prepare(t, Student)
		c, err := load(t.Context(), st, j)
		if err != nil {
			t.Fatal(err)
		}
		s, err := newSession(t.Context(), st, j, onRef, c)
		if err != nil {
			t.Fatal(err)
		}
		for range steps / 3 {
			if _, err := s.epoch(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if n := steps % 3; n > 0 {
			if _, err := s.steps(t.Context(), &Epoch{Epoch: int64(len(s.history))}, n); err != nil {
				t.Fatal(err)
			}
		}
		s.close() // the process is gone
		if err := Run(t.Context(), j, onRef, nil); err != nil {
			t.Fatal(err)
		}
		if !same(want, files(t, st, j)) {
			t.Errorf("stopped after %d steps: other weights than undisturbed", steps)
		}
	}
}

// A worker that was given up for dead but lives must not disturb the one that took over.
func TestZombiesAreStopped(t *testing.T) {
	want := trained(t, Teacher, onRef)
	st, j := prepare(t, Teacher)
	zombie, err := newSession(t.Context(), st, j, onRef, checkpoint{})
	if err != nil {
		t.Fatal(err)
	}
	defer zombie.close()
	if err := Run(t.Context(), j, onRef, nil); err != nil {
		t.Fatal(err)
	}
	before, err := st.List(t.Context(), "models/")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := zombie.epoch(t.Context()); !errors.Is(err, errMoved) {
		t.Errorf("the zombie's epoch: %v", err)
	}
	after, err := st.List(t.Context(), "models/")
	if err != nil || fmt.Sprint(before) != fmt.Sprint(after) {
		t.Errorf("the zombie wrote: before %v, after %v, %v", before, after, err)
	}

	// One that is overtaken between its first look and its last write.
	st, j = prepare(t, Teacher)
	overtaken := false
	slow := store.WithFault(st, func(op, key string) error {
		if op == "create" && strings.HasSuffix(key, "/latest") && !overtaken {
			overtaken = true
			return Run(context.Background(), j, onRef, nil)
		}
		return nil
	})
	if err := run(t.Context(), slow, j, onRef, nil); !errors.Is(err, errMoved) || !errors.Is(err, store.ErrGeneration) {
		t.Errorf("the overtaken worker's epoch: %v", err)
	}
	if !same(want, files(t, st, j)) {
		t.Error("the zombie changed the model")
	}
}

// A zombie that sleeps between its look at latest and its files finds those of the one
// who went on, and leaves them.
func TestZombiesDoNotMixCheckpoints(t *testing.T) {
	want := trained(t, Teacher, onRef)
	st, j := prepare(t, Teacher)
	var before []store.Info
	slow := store.WithFault(st, func(op, key string) (err error) {
		if op == "create" && key == weightsKey(epochFolder(j.Folder(), 2)) && before == nil {
			other := &lease{}
			defer other.end()
			if _, err := other.advance(context.Background(), st, j, onRef, 1); err != nil {
				return err
			}
			before, err = st.List(context.Background(), "models/")
		}
		return err
	})
	if err := run(t.Context(), slow, j, onRef, nil); !errors.Is(err, errMoved) {
		t.Errorf("the zombie's epoch: %v", err)
	}
	after, err := st.List(t.Context(), "models/")
	if err != nil || fmt.Sprint(before) != fmt.Sprint(after) || len(before) == 0 {
		t.Errorf("the zombie wrote: before %v, after %v, %v", before, after, err)
	}
	if err := Run(t.Context(), j, onRef, nil); err != nil {
		t.Fatal(err)
	}
	if !same(want, files(t, st, j)) {
		t.Error("other weights than undisturbed")
	}
}

// The session of a lease follows the store, whoever wrote there.
func TestAdvanceFollowsTheStore(t *testing.T) {
	want := trained(t, Teacher, onRef)
	st, j := prepare(t, Teacher)
	h := &lease{}
	defer h.end()
	advance := func(at int64) Epoch {
		t.Helper()
		e, err := h.advance(t.Context(), st, j, onRef, at)
		if err != nil || e.Epoch != at {
			t.Fatalf("epoch %d: record of %d, %v", at, e.Epoch, err)
		}
		return e
	}
	advance(0)
	first := h.session
	// Another worker goes on with epoch 1.
	other := &lease{}
	if _, err := other.advance(t.Context(), st, j, onRef, 1); err != nil {
		t.Fatal(err)
	}
	other.end()
	before := advance(2)
	if h.session == first {
		t.Error("an outdated session was used")
	}
	if !same(want, files(t, st, j)) {
		t.Error("other weights than undisturbed")
	}
	// What is there already is told from the history.
	h.end()
	if again := advance(2); again != before || h.session != nil {
		t.Errorf("record %+v, then %+v", before, again)
	}
	// A checkpoint that has gone is not trained over.
	if err := st.Remove(t.Context(), latestKey(j.Folder())); err != nil {
		t.Fatal(err)
	}
	if _, err := h.advance(t.Context(), st, j, onRef, 2); err == nil || !strings.Contains(err.Error(), "only 0 are in") {
		t.Errorf("a checkpoint that is gone: %v", err)
	}
	if h.session != nil {
		t.Error("a session was made for a checkpoint that is gone")
	}
}

// Waiting for a patch that never comes ends with the bundle.
func TestStuckReadsEndWithTheContext(t *testing.T) {
	st, j := prepare(t, Teacher)
	ctx, cancel := context.WithCancel(t.Context())
	stuck := make(chan struct{})
	var once bool
	slow := store.WithFault(st, func(op, key string) error {
		if op == "read" && strings.Contains(key, "/image/c/") && !once {
			once = true
			cancel()
			<-stuck
		}
		return nil
	})
	time.AfterFunc(50*time.Millisecond, func() { close(stuck) }) // a store gives up on its own context
	if err := run(ctx, slow, j, Options{Device: "ref", Threads: 1}, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

// Folders on a disk are pruned as buckets are.
func TestRunInAFolder(t *testing.T) {
	mem, j := prepare(t, Teacher)
	st, list := inFolder(t, mem, j)
	j = list[0]
	if err := Run(t.Context(), j, onRef, nil); err != nil {
		t.Fatal(err)
	}
	if !same(trained(t, Teacher, onRef), files(t, st, j)) {
		t.Error("a folder gives other weights than memory")
	}
	checkpoints(t, st, j, 2, 3)
}
