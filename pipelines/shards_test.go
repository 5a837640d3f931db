package pipelines

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"noisystudent/runners"
	"noisystudent/runners/flink"
	"noisystudent/transforms/cases"
	"noisystudent/transforms/fit"
	"noisystudent/transforms/predict"
)

// TestShards labels a pool and scans in one shard and in several: the same bytes.
func TestShards(t *testing.T) {
	folder := t.TempDir()
	root := filepath.Join(folder, "cohort")
	tinyCohort(t, root, 2, 5, 2, 1)
	var first map[string]string
	for _, shards := range []int{0, 1, 3, 9} {
		st := filepath.Join(folder, fmt.Sprint(shards))
		log := &notes{}
		o := tinyOptions(root, st, log)
		o.Shards = shards
		if _, err := Pseudolabel(t.Context(), o); err != nil {
			t.Fatal(err)
		}
		q := PredictRequest{Input: filepath.Join(root, "imagesTs"), Output: filepath.Join(st, "out"), Model: "ensemble"}
		if _, err := Predict(t.Context(), o, q); err != nil {
			t.Fatal(err)
		}
		if lines := strings.Join(log.take(), "\n"); strings.Count(lines, " s a pass") != 2 {
			t.Errorf("%d shards: nobody says how fast it is labelled:\n%s", shards, lines)
		}
		all, _ := contents(t, st)
		made := map[string]string{}
		for key, text := range all {
			for _, prefix := range []string{"pseudo/", "predictions/", "out/"} {
				if strings.HasPrefix(key, prefix) {
					made[key] = text
				}
			}
		}
		if first == nil {
			first = made
		}
		if len(made) != len(first) || len(made) == 0 {
			t.Errorf("%d shards: %d objects, want %d", shards, len(made), len(first))
		}
		for key, text := range made {
			if first[key] != text {
				t.Errorf("%d shards: %s differs", shards, key)
			}
		}
	}
}

func TestSlowest(t *testing.T) {
	took := func(id string, seconds, passes float64) predict.Took {
		return predict.Took{Case: id, Seconds: seconds, Passes: passes}
	}
	for want, list := range map[string][]predict.Took{
		"":             nil,
		"0.5 s a pass": {took("a", 5, 10), took("b", 10, 20), took("c", 3, 5)},
		"0.5 s a pass, slowest d: 40 s, predicted 10 s": {took("a", 5, 10), took("b", 10, 20), took("c", 8, 10), took("d", 40, 20), took("e", 2, 4)},
	} {
		if got := slowest(list); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// TestHeap labels scans in shards as for a runner that splits none: the same bytes, and
// nothing of the heap stays in the store.
func TestHeap(t *testing.T) {
	folder := t.TempDir()
	root, st := filepath.Join(folder, "cohort"), filepath.Join(folder, "store")
	tinyCohort(t, root, 2, 1, 12, 1)
	o := tinyOptions(root, st, &notes{})
	if _, err := Train(t.Context(), o, fit.Teacher, nil); err != nil {
		t.Fatal(err)
	}
	q := PredictRequest{Input: filepath.Join(root, "imagesTs"), Output: filepath.Join(folder, "out"), Model: "ensemble"}
	if _, err := Predict(t.Context(), o, q); err != nil {
		t.Fatal(err)
	}
	want, _ := contents(t, q.Output)

	o.Runner = runners.Options{Runner: "flink", Flink: flink.Options{Endpoint: "nowhere:1", Parallelism: 3}}
	r, err := openPredict(t.Context(), o, q)
	if err != nil {
		t.Fatal(err)
	}
	_, models, err := r.pick(t.Context(), "ensemble")
	if err != nil {
		t.Fatal(err)
	}
	list, _, err := cases.Scans(t.Context(), q.Input)
	if err != nil {
		t.Fatal(err)
	}
	c, err := r.config(t.Context(), models, len(list))
	if err != nil {
		t.Fatal(err)
	}
	again := filepath.Join(folder, "again")
	c.Output, c.Store = again, filepath.Join(folder, "other")
	if err := os.CopyFS(filepath.Join(c.Store, "models"), os.DirFS(filepath.Join(st, "models"))); err != nil {
		t.Fatal(err)
	}
	r.store = mustOpen(t, c.Store)
	shards := deal(t.Context(), r, c, list, list, map[string]bool{list[0].ID: true})
	if len(shards) != 3*spareShards || r.heap == nil || len(shards[0].Cases) != 1 || len(shards[1].Cases) != 0 {
		t.Fatalf("%d shards %+v, heap %+v", len(shards), shards, r.heap)
	}
	if err := runners.Run(t.Context(), predictGraph(c, shards), runners.Options{}); err != nil {
		t.Fatal(err)
	}
	if got, _ := contents(t, again); !maps.Equal(got, want) {
		t.Errorf("%d files, want the %d that Prism's shards give", len(got), len(want))
	}
	if err := r.clearHeap(t.Context()); err != nil {
		t.Error(err)
	}
	if left, err := r.store.List(t.Context(), "heaps/"); err != nil || len(left) > 0 || r.heap != nil {
		t.Errorf("%v is left, %v", left, err)
	}
	if dealt := deal(t.Context(), r, c, list, list, allOf(list)); r.heap != nil || len(dealt) != 3 {
		t.Errorf("nothing to do: %d shards, heap %v", len(dealt), r.heap)
	}
}

func allOf(list []cases.Case) map[string]bool {
	all := map[string]bool{}
	for _, c := range list {
		all[c.ID] = true
	}
	return all
}
