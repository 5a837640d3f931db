package cuda

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"noisystudent/model/cuda/tuning"
	"noisystudent/model/program"
)

// Tune measures how long the convolutions of a program, which is placed for the device,
// take with other tiles than the table's. From the table's tile it goes to the fastest
// of the neighbours for as long as that gains a fiftieth. It returns the table with a
// rule for each convolution in front, and ends early, with what it knows, when ctx does.
// No program may be loaded meanwhile.
func (d *Device) Tune(ctx context.Context, p *program.Program) ([]tuning.Rule, error) {
	table := tuning.Rules()
	defer tuning.Use(table)
	plan := &lowering{l: &loaded{d: d, p: p, store: storeOf(p.Precision)}, measuring: true}
	if err := plan.all(); err != nil {
		return nil, fmt.Errorf("cuda: tune: %w", err)
	}
	var rules []tuning.Rule
	known := map[tuning.Rule]bool{}
	for _, a := range plan.asked {
		question := a.rule
		if question.Tile = (tuning.Tile{}); known[question] {
			continue
		}
		known[question] = true
		r, err := d.climb(ctx, p, a, table)
		if err != nil {
			return nil, fmt.Errorf("cuda: tune kernel %v, stride %v, %d channels, width %d: %w", r.Kernel, r.Stride, r.Channels, r.Width, err)
		}
		rules = append(rules, r)
	}
	slices.SortFunc(rules, tuning.Rule.Before)
	for _, r := range table {
		question := r
		if question.Tile = (tuning.Tile{}); !known[question] {
			rules = append(rules, r)
		}
	}
	return rules, nil
}

// asked is a convolution that was looked up, with the tile found, and its instruction.
type asked struct {
	rule  tuning.Rule
	index int
}

// climb goes from tile to faster tile.
func (d *Device) climb(ctx context.Context, p *program.Program, a asked, table []tuning.Rule) (tuning.Rule, error) {
	var err error
	a.rule.Tile, err = fastest(ctx, a.rule.Tile,
		func(t tuning.Tile) []tuning.Tile { r := a.rule; r.Tile = t; return r.Neighbours() },
		func(t tuning.Tile) (time.Duration, error) {
			r := a.rule
			r.Tile = t
			tuning.Use(append([]tuning.Rule{r}, table...))
			return d.timed(p, []int{a.index})
		})
	return a.rule, err
}

// fastest goes from a choice to the fastest of its neighbours for as long as that gains
// a fiftieth, or until ctx ends.
func fastest[T any](ctx context.Context, at T, neighbours func(T) []T, timed func(T) (time.Duration, error)) (T, error) {
	best, err := timed(at)
	for better := true; better && err == nil; {
		better = false
		for _, next := range neighbours(at) {
			if ctx.Err() != nil {
				return at, nil
			}
			var took time.Duration
			if took, err = timed(next); err != nil {
				return next, err
			}
			if took < best-best/50 {
				best, at, better = took, next, true
			}
		}
	}
	return at, err
}

// askedProduct is a weight gradient that was looked up, with the rule found, and the
// instructions that have asked for the like.
type askedProduct struct {
	rule    tuning.ProductRule
	indexes []int
}

// TuneProducts is Tune for weight gradients, which may share a rule: all that do are timed
// together.
func (d *Device) TuneProducts(ctx context.Context, p *program.Program) ([]tuning.ProductRule, error) {
	table := tuning.ProductRules()
	defer tuning.UseProducts(table)
	plan := &lowering{l: &loaded{d: d, p: p, store: storeOf(p.Precision)}, measuring: true}
	if err := plan.all(); err != nil {
		return nil, fmt.Errorf("cuda: tune: %w", err)
	}
	like := func(r tuning.ProductRule) func(askedProduct) bool { // but for the product
		return func(a askedProduct) bool { a.rule.Product = r.Product; return a.rule == r }
	}
	var all []askedProduct
	for _, a := range plan.askedProducts {
		if i := slices.IndexFunc(all, like(a.rule)); i >= 0 {
			all[i].indexes = append(all[i].indexes, a.indexes...)
		} else {
			all = append(all, a)
		}
	}
	var rules []tuning.ProductRule
	for _, a := range all {
		r := a.rule
		product, err := fastest(ctx, r.Product,
			func(p tuning.Product) []tuning.Product { r.Product = p; return r.Neighbours() },
			func(t tuning.Product) (time.Duration, error) {
				r.Product = t
				tuning.UseProducts(append([]tuning.ProductRule{r}, table...))
				return d.timed(p, a.indexes)
			})
		if err != nil {
			return nil, fmt.Errorf("cuda: tune weight gradient %v, stride %v, %d channels: %w", r.Kernel, r.Stride, r.Channels, err)
		}
		r.Product = product
		rules = append(rules, r)
	}
	slices.SortFunc(rules, tuning.ProductRule.Before)
	for _, r := range table {
		if !slices.ContainsFunc(all, like(r)) {
			rules = append(rules, r)
		}
	}
	return rules, nil
}

// timed returns the least time of instructions by the tables.
func (d *Device) timed(p *program.Program, indexes []int) (least time.Duration, err error) {
	l, err := d.Load(p)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	const runs = 5
	list, err := Profile(l, runs)
	if err != nil {
		return 0, err
	}
	for _, index := range indexes {
		i := slices.IndexFunc(list, func(t Took) bool { return t.Instr == index })
		least += slices.Min(list[i].Times)
	}
	return least, nil
}
