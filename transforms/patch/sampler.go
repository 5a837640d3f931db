package patch

import (
	"context"
	"fmt"
	"math"

	"noisystudent/model/random"
	"noisystudent/transforms/augment"
)

// Annotated stands for "any voxel that is not ignored" where a class is asked for.
const Annotated = -1

// Case is a stored case as patches need it.
type Case interface {
	augment.Source
	// Classes are the foreground labels that have stored positions, ascending.
	Classes() []uint8
	// Positions are stored voxels (z, y, x) of a class, or of Annotated; nil: none.
	Positions(ctx context.Context, class int) ([][3]int32, error)
}

// Sampler chooses cases and patches. It holds no state.
type Sampler struct {
	Seed           uint64
	Role           string // teacher, student, ...: roles with one seed draw different patches
	Fold           int
	Patch          [3]int
	BatchSize      int
	StepsPerEpoch  int
	Labelled       int     // cases with labels
	Pseudo         int     // cases with pseudo-labels; 0: batches of labelled cases only
	LabelledPart   float64 // of the slots of mixed batches
	ForegroundPart float64 // of the slots of a batch, 0.33
	Ignore         bool    // the dataset has an ignore label
	Doubt          Doubt   // of pseudo-labels
}

// Check reports settings that cannot be sampled from.
func (s Sampler) Check() error {
	for _, n := range s.Patch {
		if n < 1 {
			return fmt.Errorf("patch: patch size %v", s.Patch)
		}
	}
	mixed := s.Pseudo > 0
	switch {
	case s.BatchSize < 1 || s.StepsPerEpoch < 1:
		return fmt.Errorf("patch: batch of %d, %d steps an epoch", s.BatchSize, s.StepsPerEpoch)
	case s.Pseudo < 0 || s.Labelled < 0 || s.Labelled == 0 && !(mixed && s.LabelledPart == 0):
		return fmt.Errorf("patch: %d labelled and %d pseudo-labelled cases", s.Labelled, s.Pseudo)
	case mixed && !(s.LabelledPart >= 0 && s.LabelledPart <= 1):
		return fmt.Errorf("patch: labelled part %v of a batch is not within 0 and 1", s.LabelledPart)
	case !(s.ForegroundPart >= 0 && s.ForegroundPart <= 1):
		return fmt.Errorf("patch: foreground part %v of a batch is not within 0 and 1", s.ForegroundPart)
	}
	return nil
}

// Slot is one entry of a batch before its case is opened.
type Slot struct {
	Pseudo bool // the pool
	Index  int  // of the case in its pool
	Forced bool // must hold foreground
	stream *random.Stream
}

// Slots returns the entries of one batch. Steps count from 0 within their epoch.
func (s Sampler) Slots(epoch int64, step int) []Slot {
	root := random.New(s.Seed, random.Key(s.Role), uint64(s.Fold), uint64(epoch), uint64(step))
	slots := make([]Slot, s.BatchSize)
	first := (epoch*int64(s.StepsPerEpoch) + int64(step)) * int64(s.BatchSize)
	for i := range slots {
		slot := &slots[i]
		slot.stream = root.Child(uint64(i))
		slot.Pseudo = !s.labelled(first + int64(i))
		n := s.Labelled
		if slot.Pseudo {
			n = s.Pseudo
		}
		slot.Index = slot.stream.Child(random.Key("case")).IntN(n)
	}
	for _, i := range s.forced(root) {
		slots[i].Forced = true
	}
	return slots
}

// labelled says whether slot n of the whole training takes a labelled case: the
// quota rises by LabelledPart with every slot, and a labelled case is due whenever
// it passes a whole number.
func (s Sampler) labelled(n int64) bool {
	if s.Pseudo == 0 {
		return true
	}
	due := func(n int64) float64 { return math.Floor(float64(n)*s.LabelledPart + 1e-6) }
	return due(n+1) > due(n)
}

// forced returns the slots that must hold foreground.
func (s Sampler) forced(root *random.Stream) []int {
	free := int(math.RoundToEven(float64(s.BatchSize) * (1 - s.ForegroundPart)))
	if s.Pseudo > 0 {
		// the quota puts labelled cases into the same slots of every batch, so the
		// last ones would always be of one pool
		return root.Child(random.Key("forced")).Perm(s.BatchSize)[free:]
	}
	last := make([]int, s.BatchSize-free)
	for i := range last {
		last[i] = free + i
	}
	return last
}

// Corner chooses the lowest voxel of the slot's patch in its case.
func (s Sampler) Corner(ctx context.Context, slot Slot, c Case) ([3]int, error) {
	stream := slot.stream.Child(random.Key("place"))
	least, greatest := placement(c.Shape(), s.Patch)
	voxel, found, err := s.centre(ctx, slot, stream, c)
	if err != nil {
		return [3]int{}, err
	}
	var corner [3]int
	for a := range 3 {
		if found {
			corner[a] = max(least[a], int(voxel[a])-s.Patch[a]/2)
		} else {
			corner[a] = least[a] + stream.IntN(greatest[a]-least[a]+1)
		}
	}
	return corner, nil
}

// placement returns the range of corners. A case shorter than the patch lies in the
// middle; where the rest is odd, the two middles are equally likely.
func placement(shape, patch [3]int) (least, greatest [3]int) {
	for a := range 3 {
		short := max(patch[a]-shape[a], 0)
		least[a] = -(short + 1) / 2
		greatest[a] = shape[a] - patch[a] + (short+1)/2
	}
	return least, greatest
}

// centre returns the voxel that the patch must be centred on, if there is one.
func (s Sampler) centre(ctx context.Context, slot Slot, stream *random.Stream, c Case) (voxel [3]int32, found bool, err error) {
	class := Annotated
	switch classes := c.Classes(); {
	case slot.Forced && len(classes) > 0:
		class = int(classes[stream.IntN(len(classes))])
	case !s.Ignore:
		return voxel, false, nil
	}
	positions, err := c.Positions(ctx, class)
	if err != nil || len(positions) == 0 {
		return voxel, false, err
	}
	return positions[stream.IntN(len(positions))], true, nil
}

// Params draws the augmentation of the slot's patch.
func (s Sampler) Params(slot Slot, table augment.Table) augment.Params {
	return augment.Draw(slot.stream.Child(random.Key("augment")), table)
}
