package phantom

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Names of the benchmark cohorts.
const (
	FlareMini     = "flare-mini"
	FlareMiniHard = "flare-mini-hard"
)

// preset is a cohort that stays as it is: how many cases, their seed, and the domains
// of the labelled cases and of all others. testdata has a digest of each case.
type preset struct {
	cohort              Options
	labelled, elsewhere domain
}

var presets = map[string]preset{
	FlareMini:     {benchmark(FlareMini, 2022), familiar, foreign},
	FlareMiniHard: {benchmark(FlareMiniHard, 2023), familiar, outlandish},
}

// benchmark is what the cohorts of benchmarks share: a few labelled cases, one for each
// fold, many unlabelled ones, and two sets that are held out: settings are chosen on
// validation, results come from test.
func benchmark(name string, seed uint64) Options {
	return Options{Preset: name, Labelled: 5, Unlabelled: 40, Validation: 12, Test: 24, Seed: seed, Shifted: true, Truth: true}
}

// Presets returns the names of the presets, ascending.
func Presets() []string { return slices.Sorted(maps.Keys(presets)) }

// Preset returns the options of a benchmark cohort, for Out to be filled in. With CT and
// Labels its cases are deformed from that scan instead.
func Preset(name string) (Options, error) {
	p, ok := presets[name]
	if !ok {
		return Options{}, fmt.Errorf("phantom: no preset %q; there are %s", name, strings.Join(Presets(), ", "))
	}
	return p.cohort, nil
}

// domainOf is where the cases of a set come from.
func (o Options) domainOf(set string) domain {
	labelled, elsewhere := source, shifted
	if p, ok := presets[o.Preset]; ok {
		labelled, elsewhere = p.labelled, p.elsewhere
	}
	if o.Shifted && set != labelledSet {
		return elsewhere
	}
	return labelled
}
