package manifest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"

	"noisystudent/io/store"
)

// Value makes a value and stores it as JSON at key, or reads the stored one where the
// ledger has settled the work. settle is Once or Settle for the wanted row. A stored value that
// is not what the ledger knows is made once more. The value of a rejected row is zero.
func Value[T any](ctx context.Context, st *store.Store, key string, settle func(work func(*Row) error) (Row, error), produce func() (T, error)) (T, Row, error) {
	var value, none T
	for {
		fresh := false
		done, err := settle(func(done *Row) (err error) {
			fresh = true
			if value, err = produce(); err != nil {
				return err
			}
			text, err := json.Marshal(value)
			if err != nil {
				return err
			}
			done.Output, done.Digest = key, Digest(value)
			return st.Write(ctx, key, text)
		})
		if err != nil || done.Outcome == Rejected {
			return none, done, err
		}
		if fresh {
			return value, done, nil
		}
		if value, err = readValue[T](ctx, st, done); err == nil {
			return value, done, nil
		}
		if store.Systemic(err) {
			return none, done, err
		}
		if err := st.Remove(ctx, done.Output); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return none, done, err
		}
	}
}

func readValue[T any](ctx context.Context, st *store.Store, done Row) (value T, err error) {
	text, err := st.Read(ctx, done.Output)
	if err == nil {
		err = json.Unmarshal(text, &value)
	}
	if err == nil && Digest(value) != done.Digest {
		err = errors.New("it is not what was written")
	}
	if err != nil {
		return value, fmt.Errorf("manifest: read %s: %w", done.Output, err)
	}
	return value, nil
}
