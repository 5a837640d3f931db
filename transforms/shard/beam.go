package shard

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/apache/beam/sdks/v2/go/pkg/beam/core/sdf"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/io/rtrackers/offsetrange"
)

// Fn is what splittable DoFns over shards have in common: embed it, take a Shard's JSON
// as the element, and call Each. Position 0 of the restriction is the shard as a whole,
// position i its case i-1, and the last one is the heap.
type Fn struct{}

func (Fn) CreateInitialRestriction(shard string) (offsetrange.Restriction, error) {
	s, err := decode(shard)
	end := int64(len(s.Cases)) + 1
	if s.Heap != nil {
		end++
	}
	return offsetrange.Restriction{End: end}, err
}

func (Fn) SplitRestriction(_ string, r offsetrange.Restriction) []offsetrange.Restriction {
	return []offsetrange.Restriction{r}
}

func (Fn) RestrictionSize(_ string, r offsetrange.Restriction) float64 { return r.Size() }

func (Fn) CreateTracker(r offsetrange.Restriction) *sdf.LockRTracker {
	return sdf.NewLockRTracker(offsetrange.NewTracker(r))
}

// Each does the work of a shard's cases, from where the restriction begins up to where
// the runner has split it.
func Each[T any](ctx context.Context, rt *sdf.LockRTracker, shard string, work func(T) error) (sdf.ProcessContinuation, error) {
	s, err := decode(shard)
	if err != nil {
		return sdf.StopProcessing(), err
	}
	at := rt.GetRestriction().(offsetrange.Restriction).Start
	if at == 0 {
		if !rt.TryClaim(at) {
			return sdf.StopProcessing(), nil
		}
		if at++; s.Wait > 0 {
			return sdf.ResumeProcessingIn(s.Wait), nil
		}
	}
	one := func(data json.RawMessage) error {
		var c T
		if err := json.Unmarshal(data, &c); err != nil {
			return fmt.Errorf("shard: decode case: %w", err)
		}
		return work(c)
	}
	for ; err == nil && rt.TryClaim(at); at++ {
		if own := int(at) - 1; own < len(s.Cases) {
			err = one(s.Cases[own])
		} else {
			err = s.Heap.each(ctx, one)
		}
	}
	return sdf.StopProcessing(), err
}
