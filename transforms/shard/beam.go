package shard

import (
	"encoding/json"
	"fmt"

	"github.com/apache/beam/sdks/v2/go/pkg/beam/core/sdf"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/io/rtrackers/offsetrange"
)

// Fn is what splittable DoFns over shards have in common: embed it, take a Shard's JSON
// as the element, and call Each. Position 0 of the restriction is the shard as a whole,
// position i its case i-1.
type Fn struct{}

func (Fn) CreateInitialRestriction(shard string) (offsetrange.Restriction, error) {
	s, err := decode(shard)
	return offsetrange.Restriction{End: int64(len(s.Cases)) + 1}, err
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
func Each[T any](rt *sdf.LockRTracker, shard string, work func(T) error) (sdf.ProcessContinuation, error) {
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
	for ; rt.TryClaim(at); at++ {
		var c T
		if err := json.Unmarshal(s.Cases[at-1], &c); err != nil {
			return sdf.StopProcessing(), fmt.Errorf("shard: decode case: %w", err)
		}
		if err := work(c); err != nil {
			return sdf.StopProcessing(), err
		}
	}
	return sdf.StopProcessing(), nil
}
