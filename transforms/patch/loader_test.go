package patch

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"noisystudent/transforms/augment"
)

// cohort is an Opener of made cases of different shapes.
func cohort(_ context.Context, s Slot) (Case, error) {
	id := s.Index
	if s.Pseudo {
		id += 5
	}
	shape := [3]int{6 + id, 20 + id, 10 + 2*id}
	return made{id, shape, map[int][][3]int32{1: {{1, 2, 3}, {4, 5, 6}}, 4: {{2, 9, 9}}}}, nil
}

// collect copies the batches of steps [from, to).
func collect(t *testing.T, s Sampler, open Opener, from, to int64, o Options) []Batch {
	t.Helper()
	table, err := augment.Lookup("student")
	if err != nil {
		t.Fatal(err)
	}
	l, err := NewLoader(t.Context(), s, table, open, from, to, o)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var batches []Batch
	for {
		b, err := l.Next()
		if errors.Is(err, io.EOF) {
			return batches
		}
		if err != nil {
			t.Fatal(err)
		}
		b.Images, b.Labels = slices.Clone(b.Images), slices.Clone(b.Labels)
		batches = append(batches, b)
	}
}

func same(a, b []Batch) bool {
	return slices.EqualFunc(a, b, func(a, b Batch) bool {
		return a.Epoch == b.Epoch && a.Step == b.Step && slices.Equal(a.Images, b.Images) && slices.Equal(a.Labels, b.Labels)
	})
}

// The batches of one key are part of what a run's weights depend on. If this fails on
// purpose, raise Version and put the new digest here.
func TestGoldenBatches(t *testing.T) {
	if runtime.GOARCH != "amd64" {
		t.Skip("the digest is of amd64: other processors fuse multiplication and addition")
	}
	h := sha256.New()
	for _, b := range collect(t, student(4), cohort, 0, 25, Options{Workers: 2, BudgetBytes: 1 << 20}) {
		_ = binary.Write(h, binary.LittleEndian, b.Images)
		h.Write(b.Labels)
	}
	if got, want := fmt.Sprintf("%d %x", Version, h.Sum(nil)[:8]), "1 a6813db462a09c6a"; got != want {
		t.Errorf("batches changed: %s, want %s", got, want)
	}
}

// The same bytes with any number of workers, any budget, a cache of any size, and
// when training resumes in the middle of an epoch.
func TestLoaderIsDeterministic(t *testing.T) {
	s := student(4)
	want := collect(t, s, cohort, 0, 25, Options{Workers: 1})
	if len(want) != 25 || want[24].Epoch != 2 || want[24].Step != 4 {
		t.Fatalf("%d batches, the last is epoch %d step %d", len(want), want[24].Epoch, want[24].Step)
	}
	if slices.Equal(want[0].Images, want[1].Images) {
		t.Fatal("two steps are equal")
	}
	for _, o := range []Options{{Workers: 3}, {Workers: 4, BudgetBytes: 1 << 20}, {Workers: 1, BudgetBytes: 100_000}} {
		if got := collect(t, s, cohort, 0, 25, o); !same(got, want) {
			t.Errorf("%+v: other batches", o)
		}
	}
	if got := collect(t, s, cohort, 13, 25, Options{Workers: 2, BudgetBytes: 1 << 20}); !same(got, want[13:]) {
		t.Error("resumed at step 13: other batches")
	}
	for _, budget := range []int64{0, 30_000, 1 << 30} {
		if got := collect(t, s, NewCache(cohort, budget).Open, 0, 25, Options{Workers: 4, BudgetBytes: 1 << 20}); !same(got, want) {
			t.Errorf("cache of %d bytes: other batches", budget)
		}
	}
}

func TestCacheReadsOnce(t *testing.T) {
	var opened atomic.Int64
	open := func(ctx context.Context, s Slot) (Case, error) { opened.Add(1); return cohort(ctx, s) }
	collect(t, student(4), NewCache(open, 1<<30).Open, 0, 50, Options{Workers: 4, BudgetBytes: 1 << 20})
	if n := opened.Load(); n != 12 {
		t.Errorf("12 cases were opened %d times", n)
	}
}

func TestCacheForgetsFailures(t *testing.T) {
	gone := errors.New("gone")
	fail := true
	c := NewCache(func(ctx context.Context, s Slot) (Case, error) {
		if fail {
			return nil, gone
		}
		return cohort(ctx, s)
	}, 1<<20)
	if _, err := c.Open(t.Context(), Slot{}); !errors.Is(err, gone) {
		t.Errorf("error %v", err)
	}
	fail = false
	if _, err := c.Open(t.Context(), Slot{}); err != nil {
		t.Errorf("the failure is kept: %v", err)
	}
}

func TestLoaderNamesTheSlotThatFails(t *testing.T) {
	gone := errors.New("case0042 is gone")
	open := func(ctx context.Context, s Slot) (Case, error) {
		if s.Pseudo {
			return nil, gone
		}
		return cohort(ctx, s)
	}
	table, _ := augment.Lookup("none")
	l, err := NewLoader(t.Context(), student(4), table, open, 0, 3, Options{Workers: 3, BudgetBytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if _, err := l.Next(); !errors.Is(err, gone) || err.Error() != "patch: epoch 0 step 0 slot 0: case0042 is gone" {
		t.Errorf("error %v", err)
	}
}

// Close in the middle and a cancelled context end the workers and Next.
func TestLoaderStops(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	table, _ := augment.Lookup("none")
	l, err := NewLoader(ctx, student(4), table, cohort, 0, 1_000_000, Options{Workers: 2, BudgetBytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.Next(); err != nil {
		t.Fatal(err)
	}
	cancel()
	for err == nil {
		_, err = l.Next()
	}
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want cancelled", err)
	}
	l.Close()
	l.Close()
}

// The share of time spent waiting tells a slow trainer from slow patches.
func TestWaited(t *testing.T) {
	slow := func(ctx context.Context, s Slot) (Case, error) {
		time.Sleep(2 * time.Millisecond)
		return cohort(ctx, s)
	}
	table, _ := augment.Lookup("none")
	share := func(open Opener, step time.Duration) float64 {
		l, err := NewLoader(t.Context(), student(4), table, open, 0, 10, Options{Workers: 1, BudgetBytes: 1 << 20})
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		start := time.Now()
		for {
			if _, err := l.Next(); err != nil {
				return l.Waited().Seconds() / time.Since(start).Seconds()
			}
			time.Sleep(step)
		}
	}
	if w := share(slow, 0); w < 0.5 {
		t.Errorf("a fast trainer waits %.2f of its time", w)
	}
	if w := share(cohort, 20*time.Millisecond); w > 0.5 {
		t.Errorf("a slow trainer waits %.2f of its time", w)
	}
}
