package cuda

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"noisystudent/model/cuda/tuning"
	"noisystudent/model/program"
)

// Tune measures how long the convolutions of a program, which is placed for the device,
// take with other tiles than the table's, all those together that share a rule. From the table's tile it goes to the fastest
// of the neighbours for as long as that gains a fiftieth. It returns the table with a
// rule for each convolution in front, and ends early, with what it knows, when ctx does;
// what it knows after each rule, it gives to found. A rule that cannot be measured keeps
// the best tile until then, and is an error beside the table. No program may be loaded
// meanwhile.
func (d *Device) Tune(ctx context.Context, p *program.Program, found func([]tuning.Rule) error) ([]tuning.Rule, error) {
	table := tuning.Rules()
	defer tuning.Use(table)
	plan, err := d.askedBy(p)
	if err != nil {
		return table, err
	}
	return search[tuning.Rule]{
		table: table,
		bare:  func(r tuning.Rule) tuning.Rule { r.Tile = tuning.Tile{}; return r },
		climb: func(a asked[tuning.Rule]) (tuning.Rule, error) { return d.climb(ctx, p, a, table) },
	}.run(ctx, plan.asked, found)
}

// askedBy lowers a program without compiling it, for the rules that it looks up.
func (d *Device) askedBy(p *program.Program) (*lowering, error) {
	plan := &lowering{l: &loaded{d: d, p: p, store: storeOf(p.Precision)}, measuring: true}
	if err := plan.all(); err != nil {
		return nil, fmt.Errorf("cuda: tune: %w", err)
	}
	return plan, nil
}

// asked is a rule that was looked up, with the instructions that have asked for it.
type asked[R any] struct {
	rule    R
	indexes []int
}

// search looks for better rules than a table's, which are told apart by what they are for:
// bare is a rule without its choice.
type search[R interface {
	comparable
	Before(other R) int
}] struct {
	table []R
	bare  func(R) R
	climb func(asked[R]) (R, error)
}

// run finds a rule for all that was asked, one after another, until ctx ends.
func (s search[R]) run(ctx context.Context, questions []asked[R], found func([]R) error) ([]R, error) {
	all := s.merged(questions)
	now, known := s.table, map[R]R{}
	var errs []error
	for _, a := range all {
		if ctx.Err() != nil {
			break
		}
		r, err := s.climb(a)
		errs = append(errs, err)
		known[s.bare(r)] = r
		now = slices.SortedFunc(maps.Values(known), R.Before)
		for _, r := range s.table {
			if _, ok := known[s.bare(r)]; !ok {
				now = append(now, r)
			}
		}
		if err := found(now); err != nil {
			errs = append(errs, err)
			break
		}
	}
	return now, errors.Join(errs...)
}

// merged has one question for all instructions that share a rule.
func (s search[R]) merged(questions []asked[R]) (all []asked[R]) {
	for _, q := range questions {
		i := slices.IndexFunc(all, func(a asked[R]) bool { return s.bare(a.rule) == s.bare(q.rule) })
		if i < 0 {
			all = append(all, asked[R]{rule: q.rule})
			i = len(all) - 1
		}
		for _, index := range q.indexes {
			if !slices.Contains(all[i].indexes, index) {
				all[i].indexes = append(all[i].indexes, index)
			}
		}
	}
	return all
}

// climb goes from tile to faster tile.
func (d *Device) climb(ctx context.Context, p *program.Program, a asked[tuning.Rule], table []tuning.Rule) (tuning.Rule, error) {
	var err error
	a.rule.Tile, err = fastest(ctx, a.rule.Tile,
		func(t tuning.Tile) []tuning.Tile { r := a.rule; r.Tile = t; return r.Neighbours() },
		func(t tuning.Tile) (time.Duration, error) {
			r := a.rule
			r.Tile = t
			tuning.Use(append([]tuning.Rule{r}, table...))
			return d.timed(p, a.indexes)
		})
	if r := a.rule; err != nil {
		err = fmt.Errorf("cuda: tune kernel %v, stride %v, %d channels, width %d: %w", r.Kernel, r.Stride, r.Channels, r.Width, err)
	}
	return a.rule, err
}

// fastest goes from a choice to the fastest of its neighbours for as long as that gains
// a fiftieth, until ctx ends or one fails.
func fastest[T any](ctx context.Context, at T, neighbours func(T) []T, timed func(T) (time.Duration, error)) (T, error) {
	best, err := timed(at)
	for better := true; better && err == nil; {
		better = false
		for _, next := range neighbours(at) {
			if ctx.Err() != nil {
				return at, nil
			}
			took, err := timed(next)
			if err != nil {
				return at, err
			}
			if took < best-best/50 {
				best, at, better = took, next, true
			}
		}
	}
	return at, err
}

// TuneProducts is Tune for weight gradients.
func (d *Device) TuneProducts(ctx context.Context, p *program.Program, found func([]tuning.ProductRule) error) ([]tuning.ProductRule, error) {
	table := tuning.ProductRules()
	defer tuning.UseProducts(table)
	plan, err := d.askedBy(p)
	if err != nil {
		return table, err
	}
	return search[tuning.ProductRule]{
		table: table,
		bare:  func(r tuning.ProductRule) tuning.ProductRule { r.Product = tuning.Product{}; return r },
		climb: func(a asked[tuning.ProductRule]) (tuning.ProductRule, error) { return d.climbProduct(ctx, p, a, table) },
	}.run(ctx, plan.askedProducts, found)
}

// climbProduct goes from product to faster product.
func (d *Device) climbProduct(ctx context.Context, p *program.Program, a asked[tuning.ProductRule], table []tuning.ProductRule) (tuning.ProductRule, error) {
	var err error
	r := a.rule
	a.rule.Product, err = fastest(ctx, r.Product,
		func(p tuning.Product) []tuning.Product { r.Product = p; return r.Neighbours() },
		func(t tuning.Product) (time.Duration, error) {
			r.Product = t
			tuning.UseProducts(append([]tuning.ProductRule{r}, table...))
			return d.timed(p, a.indexes)
		})
	if err != nil {
		err = fmt.Errorf("cuda: tune weight gradient %v, stride %v, %d channels: %w", r.Kernel, r.Stride, r.Channels, err)
	}
	return a.rule, err
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
