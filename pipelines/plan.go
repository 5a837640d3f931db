package pipelines

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"

	"noisystudent/model/compile"
	"noisystudent/model/cpu"
	"noisystudent/model/program"
	"noisystudent/transforms/cases"
	"noisystudent/transforms/fingerprint"
	"noisystudent/transforms/manifest"
	"noisystudent/transforms/plan"
)

// Plan makes the store's fingerprint, plan and splits, or returns the plan that is there.
func Plan(ctx context.Context, o Options) (plan.Plan, []Rejected, error) {
	r, err := openDataset(ctx, o)
	if err != nil {
		return plan.Plan{}, nil, err
	}
	err = r.needPlan(ctx)
	return r.plan, r.refused, err
}

// needPlan loads the plan, or makes it. A plan that is there is kept: people edit it.
func (r *run) needPlan(ctx context.Context) error {
	p, err := plan.Load(ctx, r.store)
	switch {
	case err == nil && !r.Replan:
		return r.keepPlan(ctx, p)
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return err
	}
	return r.makePlan(ctx)
}

// keepPlan refuses flags that the plan contradicts, rather than passing over them.
func (r *run) keepPlan(ctx context.Context, p plan.Plan) (err error) {
	switch {
	case r.Preset != "" && r.Preset != p.Preset:
		return fmt.Errorf("pipelines: %s is of preset %s, not %s; give --replan to make it anew, or another --store", r.store.Address(plan.File), p.Preset, r.Preset)
	case r.Seed != 0 && r.Seed != p.Seed:
		return fmt.Errorf("pipelines: %s has seed %d, not %d; give --replan to make it anew, or another --store", r.store.Address(plan.File), p.Seed, r.Seed)
	}
	if err := r.sameSettings(ctx, p); err != nil {
		return err
	}
	r.plan = p
	r.splits, err = plan.LoadSplits(ctx, r.store, p.Training.Folds)
	return err
}

// sameSettings checks that what --set asks for is what the plan says.
func (r *run) sameSettings(ctx context.Context, p plan.Plan) error {
	if len(r.Set) == 0 {
		return nil
	}
	overrides, err := plan.Overrides(r.Set)
	if err != nil {
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
	for path := range overrides {
		want, got := plan.Value(asked, path), plan.Value(p, path)
		if want != got {
			return fmt.Errorf("pipelines: %s has %s %s, not %s; give --replan to make it anew, or edit the file", r.store.Address(plan.File), path, got, want)
		}
	}
	return nil
}

func (r *run) makePlan(ctx context.Context) error {
	overrides, err := plan.Overrides(r.Set)
	if err != nil {
		return err
	}
	orientation := overrides["orientation"]
	if orientation == "" {
		orientation = "ras"
	}
	labelled := r.of(cases.Labelled)
	if len(labelled) == 0 {
		return fmt.Errorf("pipelines: %s has no labelled case that can be used; see imagesTr and labelsTr", r.Dataset)
	}
	c := fingerprint.Config{
		Store: r.store.Root(), Orientation: orientation, BudgetBytes: r.memory(),
		Options: fingerprint.Options{Scheme: r.dataset.Scheme(), Samples: fingerprint.TotalSamples / int64(len(labelled)), Seed: r.Seed},
	}
	err = r.stage(ctx, "fingerprint", int64(len(labelled)), "case", r.rowsOf(fingerprint.Stage, labelled), func(ctx context.Context) error {
		return r.submit(ctx, fingerprintGraph(c, labelled))
	})
	if err != nil {
		return err
	}
	good, err := r.settle(ctx, fingerprint.Stage, labelled)
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
	return plan.Save(ctx, r.store, r.plan) // last: a store with a plan is planned
}

func fingerprintGraph(c fingerprint.Config, list []cases.Case) *beam.Pipeline {
	p, s := beam.NewPipelineWithRoot()
	fingerprint.Collect(s, c, beam.CreateList(s, list))
	return p
}

// rowsOf counts the cases of a list that a stage's ledger knows.
func (r *run) rowsOf(stage string, list []cases.Case) func(context.Context) (int64, error) {
	want := map[string]bool{}
	for _, c := range list {
		want[c.ID] = true
	}
	return func(ctx context.Context) (int64, error) {
		infos, err := r.store.List(ctx, "ledger/"+stage+"/")
		var n int64
		for _, i := range infos {
			id := strings.TrimSuffix(i.Key[strings.LastIndexByte(i.Key, '/')+1:], ".json")
			if want[id] {
				n++
			}
		}
		return n, err
	}
}

// settle reads a stage's rows after its pipeline has ended: the cases that are
// done, while those that were refused go to the run's list.
func (r *run) settle(ctx context.Context, stage string, list []cases.Case) ([]cases.Case, error) {
	rows, err := manifest.Rows(ctx, r.store, stage)
	if err != nil {
		return nil, err
	}
	var good []cases.Case
	for _, c := range list {
		row, ok := rows[c.ID]
		switch {
		case !ok:
			return nil, fmt.Errorf("pipelines: %s: %s has no row in %s after the pipeline has ended; run the command again", stage, c.ID, r.store.Address("ledger/"+stage))
		case row.Outcome == manifest.Rejected:
			r.refuse(row.Rejection())
		default:
			good = append(good, c)
		}
	}
	return good, nil
}

// PlannedMemory says for people what a plan's networks take in memory on this machine.
func PlannedMemory(p plan.Plan, o Options) (string, error) {
	d, err := cpu.Open(o.Threads)
	if err != nil {
		return "", err
	}
	defer d.Close()
	train, _, err := compile.Train(p.Network, p.BatchSize, p.PatchSize, compile.LossConfig{BatchDice: p.BatchDice, Ignore: p.Ignore}, program.SGD, float32(p.Training.ClipNorm))
	if err != nil {
		return "", err
	}
	infer, _, err := compile.Infer(p.Network, 1, p.PatchSize)
	if err != nil {
		return "", err
	}
	for _, q := range []*program.Program{train, infer} {
		if err := compile.Place(q, d); err != nil {
			return "", err
		}
	}
	return fmt.Sprintf("memory on %s: %d MiB for a training step of batch %d, %d MiB for an inference tile\n",
		d.Name(), compile.Memory(train).Arena>>20, p.BatchSize, compile.Memory(infer).Arena>>20), nil
}
