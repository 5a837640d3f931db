package manifest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"noisystudent/io/dicom"
	"noisystudent/io/store"
	"noisystudent/transforms/cases"
	"noisystudent/transforms/metrics"
)

// settled is how old a file must be before its size, generation and time stand
// for its bytes: a file system may give two quick writes one time.
const settled = 2 * time.Second

// fileRow caches the digest of a file's bytes under what can be asked without
// reading them.
type fileRow struct {
	Address    string    `json:"address"`
	Size       int64     `json:"size"`
	Generation int64     `json:"generation"`
	ModTime    time.Time `json:"mod_time"`
	Hashed     time.Time `json:"hashed"`
	Digest     string    `json:"digest"`
}

// InputDigest returns the digest of a case's files, labels included where there
// are any. Files that cannot be read are a *cases.Fault.
func InputDigest(ctx context.Context, st *store.Store, c cases.Case) (string, error) {
	var digests []string
	for _, address := range []string{c.Image, c.Labels} {
		if address == "" {
			continue
		}
		d, err := FileDigest(ctx, st, address)
		if err != nil {
			return "", err
		}
		digests = append(digests, d)
	}
	return Digest(digests), nil
}

// FileDigest returns the sha256, in hex, of the bytes at an address, of a DICOM series
// that of its slices' sums, whatever their names. The ledger in st keeps it with the
// file's size, generation and time; while those stay the same the bytes are not read
// again.
func FileDigest(ctx context.Context, st *store.Store, address string) (string, error) {
	row, err := fileDigest(ctx, st, address)
	switch {
	case ctx.Err() != nil:
		return "", ctx.Err()
	case errors.As(err, new(ledgerError)), store.Systemic(err):
		return "", err
	case err != nil:
		return "", cases.FaultOf(address, err)
	}
	metrics.AddBytes(ctx, row.Size)
	return row.Digest, nil
}

// ledgerError is trouble with the store's own ledger: nobody's case.
type ledgerError struct{ error }

func (e ledgerError) Unwrap() error { return e.error }

func fileDigest(ctx context.Context, st *store.Store, address string) (fileRow, error) {
	info, digest, err := source(ctx, address)
	if err != nil {
		return fileRow{}, err
	}
	now := fileRow{Address: address, Size: info.Size, Generation: info.Generation, ModTime: info.ModTime.UTC()}
	cache := "ledger/files/" + Digest(address) + ".json"
	if old, ok := cached(ctx, st, cache); ok && old.answers(now) {
		return old, nil
	}
	now.Hashed = time.Now().UTC()
	if now.Digest, err = digest(ctx); err != nil {
		return fileRow{}, err
	}
	data, err := json.Marshal(now)
	if err == nil {
		err = st.WriteCache(ctx, cache, data)
	}
	if err != nil {
		return fileRow{}, ledgerError{fmt.Errorf("manifest: note a digest: %w", err)}
	}
	return now, nil
}

// source describes a file, or a DICOM series by all files of its place, and says how
// its bytes are digested.
func source(ctx context.Context, address string) (store.Info, func(context.Context) (string, error), error) {
	if _, series, ok := dicom.Cut(address); ok {
		place, err := dicom.Open(ctx, address)
		if err != nil {
			return store.Info{}, nil, err
		}
		return place.Info(), func(ctx context.Context) (string, error) { return place.Digest(ctx, series) }, nil
	}
	root, key, err := store.Split(address)
	if err != nil {
		return store.Info{}, nil, err
	}
	from, err := store.Open(ctx, root)
	if err != nil {
		return store.Info{}, nil, err
	}
	info, err := from.Stat(ctx, key)
	return info, func(ctx context.Context) (string, error) { return hash(ctx, from, key) }, err
}

func cached(ctx context.Context, st *store.Store, key string) (fileRow, bool) {
	data, err := st.Read(ctx, key)
	if err != nil {
		return fileRow{}, false
	}
	var row fileRow
	return row, json.Unmarshal(data, &row) == nil && row.Digest != ""
}

// answers reports whether the cached row is of the file as it is now.
func (old fileRow) answers(now fileRow) bool {
	return old.Address == now.Address && old.Size == now.Size && old.Generation == now.Generation &&
		old.ModTime.Equal(now.ModTime) && old.Hashed.Sub(old.ModTime) > settled
}

func hash(ctx context.Context, st *store.Store, key string) (string, error) {
	r, err := st.Open(ctx, key)
	if err != nil {
		return "", err
	}
	defer r.Close()
	h := sha256.New()
	if _, err := io.Copy(h, r); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
