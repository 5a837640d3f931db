package pipelines

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"

	"noisystudent/transforms/cases"
	"noisystudent/transforms/efficiency"
	"noisystudent/transforms/manifest"
	"noisystudent/transforms/plan"
)

// EfficiencyRequest says what is measured, and where that goes. Options.Store has the
// models; without one all weights are drawn, for networks on the paper's patch.
type EfficiencyRequest struct {
	Input   string   // scans: a glob, a folder or a gs:// prefix
	Output  string   // folder or gs:// prefix
	Systems []string // of plan.Systems; empty: all
	Model   string   // of the store, for its own system; empty: the best there is
	NNUNet  string   // store of a model of preset nnunet; empty: random weights
	Mirror  string   // axes, or none, for every system; empty: none, and nnU-Net with x,y,z too
	Again   bool     // measure again what was measured
}

// check reports what cannot be meant, before anything is opened.
func (q EfficiencyRequest) check(o Options) error {
	switch {
	case q.Input == "":
		return misuse("no scans; give --input with a glob, a folder or a gs:// prefix")
	case q.Output == "":
		return misuse("no place for what is measured; give --output")
	case !o.Runner.Local():
		return misuse("efficiency measures this machine; leave --runner away")
	}
	for _, s := range q.Systems {
		if !slices.Contains(plan.Systems(), s) {
			return misuse("no system %q; use %v", s, plan.Systems())
		}
	}
	if q.Model == "" {
		return nil
	}
	_, err := parseModel(q.Model)
	return err
}

// Efficient is what was measured.
type Efficient struct {
	Systems  []efficiency.Column `json:"systems"`
	Cases    int                 `json:"cases"`
	New      int                 `json:"new"` // measurements of this run
	Output   string              `json:"output"`
	Rejected []Rejected          `json:"rejected"`
}

// String gives the paper's Table 1 beside ours.
func (e Efficient) String() string {
	return fmt.Sprintf("%s%d measurements%s\nwritten to %s", efficiency.Table(e.Systems), e.Cases, made(e.Cases, e.New), e.Output)
}

// Efficiency labels each scan by each system in a process of its own and records what
// that takes. What was measured before of the same scan, model and settings is kept.
func Efficiency(ctx context.Context, o Options, q EfficiencyRequest) (Efficient, error) {
	if err := q.check(o); err != nil {
		return Efficient{}, err
	}
	into := o
	into.Store = q.Output
	r, err := open(ctx, into)
	if err != nil {
		return Efficient{}, err
	}
	subjects, err := subjectsOf(ctx, o, q)
	if err != nil {
		return Efficient{}, err
	}
	list, refused, err := cases.Scans(ctx, q.Input)
	if err != nil {
		return Efficient{}, err
	}
	if err := r.refuseFiles(ctx, "efficiency", refused); err != nil {
		return Efficient{}, err
	}
	e := Efficient{Output: r.store.Root()}
	var all []efficiency.Measured
	for _, s := range subjects {
		measured, fresh, err := r.measureSystem(ctx, s, list, q.Again)
		if err != nil {
			return Efficient{}, err
		}
		all, e.New = append(all, measured...), e.New+fresh
		e.Systems = append(e.Systems, efficiency.Mean(s.System, all))
	}
	if e.Cases, e.Rejected = len(all), r.refused; e.Cases == 0 {
		return Efficient{}, fmt.Errorf("pipelines: efficiency: none of %d scans could be measured: %s", len(list), r.refused[len(r.refused)-1].Message)
	}
	return e, r.publishEfficiency(ctx, e, all)
}

// subject is a system that is measured, and whose weights it has.
type subject struct {
	efficiency.System
	plan   plan.Plan
	run    *run    // whose models they are
	models []model // none: random weights
	card   bool    // networks are computed on a card
}

// subjectsOf lists what is measured, column by column.
func subjectsOf(ctx context.Context, o Options, q EfficiencyRequest) (list []subject, err error) {
	own, err := modelsOfStore(ctx, o, o.Store)
	if err != nil {
		return nil, err
	}
	big := own
	if own.plan.Preset != plan.NNUNet {
		if big, err = modelsOfStore(ctx, o, q.NNUNet); err != nil {
			return nil, err
		}
		switch {
		case q.NNUNet == "":
			big.plan = own.plan // the same patch
		case big.plan.Preset != plan.NNUNet:
			return nil, misuse("%s has a plan of preset %s, not %s", q.NNUNet, big.plan.Preset, plan.NNUNet)
		}
	}
	for _, name := range plan.Systems() {
		if len(q.Systems) > 0 && !slices.Contains(q.Systems, name) {
			continue
		}
		from, asked := own, q.Model
		switch {
		case name == plan.NNUNet:
			if from = big; from != own {
				asked = ""
			}
		case name == plan.LowFootprint:
			asked = "teacher/0" // a network without a student's training
		}
		s, err := from.subject(ctx, name, asked, q.Model != "" && asked == q.Model)
		if err != nil {
			return nil, err
		}
		for _, mirror := range q.mirrors(name) {
			s.Mirror, s.plan.Inference.Mirror = mirror, mirror
			if err := s.plan.Check(); err != nil {
				return nil, &UsageError{err.Error()}
			}
			list = append(list, s)
		}
	}
	return list, nil
}

