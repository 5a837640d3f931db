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

// unsureOf is unsure, with 6 as the second class of label 1 and 8 as that of 3.
type unsureOf struct{ unsure }

func (u unsureOf) ReadSecond(ctx context.Context, lo, hi [3]int, dst []uint8) error {
	err := u.ReadLabels(ctx, lo, hi, dst)
	for i := range dst {
		dst[i] += 5
	}
	return err
}

// doubting collects the labels of batches whose pseudo-labelled cases are unsure.
func doubting(t *testing.T, d Doubt, even uint8, o Options, cache int64) []Batch {
	t.Helper()
	s := student(4)
	s.Doubt = d
	open := func(ctx context.Context, slot Slot) (Case, error) {
		c, err := cohort(ctx, slot)
		if slot.Pseudo {
			return unsureOf{unsure{c.(made), even}}, err
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

// TestSoft: a voxel has its label with its probability, else the second class, which moves with the patch; a cache
// gives the same.
func TestSoft(t *testing.T) {
	for even, want := range map[uint8]float64{0: 0, 64: 1 - 64./255} {
		plain := doubting(t, Doubt{}, even, Options{Workers: 2}, 0)
		soft := doubting(t, Doubt{Soften: true, Ignored: 9}, even, Options{Workers: 2}, 0)
		if again := doubting(t, Doubt{Soften: true, Ignored: 9}, even, Options{Workers: 1}, 1<<20); !same(soft, again) {
			t.Error("a cache gives other batches")
		}
		count := map[[2]uint8]float64{} // label and what it became
		for k, b := range soft {
			n := len(b.Labels) / len(b.Slots)
			for i, label := range b.Labels {
				if was := plain[k].Labels[i]; b.Slots[i/n].Pseudo {
					count[[2]uint8{was, label}]++
				} else if label != was {
					t.Fatal("a labelled case is drawn")
				}
			}
		}
		// Of the labels 1 and 3, the second classes are 6 and 8; without an even doubt, 1 is sure and 3 is not at all, but for
		// what a turned voxel has of its neighbours.
		drawn := func(label, second uint8) float64 {
			return count[[2]uint8{label, second}] / (count[[2]uint8{label, second}] + count[[2]uint8{label, label}])
		}
		one, three := drawn(1, 6), drawn(3, 8)
		if even == 0 && (one > 0.1 || three < 0.9) || even > 0 && (math.Abs(one-want) > 0.03 || math.Abs(three-want) > 0.03) {
			t.Errorf("even doubt %d: %.3f of label 1 and %.3f of 3 are drawn: %v", even, one, three, count)
		}
		if others := count[[2]uint8{1, 8}] + count[[2]uint8{3, 6}]; others > 0.02*(count[[2]uint8{1, 1}]+count[[2]uint8{3, 8}]) || count[[2]uint8{1, 9}]+count[[2]uint8{3, 9}] > 0 {
			t.Errorf("even doubt %d: second classes lie elsewhere, or voxels are ignored: %v", even, count)
		}
	}
}

var _ augment.Source = (*doubts)(nil)
