package fit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"

	"noisystudent/io/safetensors"
	"noisystudent/io/store"
	"noisystudent/model/engine"
)

// checkpointFormat of state.json and latest.
const checkpointFormat = 1

// Epoch is the record of one finished epoch, as history and progress show it.
type Epoch struct {
	Epoch    int64   `json:"epoch"` // from 0
	Loss     float64 `json:"loss"`  // mean over its steps
	Dice     float64 `json:"dice"`  // mean Dice term, negative
	CE       float64 `json:"ce"`
	GradNorm float64 `json:"grad_norm"` // mean before clipping
	Rate     float64 `json:"lr"`        // at its first step
	Skipped  int64   `json:"skipped"`   // steps that were not finite
	Seconds  float64 `json:"seconds"`
	Waited   float64 `json:"waited"` // share of the time spent waiting for data
}

// Latest is the small file that names the newest durable checkpoint of a job. It
// moves by generation-matched writes, so that a zombie worker cannot move it back.
type Latest struct {
	Format int    `json:"format"`
	Epochs int64  `json:"epochs"` // epochs done
	Inputs string `json:"inputs"` // see Job.Inputs
	Done   bool   `json:"done"`
}

// position is state.json: where training stands.
type position struct {
	Format  int     `json:"format"`
	Job     Job     `json:"job"`
	Epochs  int64   `json:"epochs"`
	Steps   int64   `json:"steps"`
	Skipped int64   `json:"skipped"`
	History []Epoch `json:"history"`
}

// checkpoint is everything that a resumed job needs to give the same bytes.
type checkpoint struct {
	state      engine.State
	history    []Epoch
	generation int64 // of latest; 0: there is none
}

// StaleError says that a model in the store was trained from other inputs.
type StaleError struct{ Folder string }

func (e *StaleError) Error() string {
	return fmt.Sprintf("fit: %s was trained from another plan, other cases or another seed; use another --store, or --retrain to start it over", e.Folder)
}

func epochFolder(folder string, epochs int64) string {
	return fmt.Sprintf("%s/epoch_%05d", folder, epochs)
}

// ReadLatest returns where a job stands; an absent file is zero epochs and generation 0.
func ReadLatest(ctx context.Context, st *store.Store, folder string) (Latest, int64, error) {
	key := folder + "/latest"
	info, err := st.Stat(ctx, key)
	if errors.Is(err, fs.ErrNotExist) {
		return Latest{Format: checkpointFormat}, 0, nil
	}
	if err != nil {
		return Latest{}, 0, fmt.Errorf("fit: find checkpoint: %w", err)
	}
	data, err := st.Read(ctx, key)
	if err != nil {
		return Latest{}, 0, fmt.Errorf("fit: read checkpoint: %w", err)
	}
	var l Latest
	if err := json.Unmarshal(data, &l); err != nil || l.Format != checkpointFormat {
		return Latest{}, 0, fmt.Errorf("fit: %s is not a checkpoint of format %d (%v); remove it to train anew", st.Address(key), checkpointFormat, err)
	}
	return l, info.Generation, nil
}

// WeightsKey returns the store key of a job's newest weights, and whether the job is done.
func WeightsKey(ctx context.Context, st *store.Store, folder string) (key string, done bool, err error) {
	l, _, err := ReadLatest(ctx, st, folder)
	if err != nil || l.Epochs == 0 {
		return "", false, err
	}
	return epochFolder(folder, l.Epochs) + "/weights.safetensors", l.Done, nil
}

// History returns the epochs of a job that are done.
func History(ctx context.Context, st *store.Store, folder string) ([]Epoch, error) {
	l, _, err := ReadLatest(ctx, st, folder)
	if err != nil || l.Epochs == 0 {
		return nil, err
	}
	p, err := readPosition(ctx, st, folder, l.Epochs)
	return p.History, err
}

func readPosition(ctx context.Context, st *store.Store, folder string, epochs int64) (position, error) {
	key := epochFolder(folder, epochs) + "/state.json"
	data, err := st.Read(ctx, key)
	if err != nil {
		return position{}, fmt.Errorf("fit: read checkpoint: %w", err)
	}
	var p position
	if err := json.Unmarshal(data, &p); err != nil {
		return position{}, fmt.Errorf("fit: read %s: %w", st.Address(key), err)
	}
	if p.Format != checkpointFormat || p.Epochs != epochs || int64(len(p.History)) != epochs {
		return position{}, fmt.Errorf("fit: read %s: format %d with %d epochs and %d records, want format %d with %d", st.Address(key), p.Format, p.Epochs, len(p.History), checkpointFormat, epochs)
	}
	return p, nil
}

// load returns the newest checkpoint of a job, or one with no history.
func load(ctx context.Context, st *store.Store, j Job) (checkpoint, error) {
	l, generation, err := ReadLatest(ctx, st, j.Folder())
	if err != nil || l.Epochs == 0 {
		return checkpoint{generation: generation}, err
	}
	if l.Inputs != j.Inputs {
		return checkpoint{}, &StaleError{Folder: st.Address(j.Folder())}
	}
	p, err := readPosition(ctx, st, j.Folder(), l.Epochs)
	if err != nil {
		return checkpoint{}, err
	}
	c := checkpoint{history: p.History, generation: generation}
	c.state.Steps, c.state.Skipped = p.Steps, p.Skipped
	folder := epochFolder(j.Folder(), l.Epochs)
	if c.state.Weights, err = ReadTensors(ctx, st, folder+"/weights.safetensors"); err != nil {
		return checkpoint{}, err
	}
	c.state.Optimiser, err = ReadTensors(ctx, st, folder+"/optimiser.safetensors")
	return c, err
}

