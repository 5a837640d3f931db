package pipelines

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"

	"noisystudent/transforms/cases"
	"noisystudent/transforms/fingerprint"
	"noisystudent/transforms/manifest"
	"noisystudent/transforms/plan"
)

// Planned is what planning reports.
type Planned struct {
	Plan     plan.Plan  `json:"plan"`
	New      bool       `json:"new"` // made by this run
	Rejected []Rejected `json:"rejected"`
}

// String says what was decided.
func (p Planned) String() string {
	what := "planned"
	if !p.New {
		what = "planned before (--replan makes it anew)"
	}
	return fmt.Sprintf("%s: spacing %.4g mm, patch %v, batch %d, features %v", what, p.Plan.Spacing, p.Plan.PatchSize, p.Plan.BatchSize, p.Plan.Network.Features)
}

// Plan makes the store's fingerprint, plan and splits, or returns the plan that is there.
func Plan(ctx context.Context, o Options) (Planned, error) {
	r, err := openDataset(ctx, o)
	if err != nil {
		return Planned{}, err
	}
	if err := r.needPlan(ctx); err != nil {
		return Planned{}, err
	}
	if !r.planned {
		err = r.refuseMeasured(ctx)
	}
	return Planned{r.plan, r.planned, r.refused}, err
}

// needPlan loads the plan, or makes it. A plan that is there is kept: people edit it.
func (r *run) needPlan(ctx context.Context) error {
	p, err := plan.Load(ctx, r.store)
	switch {
	case err == nil && !r.Replan:
		return r.keepPlan(ctx, p)
	case err != nil && !errors.Is(err, fs.ErrNotExist) && !r.Replan:
		return err
	}
	return r.makePlan(ctx)
}

// keepPlan refuses flags and data that the plan contradicts, rather than passing
// over them.
func (r *run) keepPlan(ctx context.Context, p plan.Plan) (err error) {
	at := r.store.Address(plan.File)
	switch {
	case r.Preset != "" && r.Preset != p.Preset:
		return fmt.Errorf("pipelines: %s is of preset %s, not %s; give --replan to make it anew, or another --store", at, p.Preset, r.Preset)
	case r.Seed != 0 && r.Seed != p.Seed:
		return fmt.Errorf("pipelines: %s has seed %d, not %d; give --replan to make it anew, or another --store", at, p.Seed, r.Seed)
	case !slices.Equal(p.Labels, r.dataset.Labels) || p.Ignore != r.dataset.Ignore:
		return fmt.Errorf("pipelines: %s has other labels than %s; give --replan to make it anew, or another --store", at, r.Dataset)
	}
	if err := r.sameSettings(ctx, p); err != nil {
		return err
	}
	r.progress.Note("plan: made before; nothing to do")
	r.clock.recall("fingerprint")
	r.plan = p
	if r.splits, err = plan.LoadSplits(ctx, r.store, p.Training.Folds); err == nil {
		r.goneFromFolds()
	}
	return err
}

// sameSettings checks that what --set and --precision ask for is what the plan says.
func (r *run) sameSettings(ctx context.Context, p plan.Plan) error {
	overrides, err := r.overrides()
	if err != nil || len(overrides) == 0 {
		return err
	}
	f, err := fingerprint.Load(ctx, r.store)
	if err != nil {
		return err
	}
	// A setting may be a rule, such as 16..320: what it means only the planner knows.
	asked, err := plan.Make(f, r.dataset, plan.Options{Preset: p.Preset, Orientation: p.Orientation, Seed: p.Seed, Overrides: overrides})
	if err != nil {
		return err
	}
	for _, path := range slices.Sorted(maps.Keys(overrides)) {
		if r.TimeBudget > 0 && slices.Contains(budgeted, path) {
			continue // the epochs were scaled
		}
		want, got := plan.Value(asked, path), plan.Value(p, path)
		if want != got {
			return fmt.Errorf("pipelines: %s has %s %s, not %s; give --replan to make it anew, or edit the file", r.store.Address(plan.File), path, got, want)
		}
	}
	return nil
}

// refuseMeasured adds the labelled cases that measuring refused when the plan was made.
func (r *run) refuseMeasured(ctx context.Context) error {
	rows, err := manifest.Rows(ctx, r.store, fingerprint.Stage)
	for _, c := range r.of(cases.Labelled) {
		if row := rows[c.ID]; row.Outcome == manifest.Rejected {
			r.refuse(row.Rejection())
		}
	}
	return err
}

