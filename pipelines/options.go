// Package pipelines builds and runs the work: plan, preprocess, train, pseudolabel,
// student, predict, evaluate, and loop and demo, which chain them. Options in,
// Beam graphs out; no algorithms.
//
// Every pipeline can be run again: what the ledger and the checkpoints say is done
// is not done twice, and what is missing is made, also by the commands that need it.
package pipelines

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"slices"

	"noisystudent/io/store"
	"noisystudent/runners"
	"noisystudent/transforms/cases"
	"noisystudent/transforms/plan"
)

// Rejected is a case that a stage refused.
type Rejected = cases.Rejected

// Options are what all pipelines share.
type Options struct {
	Dataset        string // nnU-Net v2 raw layout: a folder or gs:// prefix
	UnlabelledPool string // glob or prefix of more unlabelled scans
	Store          string // where everything made goes
	Runner         runners.Options
	Device         string   // auto, cpu or ref
	Threads        int      // 0: all
	MemoryBytes    int64    // 0: what the cgroup or the machine allows
	Seed           uint64   // of everything random
	Preset         string   // of the plan
	Set            []string // plan fields, name=value
	Replan         bool     // make the plan anew
	Retrain        bool     // start models over that were trained from other inputs
	Progress       Progress // may be nil
	Log            *slog.Logger
}

// threads returns how many threads to use.
func (o Options) threads() int {
	if o.Threads > 0 {
		return o.Threads
	}
	return runtime.GOMAXPROCS(0)
}

// memory returns the budget for case data, in bytes.
func (o Options) memory() int64 {
	if o.MemoryBytes > 0 {
		return o.MemoryBytes
	}
	return MemoryLimit() * 3 / 4
}

// run is one pipeline in the making: what all of them open first.
type run struct {
	Options
	store    *store.Store
	dataset  *cases.Dataset
	refused  []Rejected // by every stage so far
	progress Progress
	seconds  map[string]float64 // wall time of the stages that ran

	plan     plan.Plan
	splits   []plan.Split
	prepared map[string]preparedCase // by id
	met      map[string]bool         // cases that preprocessing was asked for
	pseudo   PseudoCounts
}

// preparedCase is where a case was stored by preprocessing.
type preparedCase struct{ folder, digest string }

func open(ctx context.Context, o Options) (*run, error) {
	if err := o.Runner.Check(); err != nil {
		return nil, err
	}
	if o.Store == "" {
		return nil, fmt.Errorf("pipelines: no store; give --store=DIR or gs://BUCKET/PREFIX")
	}
	st, err := store.Open(ctx, o.Store)
	if err != nil {
		return nil, err
	}
	r := &run{Options: o, store: st, progress: o.Progress, prepared: map[string]preparedCase{}, met: map[string]bool{}}
	if r.progress == nil {
		r.progress = silent{}
	}
	return r, nil
}

// openDataset opens a run that reads a dataset.
func openDataset(ctx context.Context, o Options) (*run, error) {
	r, err := open(ctx, o)
	if err != nil {
		return nil, err
	}
	if o.Dataset == "" {
		return nil, fmt.Errorf("pipelines: no dataset; give --dataset=DIR with dataset.json, imagesTr and labelsTr")
	}
	var refused []Rejected
	r.dataset, refused, err = cases.Load(ctx, o.Dataset, cases.Options{UnlabelledScans: o.UnlabelledPool})
	r.refuse(refused...)
	return r, err
}

// of returns the dataset's cases of some sets.
func (r *run) of(sets ...cases.Set) []cases.Case {
	var out []cases.Case
	for _, c := range r.dataset.Cases {
		for _, s := range sets {
			if c.Set == s {
				out = append(out, c)
			}
		}
	}
	return out
}

// refuse adds rejected cases, each once: several stages meet the same ledger rows.
func (r *run) refuse(list ...Rejected) {
	for _, x := range list {
		if !slices.ContainsFunc(r.refused, func(y Rejected) bool { return y.Case == x.Case && y.Stage == x.Stage }) {
			r.refused = append(r.refused, x)
		}
	}
}

// ids returns the ids of cases.
func ids(list []cases.Case) []string {
	out := make([]string, len(list))
	for i, c := range list {
		out[i] = c.ID
	}
	return out
}
