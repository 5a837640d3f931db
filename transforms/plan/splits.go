package plan

import (
	"slices"
	"strings"
)

// SplitSeed is the seed of nnU-Net's folds.
const SplitSeed = 12345

// Split is one fold: the cases that train it and those that validate it, each
// ascending. splits.json is a list of them, as nnU-Net's splits_final.json.
type Split struct {
	Train []string `json:"train"`
	Val   []string `json:"val"`
}

// Splits divides labelled cases into folds as nnU-Net does: sorted names,
// scikit-learn's KFold(folds, shuffle, random_state=seed). Each case validates
// exactly one fold.
//
// With fewer cases than folds a fold leaves one case out: fold k validates on the
// (k mod n)-th case in order of name, so that some folds share their cases and
// differ in their draws only. A single case both trains and validates.
func Splits(ids []string, folds int, seed uint32) []Split {
	ids = slices.Sorted(slices.Values(ids))
	n := len(ids)
	splits := make([]Split, folds)
	if n == 0 {
		return splits
	}
	validates := make([]int, n) // case -> fold
	if n >= folds {
		order := newMT19937(seed).shuffle(n)
		for position, i := range order {
			validates[i] = foldOf(position, n, folds)
		}
	}
	for k := range splits {
		for i, id := range ids {
			leftOut := validates[i] == k
			if n < folds {
				leftOut = i == k%n
			}
			if leftOut {
				splits[k].Val = append(splits[k].Val, id)
			}
			if !leftOut || n == 1 {
				splits[k].Train = append(splits[k].Train, id)
			}
		}
	}
	return splits
}

// foldOf cuts n shuffled positions into runs; the first n mod folds runs are one
// longer.
func foldOf(position, n, folds int) int {
	size, longer := n/folds, n%folds
	if position < longer*(size+1) {
		return position / (size + 1)
	}
	return longer + (position-longer*(size+1))/size
}

// Cases returns all cases of the splits, ascending.
func Cases(splits []Split) []string {
	var ids []string
	for _, s := range splits {
		ids = append(append(ids, s.Train...), s.Val...)
	}
	slices.SortFunc(ids, strings.Compare)
	return slices.Compact(ids)
}