// makePlan measures the labelled cases and plans.
func (r *run) makePlan(ctx context.Context) error {
	overrides, err := r.overrides()
	if err != nil {
		return err
	}
	orientation := overrides["orientation"]
	if orientation == "" {
		orientation = "ras"
	}
	good, err := r.fingerprint(ctx, orientation)
	if err != nil {
		return err
	}
	f, err := fingerprint.Load(ctx, r.store)
	if err != nil {
		return err
	}
	if r.plan, err = plan.Make(f, r.dataset, plan.Options{Preset: r.Preset, Orientation: orientation, Seed: r.Seed, Overrides: overrides}); err != nil {
		return err
	}
	for _, w := range r.plan.Warnings() {
		r.progress.Note("plan: " + w)
	}
	r.splits = plan.Splits(ids(good), r.plan.Training.Folds, plan.SplitSeed)
	if err := plan.SaveSplits(ctx, r.store, r.splits); err != nil {
		return err
	}
	r.planned = true
	return plan.Save(ctx, r.store, r.plan) // last: a store with a plan is planned
}

// fingerprint measures the labelled cases and returns those that could be.
func (r *run) fingerprint(ctx context.Context, orientation string) ([]cases.Case, error) {
	labelled := r.of(cases.Labelled)
	c := fingerprint.Config{
		Store: r.store.Root(), Orientation: orientation, BudgetBytes: r.memory(),
		Options: fingerprint.Options{Scheme: r.dataset.Scheme(), Samples: fingerprint.TotalSamples / int64(len(labelled)), Seed: r.Seed},
	}
	o, err := r.over(ctx, caseWork{
		name: "fingerprint", ledger: fingerprint.Stage, list: labelled,
		graph: func(context.Context, map[string]bool) *beam.Pipeline { return fingerprintGraph(c, labelled) },
	})
	if err != nil {
		return nil, r.explain(ctx, fingerprint.Stage, labelled, err)
	}
	r.headerNotes(ctx, o)
	return o.good, nil
}

func fingerprintGraph(c fingerprint.Config, list []cases.Case) *beam.Pipeline {
	p, s := beam.NewPipelineWithRoot()
	text, rejected := fingerprint.Collect(s, c, beam.CreateList(s, list))
	read(s, text, rejected)
	return p
}

// explain says what was wrong with the cases where a pipeline failed because none
// was left.
func (r *run) explain(ctx context.Context, stage string, list []cases.Case, failure error) error {
	rows, err := manifest.Rows(context.WithoutCancel(ctx), r.store, stage)
	if err != nil || ctx.Err() != nil {
		return failure
	}
	var messages []string
	for _, c := range list {
		row := rows[c.ID]
		if row.Outcome != manifest.Rejected {
			return failure
		}
		messages = append(messages, "\n  "+c.ID+": "+row.Message)
	}
	return fmt.Errorf("pipelines: %s: every case was rejected:%s", stage, strings.Join(messages, ""))
}

// goneFromFolds notes cases of the folds that the dataset has no more.
func (r *run) goneFromFolds() {
	here := map[string]bool{}
	for _, c := range r.of(cases.Labelled) {
		here[c.ID] = true
	}
	gone := slices.DeleteFunc(plan.Cases(r.splits), func(id string) bool { return here[id] })
	if len(gone) > 0 {
		r.progress.Note(fmt.Sprintf("plan: in a fold, but not among the labelled cases: %s; put them back, or take them out with --replan", some(gone)))
	}
}

// inNoFold notes labelled cases that came after the plan.
func (r *run) inNoFold(list []cases.Case) {
	known := plan.Cases(r.splits)
	var late []string
	for _, c := range list {
		_, found := slices.BinarySearch(known, c.ID)
		if inDataset := slices.ContainsFunc(r.dataset.Cases, func(x cases.Case) bool { return x.ID == c.ID }); !found && inDataset && c.Set == cases.Labelled {
			late = append(late, c.ID)
		}
	}
	if len(late) > 0 {
		r.progress.Note(fmt.Sprintf("plan: labelled, but in no fold: %s; the plan was made without them, --replan takes them in", some(late)))
	}
}
