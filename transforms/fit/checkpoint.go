package fit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

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
	Seconds  float64 `json:"seconds"`   // of training and validation, without the checkpoint
	Samples  float64 `json:"samples_per_second"`
	Waited   float64 `json:"waited"` // part of the seconds spent waiting for patches, though a card computes meanwhile
	// DSC is the pseudo-DSC of an epoch, from patches of validation cases, and EMA its
	// exponential moving average, as nnU-Net has them; both say something only where
	// Validated, the number of those patches, is not 0.
	DSC       float64 `json:"pseudo_dsc,omitempty"`
	EMA       float64 `json:"ema_dsc,omitempty"`
	Validated int64   `json:"validated,omitempty"`
	At        float64 `json:"at,omitempty"` // when it ended, seconds since 1970 by that host's clock
}

// position is state.json: where training stands.
type position struct {
	Format  int              `json:"format"`
	Job     Job              `json:"job"`
	Epochs  int64            `json:"epochs"`
	Steps   int64            `json:"steps"`
	Skipped int64            `json:"skipped"`
	Scale   engine.LossScale `json:"loss_scale,omitzero"` // of fp16 alone, and of mixed once a card has trained
	History []Epoch          `json:"history"`
}

// checkpoint is everything that a resumed job needs to give the same bytes.
type checkpoint struct {
	state      engine.State
	average    map[string]engine.Tensor // of the weights over epochs, where the plan asks for it
	history    []Epoch
	generation int64 // of latest; 0: there is none
}

func weightsKey(epoch string) string   { return epoch + "/weights.safetensors" }
func trainedKey(epoch string) string   { return epoch + "/trained.safetensors" } // where weights are an average
func optimiserKey(epoch string) string { return epoch + "/optimiser.safetensors" }
func positionKey(epoch string) string  { return epoch + "/state.json" }

// load returns the newest checkpoint of a job, or one with no history.
func load(ctx context.Context, st *store.Store, j Job) (checkpoint, error) {
	l, generation, err := standing(ctx, st, j)
	c := checkpoint{generation: generation}
	if err != nil || l.Epochs == 0 {
		return c, err
	}
	p, err := readPosition(ctx, st, j.Folder(), l.Epochs)
	if err != nil {
		return checkpoint{}, err
	}
	c.history, c.state.Steps, c.state.Skipped, c.state.Scale = p.History, p.Steps, p.Skipped, p.Scale
	epoch := epochFolder(j.Folder(), l.Epochs)
	if c.state.Weights, err = ReadTensors(ctx, st, weightsKey(epoch)); err != nil {
		return checkpoint{}, err
	}
	if j.Plan.Training.WeightsEMA > 0 {
		c.average = c.state.Weights
		if c.state.Weights, err = ReadTensors(ctx, st, trainedKey(epoch)); err != nil {
			return checkpoint{}, err
		}
	}
	c.state.Optimiser, err = ReadTensors(ctx, st, optimiserKey(epoch))
	return c, err
}

func readPosition(ctx context.Context, st *store.Store, folder string, epochs int64) (position, error) {
	key := positionKey(epochFolder(folder, epochs))
	data, err := st.Read(ctx, key)
	if err != nil {
		return position{}, fmt.Errorf("fit: read checkpoint: %w; %s", err, anew(st, key))
	}
	var p position
	if err := json.Unmarshal(data, &p); err != nil {
		return position{}, fmt.Errorf("fit: read %s: %w; %s", st.Address(key), err, anew(st, key))
	}
	if p.Format != checkpointFormat || p.Epochs != epochs || int64(len(p.History)) != epochs {
		return position{}, fmt.Errorf("fit: read %s: format %d with %d epochs and %d records, want format %d with %d; %s", st.Address(key), p.Format, p.Epochs, len(p.History), checkpointFormat, epochs, anew(st, key))
	}
	return p, nil
}

// errMoved says that this worker is a zombie: another one trains the job.
var errMoved = errors.New("another worker moved its checkpoint on; this one stops")

// save makes a checkpoint durable and then moves latest to it. Files of a
// checkpoint that latest does not name are garbage, not a checkpoint.
func (c *checkpoint) save(ctx context.Context, st *store.Store, j Job) error {
	err := c.write(ctx, st, j)
	if errors.Is(err, store.ErrGeneration) {
		err = fmt.Errorf("%w (%w)", errMoved, err)
	}
	if err == nil {
		_, best := Best(c.history)
		err = prune(ctx, st, j.Folder(), int64(len(c.history)), best)
	}
	if err != nil {
		return fmt.Errorf("fit: save %s: %w", j.Name(), err)
	}
	return nil
}

