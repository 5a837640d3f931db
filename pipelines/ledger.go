package pipelines

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"

	"noisystudent/runners"
	"noisystudent/transforms/cases"
	"noisystudent/transforms/manifest"
)

// caseWork is a pipeline over cases whose outcome is in the ledger.
type caseWork struct {
	name, detail string // see stage
	ledger       string // stage of the ledger
	plan, model  string // digests in rows that this work has written before; empty: any
	network      bool   // it computes networks
	list         []cases.Case
	// graph gets the cases that the ledger knows: they cost nothing.
	graph func(ctx context.Context, standing map[string]bool) *beam.Pipeline
}

// outcome is what the ledger says once a caseWork has ended.
type outcome struct {
	good  []cases.Case
	rows  map[string]manifest.Row // by id
	fresh map[string]bool         // cases that this run did
}

// over runs work over cases. Cases that it refuses go to the run's list.
func (r *run) over(ctx context.Context, w caseWork) (outcome, error) {
	if len(w.list) == 0 {
		return outcome{}, nil
	}
	before, err := r.generations(ctx, w)
	if err != nil {
		return outcome{}, err
	}
	standing, err := r.standing(ctx, w)
	if err != nil {
		return outcome{}, err
	}
	missing := slices.ContainsFunc(w.list, func(c cases.Case) bool { return !standing[c.ID] })
	if missing {
		if err := r.writable(ctx); err != nil {
			return outcome{}, err
		}
	}
	count := func(ctx context.Context) (n int64, err error) {
		now, err := r.generations(ctx, w)
		for id, g := range now {
			if standing[id] || g != before[id] {
				n++
			}
		}
		return n, err
	}
	var o outcome
	s := stage{name: w.name, detail: w.detail, unit: "case", total: int64(len(w.list)), done: count}
	if w.network {
		if s.pace, err = r.stragglers(ctx, w.ledger); err != nil {
			return o, err
		}
	}
	err = r.stage(ctx, s, func(ctx context.Context) (t tally, err error) {
		if missing || !r.Runner.Dataflow.DryRun { // a dry run is to come to the first job that has something to do
			err = runners.Run(ctx, w.graph(ctx, standing), r.runnerFor(w.name, w.network))
			err = cmp.Or(err, r.clearHeap(ctx))
		}
		if err != nil {
			now, _ := r.generations(context.WithoutCancel(ctx), w) // an interrupted run has done something, too
			return tally{added: changed(before, now)}, err
		}
		o, err = r.settle(ctx, w, before)
		return tally{added: int64(len(o.fresh)), refused: int64(len(w.list) - len(o.good))}, err
	})
	return o, err
}

// generations tells which version of each case's row the ledger holds.
func (r *run) generations(ctx context.Context, w caseWork) (map[string]int64, error) {
	want := map[string]bool{}
	for _, c := range w.list {
		want[c.ID] = true
	}
	found, err := r.allGenerations(ctx, w.ledger)
	maps.DeleteFunc(found, func(id string, _ int64) bool { return !want[id] })
	return found, err
}

// allGenerations tells which version of each row of a stage the ledger holds.
func (r *run) allGenerations(ctx context.Context, stage string) (map[string]int64, error) {
	infos, err := r.store.List(ctx, "ledger/"+stage+"/")
	found := map[string]int64{}
	for _, i := range infos {
		found[strings.TrimSuffix(path.Base(i.Key), ".json")] = i.Generation
	}
	return found, err
}

// changed counts the rows that were written between two looks.
func changed(before, now map[string]int64) (n int64) {
	for id, g := range now {
		if g != before[id] {
			n++
		}
	}
	return n
}

// standing are the cases that the ledger knows for this plan and model. Whether
// their input is still the same only the transform finds out.
func (r *run) standing(ctx context.Context, w caseWork) (map[string]bool, error) {
	rows, err := manifest.Rows(ctx, r.store, w.ledger)
	found := map[string]bool{}
	for id, row := range rows {
		found[id] = (w.plan == "" || row.Plan == w.plan) && (w.model == "" || row.Model == w.model)
	}
	return found, err
}

// settle reads the rows after the pipeline has ended.
func (r *run) settle(ctx context.Context, w caseWork, before map[string]int64) (o outcome, err error) {
	if o.rows, err = manifest.Rows(ctx, r.store, w.ledger); err != nil {
		return o, err
	}
	now, err := r.generations(ctx, w)
	if err != nil {
		return o, err
	}
	o.fresh = map[string]bool{}
	for _, c := range w.list {
		row, ok := o.rows[c.ID]
		switch {
		case !ok:
			return o, fmt.Errorf("pipelines: %s: %s has no row in %s after the pipeline has ended; run the command again", w.name, c.ID, r.store.Address("ledger/"+w.ledger))
		case row.Outcome == manifest.Rejected:
			r.refuse(row.Rejection())
			continue
		case now[c.ID] != before[c.ID]:
			o.fresh[c.ID] = true
		}
		o.good = append(o.good, c)
	}
	return o, nil
}

// refuseFiles takes files that were refused before any pipeline into the run's list
// and into the ledger, under a stage that holds nothing else: rows of files that
// have been mended since are removed.
func (r *run) refuseFiles(ctx context.Context, stage string, refused []Rejected) error {
	stale, err := manifest.Rows(ctx, r.store, stage)
	if err != nil {
		return err
	}
	for i := range refused {
		refused[i].Stage = stage
	}
	r.refuse(refused...)
	for id, row := range rowsOf(refused) {
		if stale[id] != row {
			if err := manifest.Record(ctx, r.store, row); err != nil {
				return err
			}
		}
		delete(stale, id)
	}
	for id := range stale {
		if err := r.store.Remove(ctx, "ledger/"+stage+"/"+id+".json"); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// rowsOf makes one row an id, with all that is wrong under it.
func rowsOf(refused []Rejected) map[string]manifest.Row {
	rows := map[string]manifest.Row{}
	for _, x := range refused {
		id := x.Case
		if cases.CheckID(id) != nil { // a name that cannot name a case cannot name a row
			id = "file-" + manifest.Digest(x.File)[:16]
		}
		row, twice := rows[id]
		if twice {
			row.Message += "; and " + x.Message
		} else {
			row = manifest.Row{Stage: x.Stage, Case: id, Outcome: manifest.Rejected, Reason: x.Reason, File: x.File, Message: x.Message}
		}
		rows[id] = row
	}
	return rows
}
