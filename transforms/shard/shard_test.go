package shard_test

import (
	"encoding/json"
	"slices"
	"testing"
	"time"

	"noisystudent/model/random"
	"noisystudent/transforms/shard"
)

// numbers decodes the cases of a shard of numbers.
func numbers(t *testing.T, s shard.Shard) (list []int) {
	t.Helper()
	for _, data := range s.Cases {
		var i int
		if err := json.Unmarshal(data, &i); err != nil {
			t.Fatal(err)
		}
		list = append(list, i)
	}
	return list
}

func TestDealGivesEachCaseOnceLargestFirst(t *testing.T) {
	draw := random.New(1)
	for _, c := range []struct{ cases, shards, want int }{{0, 3, 0}, {1, 3, 1}, {7, 0, 1}, {7, 1, 1}, {40, 7, 7}, {5, 64, 5}} {
		list, costs := make([]int, c.cases), make([]float64, c.cases)
		total := 0.0
		for i := range list {
			list[i], costs[i] = i, float64(1+draw.IntN(9))
			total += costs[i]
		}
		shards := shard.Deal(list, costs, c.shards)
		if len(shards) != c.want {
			t.Errorf("%+v: %d shards", c, len(shards))
		}
		var all []int
		for _, s := range shards {
			mine := numbers(t, s)
			sum := 0.0
			for k, i := range mine {
				sum += costs[i]
				if k > 0 && (costs[mine[k-1]] < costs[i] || costs[mine[k-1]] == costs[i] && mine[k-1] > i) {
					t.Errorf("%+v: case %d of cost %v comes after %d of %v", c, i, costs[i], mine[k-1], costs[mine[k-1]])
				}
			}
			if limit := total/float64(c.want) + slices.Max(costs); sum > limit {
				t.Errorf("%+v: a shard of %v, at most %v", c, sum, limit)
			}
			all = append(all, mine...)
		}
		slices.Sort(all)
		if !slices.Equal(all, list) {
			t.Errorf("%+v: dealt %v", c, all)
		}
	}
}

// Cases of no cost, such as those that are done, are spread too: somebody looks at each.
func TestDealSpreadsWhatCostsNothing(t *testing.T) {
	for _, s := range shard.Deal(make([]int, 12), make([]float64, 12), 4) {
		if len(s.Cases) != 3 {
			t.Errorf("a shard of %d of 12 cases", len(s.Cases))
		}
	}
}

func TestShardsComeBackApart(t *testing.T) {
	seen := map[time.Duration]bool{}
	for _, s := range shard.Apart(shard.Deal(make([]int, 4), make([]float64, 4), 4)) {
		if s.Wait <= 0 || seen[s.Wait] {
			t.Errorf("a shard waits %v", s.Wait)
		}
		seen[s.Wait] = true
	}
	if s := shard.Apart(make([]shard.Shard, 1))[0]; s.Wait != 0 {
		t.Errorf("a single shard waits %v though it need not", s.Wait)
	}
}