// write replaces what it saw before it made sure that latest has not moved, and nothing
// else: a zombie that wakes up here cannot write over the files of the one who goes on.
func (c *checkpoint) write(ctx context.Context, st *store.Store, j Job) error {
	epochs := int64(len(c.history))
	epoch := epochFolder(j.Folder(), epochs)
	infos, err := st.List(ctx, j.Folder()+"/") // a killed run's, and the logs
	if err != nil {
		return err
	}
	seen := map[string]int64{}
	for _, i := range infos {
		seen[i.Key] = i.Generation
	}
	_, generation, err := ReadLatest(ctx, st, j.Folder())
	if err != nil {
		return err
	}
	if generation != c.generation {
		return store.ErrGeneration
	}
	for _, f := range c.files(j, epoch) {
		data, err := f.encode()
		if err != nil {
			return err
		}
		if _, err := st.WriteIf(ctx, f.key, data, seen[f.key]); err != nil {
			return err
		}
	}
	latest, err := json.Marshal(Latest{Format: checkpointFormat, Epochs: epochs, Inputs: j.Inputs, Done: epochs >= j.Epochs})
	if err != nil {
		return err
	}
	c.generation, err = st.WriteIf(ctx, latestKey(j.Folder()), latest, c.generation)
	return err
}

// file is an object of a checkpoint. It is encoded when it is written: one at a time.
type file struct {
	key    string
	encode func() ([]byte, error)
}

// files lists those of a checkpoint in the order in which they are written.
func (c *checkpoint) files(j Job, epoch string) []file {
	p := position{Format: checkpointFormat, Job: j, Epochs: int64(len(c.history)), Steps: c.state.Steps, Skipped: c.state.Skipped, Scale: c.state.Scale, History: c.history}
	list := []file{{weightsKey(epoch), func() ([]byte, error) { return encodeTensors(c.predicting()) }}}
	if c.average != nil {
		list = append(list, file{trainedKey(epoch), func() ([]byte, error) { return encodeTensors(c.state.Weights) }})
	}
	return append(list, []file{
		{optimiserKey(epoch), func() ([]byte, error) { return encodeTensors(c.state.Optimiser) }},
		{positionKey(epoch), func() ([]byte, error) { return json.MarshalIndent(p, "", " ") }},
		{linesKey(j.Folder()), func() ([]byte, error) { return lines(c.history) }},
		{eventsKey(j.Folder()), func() ([]byte, error) { return events(c.history), nil }},
	}...)
}

// prune removes all checkpoints but the best, the newest and the one before it, whose
// files somebody may be reading, and what killed runs have left.
func prune(ctx context.Context, st *store.Store, folder string, newest, best int64) error {
	infos, err := st.List(ctx, folder+"/epoch_")
	if err != nil {
		return err
	}
	kept := func(key string) bool {
		return slices.ContainsFunc([]int64{newest, newest - 1, best}, func(n int64) bool {
			return strings.HasPrefix(key, epochFolder(folder, n)+"/")
		})
	}
	for _, i := range infos {
		if kept(i.Key) {
			continue
		}
		if err := remove(ctx, st, i.Key); err != nil {
			return fmt.Errorf("remove an old checkpoint: %w", err)
		}
	}
	return nil
}

// ReadTensors reads a safetensors file of weights or optimiser state.
func ReadTensors(ctx context.Context, st *store.Store, key string) (map[string]engine.Tensor, error) {
	data, err := st.Read(ctx, key)
	if err != nil {
		return nil, fmt.Errorf("fit: read weights: %w; %s", err, anew(st, key))
	}
	f, err := safetensors.Decode(data)
	if err != nil {
		return nil, fmt.Errorf("fit: read weights %s: %w; %s", st.Address(key), err, anew(st, key))
	}
	out := make(map[string]engine.Tensor, len(f.Tensors))
	for name, t := range f.Tensors {
		out[name] = engine.Tensor(t)
	}
	return out, nil
}

// anew says what to do about a checkpoint of which a file is not as it was written.
func anew(st *store.Store, key string) string {
	return fmt.Sprintf("put the file back, or remove %s to train anew", st.Address(latestKey(path.Dir(path.Dir(key)))))
}

func encodeTensors(tensors map[string]engine.Tensor) ([]byte, error) {
	f := &safetensors.File{Tensors: make(map[string]safetensors.Tensor, len(tensors))}
	for name, t := range tensors {
		f.Tensors[name] = safetensors.Tensor(t)
	}
	return safetensors.Encode(f)
}
