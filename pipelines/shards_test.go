package pipelines

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

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