// mirrors are the ways in which a system is measured.
func (q EfficiencyRequest) mirrors(system string) []string {
	switch {
	case q.Mirror != "":
		return []string{q.Mirror}
	case system == plan.NNUNet:
		return []string{"none", "x,y,z"} // the paper does not say which
	}
	return []string{"none"}
}

// modelsOfStore opens a store for its models. An empty address is one without any, and
// with the paper's plan.
func modelsOfStore(ctx context.Context, o Options, root string) (*run, error) {
	if root == "" {
		p, err := plan.FLARE22(plan.Student)
		return &run{Options: o, plan: p}, err
	}
	o.Store = root
	r, err := open(ctx, o)
	if err == nil {
		r.plan, err = plan.Load(ctx, r.store)
	}
	return r, err
}

// subject is a system with the store's model of a name, or the best there is; must says
// that it has to be there, else weights are drawn.
func (r *run) subject(ctx context.Context, system, name string, must bool) (s subject, err error) {
	s = subject{System: efficiency.System{Name: system, Random: true}, run: r}
	if s.plan, err = r.plan.As(system); err != nil {
		return s, err
	}
	if r.Precision != "" && r.Precision != auto {
		s.plan.Inference.Precision = r.Precision
	}
	s.Features = s.plan.Network.Features
	n, err := measure(s.plan, r.Options)
	if err != nil {
		return s, err
	}
	s.Device, s.card = n.device, n.card > 0
	if r.store == nil || !slices.Equal(s.Features, r.plan.Network.Features) {
		return s, nil
	}
	find := r.best
	if name != "" {
		find = func(ctx context.Context) (string, []model, error) { return r.pick(ctx, name) }
	}
	text, models, err := find(ctx)
	switch {
	case err == nil:
		s.Model, s.models, s.Random = text, models, false
	case must || !errors.Is(err, errUntrained):
		return s, err
	}
	return s, nil
}

// measureSystem measures the scans by a system; fresh counts those of this run.
func (r *run) measureSystem(ctx context.Context, s subject, list []cases.Case, again bool) (all []efficiency.Measured, fresh int, err error) {
	b := bench{subject: s, places: placesOf(list)}
	defer b.close()
	meter := r.progress.Stage("efficiency "+s.Title(), int64(len(list)), "case")
	defer func() { meter.End(fmt.Sprintf("%d of %d cases, %d of them now", len(all), len(list), fresh)) }()
	stage := "efficiency-" + s.File()
	wanted := manifest.Row{Stage: stage, Version: efficiency.Version, Plan: s.plan.Digest(), Model: s.digest()}
	for i, c := range list {
		meter.At(int64(i), "")
		key := path.Join("measured", s.File(), c.ID+".json")
		if again {
			if err := r.store.Remove(ctx, key); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return nil, 0, err
			}
		}
		wanted.Case = c.ID
		m, row, err := manifest.Value(ctx, r.store, key, func(work func(*manifest.Row) error) (manifest.Row, error) {
			return manifest.Settle(ctx, r.store, cases.Case{ID: c.ID, Set: cases.Unlabelled, Image: c.Image}, wanted, work)
		}, func() (efficiency.Measured, error) {
			fresh++
			return b.measure(ctx, c)
		})
		switch {
		case err != nil:
			return nil, 0, err
		case row.Outcome == manifest.Rejected:
			r.refuse(row.Rejection())
		default:
			all = append(all, m)
		}
	}
	return all, fresh, nil
}

// digest names what is measured beside the plan: models, and what they are computed on.
func (s subject) digest() string {
	var models []string
	for _, m := range s.models {
		models = append(models, m.Digest)
	}
	o := s.run.Options
	return manifest.Digest(models, s.Device, o.Kernels, o.Threads, o.MemoryBytes, o.Precision)
}

// publishEfficiency writes efficiency.json, efficiency.csv and plots/<case>.png.
func (r *run) publishEfficiency(ctx context.Context, e Efficient, all []efficiency.Measured) error {
	byCase := map[string][]efficiency.Measured{}
	for i, m := range all {
		byCase[m.Case] = append(byCase[m.Case], m)
		all[i].Samples = nil // in measured/
	}
	table, err := efficiency.CSV(all)
	if err == nil {
		err = r.store.Write(ctx, "efficiency.csv", table)
	}
	if err == nil {
		err = writeJSON(ctx, r.store, "efficiency.json", struct {
			Systems  []efficiency.Column   `json:"systems"`
			Measured []efficiency.Measured `json:"measured"`
		}{e.Systems, all})
	}
	for id, list := range byCase {
		if err != nil {
			break
		}
		var image []byte
		if image, err = efficiency.Plot(id, list); err == nil {
			err = r.store.Write(ctx, path.Join("plots", id+".png"), image)
		}
	}
	if err != nil {
		return fmt.Errorf("pipelines: efficiency: write %s: %w", r.store.Root(), err)
	}
	return nil
}
