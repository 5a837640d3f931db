package store

import (
	"context"
	"errors"
	"fmt"
)

// Write makes data the object's content, all or nothing.
func (s *Store) Write(ctx context.Context, key string, data []byte) error {
	_, err := s.write(ctx, key, data, anyGeneration, true)
	return err
}

// WriteCache is Write of what can be made again: all or nothing for every process, whatever is killed, but a power cut may undo it
// or leave the object empty. In a folder of small objects it saves most of a write's time.
func (s *Store) WriteCache(ctx context.Context, key string, data []byte) error {
	_, err := s.write(ctx, key, data, anyGeneration, false)
	return err
}

// WriteIf is Write on the condition that the object is at the generation, where 0 means that it does not exist; otherwise
// it changes nothing and returns ErrGeneration. It returns the generation it wrote.
func (s *Store) WriteIf(ctx context.Context, key string, data []byte, generation int64) (int64, error) {
	if generation < 0 {
		return 0, fmt.Errorf("store: write %s: %w: %d is none", s.Address(key), ErrGeneration, generation)
	}
	return s.write(ctx, key, data, generation, true)
}

func (s *Store) write(ctx context.Context, key string, data []byte, generation int64, durable bool) (int64, error) {
	w, err := s.create(ctx, key, generation, int64(len(data)))
	if err != nil {
		return 0, err
	}
	defer w.Abort()
	if local, ok := w.upload.(*localUpload); ok {
		local.durable = durable
	}
	if _, err := w.Write(data); err != nil {
		return 0, err
	}
	return w.commit()
}

// Create starts a write in pieces. Nothing is visible before Commit; the caller defers Abort, which does nothing after it.
func (s *Store) Create(ctx context.Context, key string) (*Writer, error) {
	return s.create(ctx, key, anyGeneration, -1)
}

func (s *Store) create(ctx context.Context, key string, generation, size int64) (*Writer, error) {
	if err := s.check(ctx, "create", key); err != nil {
		return nil, err
	}
	u, err := s.backend.create(ctx, key, generation, size)
	if err != nil {
		return nil, fmt.Errorf("store: create %s: %w", s.Address(key), err)
	}
	return &Writer{ctx: ctx, store: s, key: key, upload: u}, nil
}

// errFinished is the error of a Writer that was already committed or aborted.
var errFinished = errors.New("the write is finished")

// Writer is one object being written. It is not safe for concurrent use.
type Writer struct {
	ctx    context.Context // of the whole write; a writer lives no longer than the call that made it
	store  *Store
	key    string
	upload upload // nil once committed or aborted
}

// Write appends to the object. After an error nothing will be committed.
func (w *Writer) Write(p []byte) (int, error) {
	if w.upload == nil {
		return 0, w.failed("write", errFinished)
	}
	if err := w.store.ready(w.ctx, "write", w.key); err != nil {
		w.Abort()
		return 0, w.failed("write", err)
	}
	n, err := w.upload.Write(p)
	if err != nil {
		w.Abort()
		return n, w.failed("write", err)
	}
	return n, nil
}

// Commit makes the object visible, durably: after it a power cut cannot undo it. After an error nothing has changed, but for
// two cases: a bucket took the object and its answer was lost, or a disk failed after the rename.
func (w *Writer) Commit() error {
	_, err := w.commit()
	return err
}

func (w *Writer) commit() (int64, error) {
	if w.upload == nil {
		return 0, w.failed("commit", errFinished)
	}
	if err := w.store.ready(w.ctx, "commit", w.key); err != nil {
		w.Abort()
		return 0, w.failed("commit", err)
	}
	generation, err := w.upload.commit()
	w.upload = nil
	if err != nil {
		return 0, w.failed("commit", err)
	}
	return generation, nil
}

// Abort gives the write up and removes what was written; after Commit it does nothing.
func (w *Writer) Abort() {
	if w.upload != nil {
		w.upload.abort()
		w.upload = nil
	}
}

func (w *Writer) failed(op string, err error) error {
	return fmt.Errorf("store: %s %s: %w", op, w.store.Address(w.key), err)
}