// Done returns how many epochs of a job are durable.
func Done(ctx context.Context, st *store.Store, j Job) (int64, error) {
	l, _, err := ReadLatest(ctx, st, j.Folder())
	if err == nil && l.Epochs > 0 && l.Inputs != j.Inputs {
		err = &StaleError{Folder: st.Address(j.Folder())}
	}
	return l.Epochs, err
}

// Discard removes a model that was trained from other inputs than the job's.
func Discard(ctx context.Context, st *store.Store, j Job) error {
	l, _, err := ReadLatest(ctx, st, j.Folder())
	if err != nil || l.Epochs == 0 || l.Inputs == j.Inputs {
		return err
	}
	infos, err := st.List(ctx, j.Folder()+"/")
	if err != nil {
		return fmt.Errorf("fit: discard %s: %w", j.Name(), err)
	}
	// latest goes first: without it the rest is garbage, not a model.
	keys := []string{j.Folder() + "/latest"}
	for _, i := range infos {
		if i.Key != keys[0] {
			keys = append(keys, i.Key)
		}
	}
	for _, key := range keys {
		if err := st.Remove(ctx, key); err != nil {
			return fmt.Errorf("fit: discard %s: %w", j.Name(), err)
		}
	}
	return nil
}

// durable returns the epochs of a job that are done.
func durable(ctx context.Context, st *store.Store, j Job) ([]Epoch, error) {
	l, _, err := ReadLatest(ctx, st, j.Folder())
	if err != nil || l.Epochs == 0 {
		return nil, err
	}
	if l.Inputs != j.Inputs {
		return nil, &StaleError{Folder: st.Address(j.Folder())}
	}
	p, err := readPosition(ctx, st, j.Folder(), l.Epochs)
	return p.History, err
}

// save makes a checkpoint durable and then moves latest to it. Files of a
// checkpoint that latest does not name are garbage, not a checkpoint.
func (c *checkpoint) save(ctx context.Context, st *store.Store, j Job) error {
	epochs := int64(len(c.history))
	folder := epochFolder(j.Folder(), epochs)
	p := position{Format: checkpointFormat, Job: j, Epochs: epochs, Steps: c.state.Steps, Skipped: c.state.Skipped, History: c.history}
	state, err := json.MarshalIndent(p, "", " ")
	if err != nil {
		return fmt.Errorf("fit: save %s: %w", j.Name(), err)
	}
	for _, f := range []struct {
		name    string
		tensors map[string]engine.Tensor
	}{{"weights", c.state.Weights}, {"optimiser", c.state.Optimiser}} {
		if err := writeTensors(ctx, st, folder+"/"+f.name+".safetensors", f.tensors); err != nil {
			return fmt.Errorf("fit: save %s: %w", j.Name(), err)
		}
	}
	if err := st.Write(ctx, folder+"/state.json", state); err != nil {
		return fmt.Errorf("fit: save %s: %w", j.Name(), err)
	}
	latest, err := json.Marshal(Latest{Format: checkpointFormat, Epochs: epochs, Inputs: j.Inputs, Done: epochs >= j.Epochs})
	if err != nil {
		return fmt.Errorf("fit: save %s: %w", j.Name(), err)
	}
	generation, err := st.WriteIf(ctx, j.Folder()+"/latest", latest, c.generation)
	if errors.Is(err, store.ErrGeneration) {
		return fmt.Errorf("fit: save %s: another worker moved its checkpoint on; this one stops: %w", j.Name(), err)
	}
	if err != nil {
		return fmt.Errorf("fit: save %s: %w", j.Name(), err)
	}
	c.generation = generation
	return prune(ctx, st, j.Folder(), epochs-2)
}

// prune removes a checkpoint that is two behind: a reader of the one before keeps its files.
func prune(ctx context.Context, st *store.Store, folder string, epochs int64) error {
	if epochs < 1 {
		return nil
	}
	for _, name := range []string{"state.json", "optimiser.safetensors", "weights.safetensors"} {
		if err := st.Remove(ctx, epochFolder(folder, epochs)+"/"+name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("fit: remove old checkpoint: %w", err)
		}
	}
	return nil
}

// ReadTensors reads a safetensors file of weights or optimiser state.
func ReadTensors(ctx context.Context, st *store.Store, key string) (map[string]engine.Tensor, error) {
	data, err := st.Read(ctx, key)
	if err != nil {
		return nil, fmt.Errorf("fit: read weights: %w", err)
	}
	f, err := safetensors.Decode(data)
	if err != nil {
		return nil, fmt.Errorf("fit: read weights %s: %w", st.Address(key), err)
	}
	out := make(map[string]engine.Tensor, len(f.Tensors))
	for name, t := range f.Tensors {
		out[name] = engine.Tensor(t)
	}
	return out, nil
}

func writeTensors(ctx context.Context, st *store.Store, key string, tensors map[string]engine.Tensor) error {
	f := &safetensors.File{Tensors: make(map[string]safetensors.Tensor, len(tensors))}
	for name, t := range tensors {
		f.Tensors[name] = safetensors.Tensor(t)
	}
	data, err := safetensors.Encode(f)
	if err != nil {
		return err
	}
	return st.Write(ctx, key, data)
}
