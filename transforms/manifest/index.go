package manifest

import (
	"context"
	"encoding/json"
	"sync"

	"noisystudent/io/store"
)

// index keeps what the objects of one folder of the ledger held, ledger/index/<stage>.json:
// ten thousand rows are read by one request in place of ten thousand. It answers for an
// object only at the generation that it has seen, so that it may be old, lost or damaged.
type index struct {
	store *store.Store
	key   string

	mu      sync.Mutex
	entries map[string]entry // by key
	read    int              // objects that had to be
}

type entry struct {
	Generation int64           `json:"generation"`
	Row        json.RawMessage `json:"row"`
	used       bool
}

// indexFrom is how many objects are worth an index.
const indexFrom = 256

// openIndex reads the index of a folder of so many objects.
func openIndex(ctx context.Context, st *store.Store, stage string, objects int) *index {
	x := &index{store: st, key: "ledger/index/" + stage + ".json", entries: map[string]entry{}}
	if objects < indexFrom {
		return x
	}
	data, err := st.Read(ctx, x.key)
	if err != nil || json.Unmarshal(data, &x.entries) != nil {
		x.entries = map[string]entry{}
	}
	return x
}

// object returns what an object holds, as it was listed.
func (x *index) object(ctx context.Context, info store.Info) ([]byte, error) {
	x.mu.Lock()
	e, known := x.entries[info.Key]
	x.mu.Unlock()
	if known = known && e.Generation == info.Generation; !known {
		data, err := x.store.Read(ctx, info.Key)
		if err != nil {
			return nil, err
		}
		e = entry{Generation: info.Generation, Row: data}
	}
	e.used = true
	x.mu.Lock()
	defer x.mu.Unlock()
	x.entries[info.Key] = e
	if !known {
		x.read++
	}
	return e.Row, nil
}

// save writes the index where a twentieth of it is new or was not asked for. That it
// cannot be written is no reason to stop.
func (x *index) save(ctx context.Context) {
	whole := make(map[string]entry, len(x.entries))
	for key, e := range x.entries {
		if e.used && json.Valid(e.Row) {
			whole[key] = e
		}
	}
	changed := x.read + len(x.entries) - len(whole)
	if len(whole) < indexFrom || changed < max(1, len(whole)/20) {
		return
	}
	if data, err := json.Marshal(whole); err == nil {
		_ = x.store.WriteCache(ctx, x.key, data)
	}
}
