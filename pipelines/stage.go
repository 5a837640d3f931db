package pipelines

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"time"
)

// stage runs one stage of work with its progress and keeps its wall time.
func (r *run) stage(ctx context.Context, name string, total int64, unit string, count func(context.Context) (int64, error), work func(context.Context) error) error {
	start := time.Now()
	err := follow(ctx, r.progress, name, total, unit, count, work)
	if r.seconds == nil {
		r.seconds = map[string]float64{}
	}
	r.seconds[name] += time.Since(start).Seconds()
	return err
}

// readJSON reads a small file of the store; false where there is none.
func (r *run) readJSON(ctx context.Context, key string, v any) (bool, error) {
	data, err := r.store.Read(ctx, key)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if err := json.Unmarshal(data, v); err != nil {
		return false, fmt.Errorf("pipelines: read %s: %w; remove the file to have it made again", r.store.Address(key), err)
	}
	return true, nil
}

func (r *run) writeJSON(ctx context.Context, key string, v any) error {
	data, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		return fmt.Errorf("pipelines: write %s: %w", r.store.Address(key), err)
	}
	return r.store.Write(ctx, key, append(data, '\n'))
}
