// Package shard deals cases out to workers.
//
// The one idea: what a case will cost is known from its header, so that the work is
// divided before it begins: largest first, each to the shard that has least so far
// (Graham 1969, longest processing time first: at most 4/3 of the best division, and
// next to it where cases are many). A shard is one element of a splittable DoFn that
// goes through its cases in that order. A runner that finds a worker idle may split
// what is left of a shard between two cases and give it away. Where the runner does not,
// Pile keeps the cases on a heap, from which shards take as they go. Results do not
// depend on the shards, for every case is work of its own.
package shard

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"time"
)

// Shard is the element: cases in the order in which they are to be done.
type Shard struct {
	Cases []json.RawMessage `json:"cases"`
	// Wait sends the shard away before its first case, to come back in a bundle of its
	// own: Prism delivers all elements in one bundle, which does one after the other.
	Wait time.Duration `json:"wait,omitempty"`
	// Heap is where the shard finds more to do after its own cases.
	Heap *Heap `json:"heap,omitempty"`
}

// apart is the least time between the returns of two shards.
const apart = 30 * time.Millisecond

// Deal makes at most n shards of cases with their predicted costs, in any unit. Cases
// of equal cost stay in their order.
func Deal[T any](list []T, costs []float64, n int) []Shard {
	order, _ := byCost(costs)
	shards := make([]Shard, min(max(n, 1), len(list)))
	sums, counts := make([]float64, len(shards)), make([]int, len(shards))
	for _, i := range order {
		least := 0
		for k := range sums { // cases without a cost go where fewest are
			if cmp.Or(cmp.Compare(sums[k], sums[least]), cmp.Compare(counts[k], counts[least])) < 0 {
				least = k
			}
		}
		sums[least] += costs[i]
		counts[least]++
		shards[least].Cases = append(shards[least].Cases, encode(list[i]))
	}
	return shards
}

// Apart makes shards come back each in its turn, which a single one need not.
func Apart(shards []Shard) []Shard {
	for k := range shards {
		if len(shards) > 1 {
			shards[k].Wait = time.Duration(k+1) * apart
		}
	}
	return shards
}

// byCost orders cases, the most costly first, and sums up.
func byCost(costs []float64) (order []int, sum float64) {
	for i, c := range costs {
		order, sum = append(order, i), sum+c
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(costs[b], costs[a]) })
	return order, sum
}

func encode(c any) json.RawMessage {
	data, err := json.Marshal(c)
	if err != nil {
		panic(fmt.Sprintf("shard: encode case: %v", err)) // our own structs always encode
	}
	return data
}

func decode(text string) (s Shard, err error) {
	if err = json.Unmarshal([]byte(text), &s); err != nil {
		err = fmt.Errorf("shard: decode: %w", err)
	}
	return s, err
}
