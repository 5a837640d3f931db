package patch

import (
	"context"
	"math"
	"testing"

	"noisystudent/transforms/augment"
)

// unsure is a case that is sure of label 1 and doubts label 3 altogether, in blobs; its
// even doubt, where it has one, is that of every voxel instead.
type unsure struct {
	made
	even uint8
}

func blob(z, y, x int) bool { return (z/3+y/4+x/5)%2 == 0 }

func (u unsure) ReadLabels(_ context.Context, lo, hi [3]int, dst []uint8) error {
	fillBox(dst, lo, hi, func(z, y, x int) uint8 {
		if blob(z, y, x) {
			return 3
		}
		return 1
	})
	return nil
}

func (u unsure) ReadCertain(_ context.Context, lo, hi [3]int, dst []uint8) error {
	fillBox(dst, lo, hi, func(z, y, x int) uint8 {
		switch {
		case u.even > 0:
			return u.even
		case blob(z, y, x):
			return 0
		}
		return 255
	})
	return nil
}

// doubting collects the labels of batches whose pseudo-labelled cases are unsure.
func doubting(t *testing.T, d Doubt, even uint8, o Options, cache int64) []Batch {
	t.Helper()
	s := student(4)
	s.Doubt = d
	open := func(ctx context.Context, slot Slot) (Case, error) {
		c, err := cohort(ctx, slot)
		if slot.Pseudo {
			return unsure{c.(made), even}, err
		}
		return c, err
	}
	return collect(t, s, NewCache(open, cache).Open, 0, 20, o)
}

// TestDoubtMovesWithThePatch: what is hidden is what is doubted, turned, scaled and
// flipped as the labels are, with a cache and without.
func TestDoubtMovesWithThePatch(t *testing.T) {
	const ignored = 9
	plain := doubting(t, Doubt{}, 0, Options{Workers: 2}, 0)
	hidden := doubting(t, Doubt{Least: 0.5, Ignored: ignored}, 0, Options{Workers: 2}, 0)
	if again := doubting(t, Doubt{Least: 0.5, Ignored: ignored}, 0, Options{Workers: 1}, 1<<20); !same(hidden, again) {
		t.Error("a cache gives other batches")
	}
	wrong, all := 0, 0
	for k, b := range hidden {
		n := len(b.Labels) / len(b.Slots)
		for i, label := range b.Labels {
			was := plain[k].Labels[i]
			switch pseudo := b.Slots[i/n].Pseudo; {
			case !pseudo && label != was:
				t.Fatal("a labelled case is hidden")
			case pseudo && was == 3:
				all++
				if label != ignored {
					wrong++
				}
			case pseudo && label != was: // ties of the interpolation
				wrong++
			}
		}
		for i, v := range b.Images {
			if v != plain[k].Images[i] {
				t.Fatal("the image is changed")
			}
		}
	}
	if all == 0 || float64(wrong) > 0.02*float64(all) {
		t.Errorf("%d of %d doubted voxels are not as they should be", wrong, all)
	}
}

// TestWeights: the part of hidden voxels is the doubt, and outside of a case nothing is doubted.
func TestWeights(t *testing.T) {
	const even = 64
	plain := doubting(t, Doubt{}, even, Options{Workers: 2}, 0)
	drawn := doubting(t, Doubt{Weigh: true, Ignored: 9}, even, Options{Workers: 2}, 0)
	var hidden, inside, edge, outside float64
	for k, b := range drawn {
		n := len(b.Labels) / len(b.Slots)
		for i, label := range b.Labels {
			if !b.Slots[i/n].Pseudo {
				continue
			}
			if plain[k].Labels[i] == 0 { // outside: the case has 1 and 3
				outside++
				if label != 0 {
					edge++
				}
				continue
			}
			inside++
			if label == 9 {
				hidden++
			}
		}
	}
	if outside == 0 || edge > 0.2*outside { // some, where a turned voxel lies between the case and nothing
		t.Errorf("%v of %v voxels outside of a case are hidden", edge, outside)
	}
	if got, want := hidden/inside, 1-even/255.; math.Abs(got-want) > 0.02 {
		t.Errorf("%.3f of %v voxels are hidden, want %.3f", got, inside, want)
	}
}

var _ augment.Source = (*doubts)(nil)
