package shard_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"noisystudent/io/store"
	"noisystudent/transforms/shard"
)

// piled makes a heap of numbered cases of equal cost, but for every tenth, which costs nothing.
func piled(t *testing.T, st *store.Store, cases, workers, n int) (shard.Heap, []string) {
	t.Helper()
	list, costs := make([]int, cases), make([]float64, cases)
	for i := range list {
		if list[i] = i; i%10 != 0 {
			costs[i] = 1
		}
	}
	heap, shards, err := shard.Pile(t.Context(), st, list, costs, workers, n)
	if err != nil {
		t.Fatal(err)
	}
	texts := make([]string, len(shards))
	for k, s := range shards {
		data, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		texts[k] = string(data)
	}
	return heap, texts
}

// do does the work of a shard.
func do(t *testing.T, text string, work func(int) error) error {
	rest, err := shard.Fn{}.CreateInitialRestriction(text)
	if err != nil {
		return err
	}
	_, err = shard.Each(t.Context(), shard.Fn{}.CreateTracker(rest), text, work)
	return err
}

// places are stores of two kinds.
func places(t *testing.T) map[string]*store.Store {
	t.Helper()
	folder, err := store.Open(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return map[string]*store.Store{"folder": folder, "mem": open(t)}
}

// Shards at work at once do each case once, and leave nothing of the heap behind.
func TestHeapGivesEachCaseOnce(t *testing.T) {
	for name, st := range places(t) {
		for _, c := range []struct{ cases, workers, shards int }{{1, 1, 1}, {2, 3, 5}, {300, 4, 32}} {
			heap, shards := piled(t, st, c.cases, c.workers, c.shards)
			var mu sync.Mutex
			var group sync.WaitGroup
			var done []int
			for _, text := range shards {
				group.Go(func() {
					err := do(t, text, func(i int) error {
						mu.Lock()
						defer mu.Unlock()
						done = append(done, i)
						return nil
					})
					if err != nil {
						t.Error(err)
					}
				})
			}
			group.Wait()
			slices.Sort(done)
			if want := numbered(c.cases); !slices.Equal(done, want) {
				t.Errorf("%s, %+v: done %v", name, c, done)
			}
			if err := heap.Clear(t.Context(), st); err != nil {
				t.Error(err)
			}
			if left, err := st.List(t.Context(), ""); err != nil || len(left) > 0 {
				t.Errorf("%s, %+v: %v is left, %v", name, c, left, err)
			}
		}
	}
}

func numbered(n int) []int {
	list := make([]int, n)
	for i := range list {
		list[i] = i
	}
	return list
}

// A shard that is lost in the midst of its work does its own pieces again, and no others.
func TestLostShardComesBack(t *testing.T) {
	st := open(t)
	heap, shards := piled(t, st, 100, 2, 3)
	count := map[int]int{}
	lost := errors.New("lost")
	for n := 0; ; n++ { // shard 0 is lost at each of its cases, and shard 1 works in between
		left := n
		err := do(t, shards[0], func(i int) error {
			if left--; left < 0 {
				return lost
			}
			count[i]++
			return nil
		})
		if err == nil {
			break
		}
		if !errors.Is(err, lost) {
			t.Fatal(err)
		}
		if n == 60 {
			if err := do(t, shards[1], func(i int) error { count[i] += 1000; return nil }); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := do(t, shards[2], func(i int) error { count[i] += 1000; return nil }); err != nil {
		t.Fatal(err)
	}
	others := 0
	for i := range 100 {
		switch n := count[i]; {
		case n == 1000:
			others++
		case n == 0 || n > 1000:
			t.Errorf("case %d was done %d times by shards that were not lost, and %d by the one that was", i, n/1000, n%1000)
		}
	}
	if others < 30 || others > 60 {
		t.Errorf("other shards did %d of 100 cases", others)
	}
	if err := heap.Clear(t.Context(), st); err != nil {
		t.Error(err)
	}
	err := do(t, shards[0], func(int) error { return nil })
	if err == nil || !strings.Contains(err.Error(), "run the command again") {
		t.Errorf("without its heap: %v", err)
	}
}

// A piece is at most half of what a worker has left, so that no last one takes long.
func TestPiecesGetSmaller(t *testing.T) {
	st := open(t)
	for _, workers := range []int{1, 8, 64} {
		_, shards := piled(t, st, 10000, workers, 1)
		var s shard.Shard
		if err := json.Unmarshal([]byte(shards[0]), &s); err != nil {
			t.Fatal(err)
		}
		data, err := st.Read(t.Context(), s.Heap.Key+"pieces")
		var pieces [][]int
		if err == nil {
			err = json.Unmarshal(data, &pieces)
		}
		if err != nil || len(pieces) != s.Heap.Pieces {
			t.Fatal(err, len(pieces), s.Heap.Pieces)
		}
		left := 9000
		for i, p := range pieces {
			if len(p) > max(1, left/(2*workers)) {
				t.Errorf("%d workers: piece %d has %d of %d cases", workers, i, len(p), left)
			}
			left -= len(p)
		}
		if left != 0 || len(pieces) > 25*workers {
			t.Errorf("%d workers: %d pieces, %d cases are left over", workers, len(pieces), left)
		}
	}
}

// Of a run that was killed the heap goes with a later one; those of runs at work stay.
func TestKilledRunsHeap(t *testing.T) {
	st := places(t)["folder"]
	first, _ := piled(t, st, 5, 2, 2)
	second, _ := piled(t, st, 5, 2, 2)
	for _, h := range []shard.Heap{first, second} {
		if _, err := st.Stat(t.Context(), h.Key+"pieces"); err != nil {
			t.Error(err)
		}
	}
	age(t, st.Address(first.Key+"pieces"))
	piled(t, st, 5, 2, 2)
	infos, err := st.List(t.Context(), first.Key)
	if err != nil || len(infos) > 0 {
		t.Errorf("%v is left, %v", infos, err)
	}
	if _, err := st.Stat(t.Context(), second.Key+"pieces"); err != nil {
		t.Error(fmt.Errorf("a heap that is in use: %w", err))
	}
}

// age dates a file back by a month and a day.
func age(t *testing.T, file string) {
	t.Helper()
	then := time.Now().Add(-31 * 24 * time.Hour)
	if err := os.Chtimes(file, then, then); err != nil {
		t.Fatal(err)
	}
}
