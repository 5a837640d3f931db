package pipelines

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"noisystudent/io/store"
	"noisystudent/transforms/cases"
	"noisystudent/transforms/fit"
	"noisystudent/transforms/plan"
	"noisystudent/transforms/predict"
	"noisystudent/transforms/shard"
)

// Rejected is a case that a stage refused.
type Rejected = cases.Rejected

// run is one pipeline in the making: what all of them open first, and what this run
// has seen done, so that it asks for nothing twice.
type run struct {
	Options
	store    *store.Store
	dataset  *cases.Dataset
	refused  []Rejected // by every stage so far
	progress Progress
	clock    clock
	outputs  []*store.Store // that are written beside the store
	tidied   bool

	plan      plan.Plan
	planned   bool // by this run
	splits    []plan.Split
	networks  networks                // of the plan
	footprint predict.Footprint       // of the largest scan that is labelled next
	prepared  map[string]preparedCase // by id
	met       map[string]bool         // cases that preprocessing was asked for
	models    map[string]TrainedModel // by folder
	notes     map[string]string       // of headers that were read, by image
	noted     map[string]bool         // what people were told: images by their headers, and lines of once
	heap      *shard.Heap             // of the work that is on the runner, or nil
	pool      []fit.Ref               // pseudo-labelled cases a student may learn from
	pseudo    Pseudolabelled
	voted     ballot // of pseudo-labelling, the last round
	doubts    bool   // are asked for, whatever the plan says
}

// preparedCase is where a case was stored by preprocessing.
type preparedCase struct{ folder, digest string }

func open(ctx context.Context, o Options) (*run, error) {
	if o.Store == "" {
		return nil, misuse("no store; give --store=DIR or gs://BUCKET/PREFIX")
	}
	if err := o.check(); err != nil {
		return nil, err
	}
	st, err := store.Open(ctx, o.Store)
	if err != nil {
		return nil, err
	}
	r := &run{
		Options: o, store: st, progress: o.Progress, refused: []Rejected{},
		prepared: map[string]preparedCase{}, met: map[string]bool{}, models: map[string]TrainedModel{}, noted: map[string]bool{}, notes: map[string]string{},
	}
	if r.progress == nil {
		r.progress = silent{}
	}
	r.progress = beating{r.progress, st, beat}
	r.remarkAccelerator()
	return r, r.clock.read(ctx, st)
}

// writable tells in one line that the store cannot be written, before anything is
// computed for it. Nothing is left of the try; a bucket is not asked.
func (r *run) writable(ctx context.Context) error {
	w, err := r.store.Create(ctx, "ledger/probe")
	if err != nil {
		return fmt.Errorf("pipelines: the store %s cannot be written: %w", r.store.Root(), err)
	}
	w.Abort()
	return nil
}

// abandoned is how old a temporary file must be to be taken for a killed run's.
const abandoned = time.Hour

// tidy removes what killed runs have left half-written, once a run that does something.
// It is not what the run is for, so its errors are passed over.
func (r *run) tidy(ctx context.Context) {
	if r.tidied {
		return
	}
	r.tidied = true
	for _, st := range append([]*store.Store{r.store}, r.outputs...) {
		if n, _ := st.Prune(ctx, abandoned); n > 0 {
			r.progress.Note(fmt.Sprintf("store: removed %d half-written files in %s, of runs that were killed", n, st.Root()))
		}
	}
}

// openDataset opens a run that reads a dataset.
func openDataset(ctx context.Context, o Options) (*run, error) {
	if o.Dataset == "" {
		return nil, misuse("no dataset; give --dataset=DIR with dataset.json, imagesTr and labelsTr")
	}
	r, err := open(ctx, o)
	if err != nil {
		return nil, err
	}
	d, refused, failure := cases.Load(ctx, o.Dataset, cases.Options{UnlabelledScans: o.UnlabelledPool})
	if failure != nil && len(refused) == 0 {
		return nil, failure
	}
	r.dataset = d
	for _, w := range d.Warnings {
		r.progress.Note("dataset: " + w)
	}
	return r, cmp.Or(failure, r.refuseFiles(ctx, "load", refused))
}

// of returns the dataset's cases of some sets.
func (r *run) of(sets ...cases.Set) []cases.Case {
	var out []cases.Case
	for _, c := range r.dataset.Cases {
		if slices.Contains(sets, c.Set) {
			out = append(out, c)
		}
	}
	return out
}

// refuse adds rejected cases. One fault that several stages meet is one rejection,
// the first stage's.
func (r *run) refuse(list ...Rejected) {
	for _, x := range list {
		same := func(y Rejected) bool { return y.Case == x.Case && y.File == x.File && y.Reason == x.Reason }
		if !slices.ContainsFunc(r.refused, same) {
			r.refused = append(r.refused, x)
		}
	}
}

// once shows a line of text, but not twice in a run.
func (r *run) once(text string) {
	if !r.noted[text] {
		r.noted[text] = true
		r.progress.Note(text)
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

// readJSON reads a small file of the store; false where there is none.
func (r *run) readJSON(ctx context.Context, key string, v any) (bool, error) {
	return readJSON(ctx, r.store, key, v)
}

func readJSON(ctx context.Context, st *store.Store, key string, v any) (bool, error) {
	data, err := st.Read(ctx, key)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if err := json.Unmarshal(data, v); err != nil {
		return false, fmt.Errorf("pipelines: read %s: %w; remove the file to have it made again", st.Address(key), err)
	}
	return true, nil
}

// writeJSON writes a small file of a store, unless it holds just that.
func writeJSON(ctx context.Context, st *store.Store, key string, v any) error {
	data, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		return fmt.Errorf("pipelines: write %s: %w", st.Address(key), err)
	}
	data = append(data, '\n')
	if had, err := st.Read(ctx, key); err == nil && string(had) == string(data) {
		return nil
	}
	return st.Write(ctx, key, data)
}
