package plan

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func names(n int) []string {
	ids := make([]string, n)
	for i := range ids {
		ids[i] = fmt.Sprintf("case%03d", i)
	}
	return ids
}

// Every case validates one fold and trains the others.
func TestFoldsPartition(t *testing.T) {
	for folds := 2; folds <= 7; folds++ {
		for n := folds; n <= 30; n++ {
			ids := names(n)
			shuffled := slices.Clone(ids)
			slices.Reverse(shuffled)
			splits := Splits(shuffled, folds, SplitSeed)
			var all []string
			for k, s := range splits {
				all = append(all, s.Val...)
				both := slices.Concat(s.Train, s.Val)
				slices.Sort(both)
				if !slices.Equal(both, ids) {
					t.Fatalf("fold %d of %d, %d cases: %v", k, folds, n, s)
				}
				if size := len(s.Val); size != n/folds && size != n/folds+1 {
					t.Fatalf("fold %d of %d, %d cases: %d validate", k, folds, n, size)
				}
			}
			slices.Sort(all)
			if !slices.Equal(all, ids) {
				t.Fatalf("%d folds, %d cases: %v validate", folds, n, all)
			}
		}
	}
}

func TestFewerCasesThanFolds(t *testing.T) {
	want := []Split{
		{Train: []string{"b", "c"}, Val: []string{"a"}},
		{Train: []string{"a", "c"}, Val: []string{"b"}},
		{Train: []string{"a", "b"}, Val: []string{"c"}},
		{Train: []string{"b", "c"}, Val: []string{"a"}},
		{Train: []string{"a", "c"}, Val: []string{"b"}},
	}
	if d := cmp.Diff(want, Splits([]string{"c", "b", "a"}, 5, SplitSeed)); d != "" {
		t.Errorf("3 cases (-want +got)\n%s", d)
	}
	one := Split{Train: []string{"a"}, Val: []string{"a"}}
	if d := cmp.Diff([]Split{one, one}, Splits([]string{"a"}, 2, SplitSeed)); d != "" {
		t.Errorf("1 case (-want +got)\n%s", d)
	}
	if err := checkSplits(Splits([]string{"a"}, 2, SplitSeed), 2); err != nil {
		t.Errorf("1 case: %v", err)
	}
	if err := checkSplits(Splits(nil, 2, SplitSeed), 2); err == nil {
		t.Error("no case: no error")
	}
}

// The first numbers of numpy.random.RandomState(12345).
func TestMersenneTwister(t *testing.T) {
	m := newMT19937(12345)
	for i, want := range []uint32{3992670690, 3823185381, 1358822685} {
		if got := m.uint32(); got != want {
			t.Errorf("number %d is %d, want %d", i, got, want)
		}
	}
}
