package incoming

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strings"
	"time"

	"noisystudent/io/store"
	"noisystudent/transforms/manifest"
)

// Latest is the value of Policy.Since that asks for the newest model's labels.
const Latest = "latest"

// Policy says which scans that are labelled are labelled again. A scan that is new or
// has changed is labelled whatever it says.
type Policy struct {
	OnlyMissing bool   // none
	Since       string // those labelled by a model older than this digest; empty or Latest: than the newest
}

// modelNote is ledger/models/<first 12 of the digest>.json: a model that has labelled
// here, and by the object's time since when.
type modelNote struct {
	Digest string `json:"digest"`
	Name   string `json:"name"`
}

const modelsFolder = "ledger/models/"

// Meet takes down that a model labels from now on, if it has not before.
func Meet(ctx context.Context, st *store.Store, digest, name string) error {
	data, err := manifest.Encode(modelNote{digest, name})
	if err == nil {
		_, err = st.WriteIf(ctx, modelsFolder+digest[:12]+".json", data, 0)
	}
	if err != nil && !errors.Is(err, store.ErrGeneration) {
		return fmt.Errorf("incoming: note model %.12s: %w", digest, err)
	}
	return nil
}

// ages are the times at which models began to label, by the first 12 of their digests.
type ages map[string]time.Time

func readAges(ctx context.Context, st *store.Store) (ages, error) {
	infos, err := st.List(ctx, modelsFolder)
	met := ages{}
	for _, i := range infos {
		met[strings.TrimSuffix(path.Base(i.Key), ".json")] = i.ModTime
	}
	return met, err
}

// find returns since when the one model whose digest begins so labels.
func (a ages) find(digest string) (time.Time, error) {
	var found []string
	for name := range a {
		if strings.HasPrefix(name, digest) || strings.HasPrefix(digest, name) {
			found = append(found, name)
		}
	}
	if len(digest) < 6 || len(found) != 1 {
		return time.Time{}, &UnknownModelError{digest, len(found)}
	}
	return a[found[0]], nil
}

// UnknownModelError says that a digest names no model which has labelled here, or several.
type UnknownModelError struct {
	Digest string
	Models int
}

func (e *UnknownModelError) Error() string {
	return fmt.Sprintf("incoming: %q names %d models that have labelled here; give %s, or 6 or more digits of a folder under predictions/ that `noisystudent status` lists", e.Digest, e.Models, Latest)
}

// stale returns whether labels of a model are to be made again while another is the newest.
func (p Policy) stale(met ages, newest string) (func(model string) bool, error) {
	switch p.Since {
	case "", Latest:
		return func(model string) bool { return !p.OnlyMissing && model != newest }, nil
	}
	since, err := met.find(p.Since)
	return func(model string) bool {
		if p.OnlyMissing || model == newest {
			return false
		}
		at, known := met[model[:min(12, len(model))]]
		return !known || at.Before(since)
	}, err
}
