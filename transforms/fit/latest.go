package fit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"

	"noisystudent/io/store"
)

// Latest is the small file that names the newest durable checkpoint of a job. It
// moves by generation-matched writes, so that a zombie worker cannot move it back.
type Latest struct {
	Format int    `json:"format"`
	Epochs int64  `json:"epochs"` // epochs done
	Inputs string `json:"inputs"` // see Job.Inputs
	Done   bool   `json:"done"`
}

// StaleError says that a model in the store was trained from other inputs.
type StaleError struct{ Folder string }

func (e *StaleError) Error() string {
	return fmt.Sprintf("fit: %s was trained from another plan, other cases or another seed; use another --store, or --retrain to start it over", e.Folder)
}

func latestKey(folder string) string { return folder + "/latest" }

func epochFolder(folder string, epochs int64) string {
	return fmt.Sprintf("%s/epoch_%05d", folder, epochs)
}

// ReadLatest returns where a job stands; an absent file is zero epochs and generation 0.
func ReadLatest(ctx context.Context, st *store.Store, folder string) (Latest, int64, error) {
	key := latestKey(folder)
	// The generation is asked for first: where the file moves on in between, it is
	// too old, and a write that relies on it fails.
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
	if err = json.Unmarshal(data, &l); err == nil && (l.Format != checkpointFormat || l.Epochs < 1) {
		err = fmt.Errorf("format %d, %d epochs", l.Format, l.Epochs)
	}
	if err != nil {
		return Latest{}, 0, fmt.Errorf("fit: %s is not a checkpoint of format %d: %w; remove it to train anew", st.Address(key), checkpointFormat, err)
	}
	return l, info.Generation, nil
}

// standing is ReadLatest for a job; a model of other inputs is a *StaleError.
func standing(ctx context.Context, st *store.Store, j Job) (Latest, int64, error) {
	l, generation, err := ReadLatest(ctx, st, j.Folder())
	if err == nil && l.Epochs > 0 && l.Inputs != j.Inputs {
		err = &StaleError{Folder: st.Address(j.Folder())}
	}
	return l, generation, err
}

// Done returns how many epochs of a job are durable.
func Done(ctx context.Context, st *store.Store, j Job) (int64, error) {
	l, _, err := standing(ctx, st, j)
	return l.Epochs, err
}

// WeightsKey returns the store key of a job's newest weights, and whether the job is done.
func WeightsKey(ctx context.Context, st *store.Store, folder string) (key string, done bool, err error) {
	l, _, err := ReadLatest(ctx, st, folder)
	if err != nil || l.Epochs == 0 {
		return "", false, err
	}
	return weightsKey(epochFolder(folder, l.Epochs)), l.Done, nil
}

// CheckpointKey returns the store key of the weights after so many epochs, the newest or
// the best.
func CheckpointKey(folder string, epochs int64) string {
	return weightsKey(epochFolder(folder, epochs))
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

// durable is History for a job, whose inputs must be those of the model.
func durable(ctx context.Context, st *store.Store, j Job) ([]Epoch, error) {
	l, _, err := standing(ctx, st, j)
	if err != nil || l.Epochs == 0 {
		return nil, err
	}
	p, err := readPosition(ctx, st, j.Folder(), l.Epochs)
	return p.History, err
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
	keys := []string{latestKey(j.Folder())}
	for _, i := range infos {
		if i.Key != keys[0] {
			keys = append(keys, i.Key)
		}
	}
	for _, key := range keys {
		if err := remove(ctx, st, key); err != nil {
			return fmt.Errorf("fit: discard %s: %w", j.Name(), err)
		}
	}
	return nil
}

// remove deletes an object; one that is gone already is none to delete.
func remove(ctx context.Context, st *store.Store, key string) error {
	if err := st.Remove(ctx, key); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
