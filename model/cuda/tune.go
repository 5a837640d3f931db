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
	best, err := d.timed(p, a.index, a.rule, table)
	for better := true; better && err == nil; {
		better = false
		for _, t := range a.rule.Neighbours() {
			if ctx.Err() != nil {
				return a.rule, nil
			}
			r := a.rule
			r.Tile = t
			var took time.Duration
			if took, err = d.timed(p, a.index, r, table); err != nil {
				return r, err
			}
			if took < best-best/50 {
				best, a.rule, better = took, r, true
			}
		}
	}
	return a.rule, err
}

// timed returns the least time of an instruction with a rule before those of a table.
func (d *Device) timed(p *program.Program, index int, r tuning.Rule, table []tuning.Rule) (least time.Duration, err error) {
	tuning.Use(append([]tuning.Rule{r}, table...))
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
	i := slices.IndexFunc(list, func(t Took) bool { return t.Instr == index })
	return slices.Min(list[i].Times), nil
}
