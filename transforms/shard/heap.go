package shard

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"time"

	"noisystudent/io/store"
)

// Heap is work that shards have in common, kept in a store: pieces, of which each shard
// takes the next that is left. So those who have had long cases take fewer.
//
// Taken is what nobody else has taken: a piece's object, written on the condition that
// it is not there, names the shard. A shard that is done again after a fault, or by two
// workers because one of them was taken for dead, does its own pieces again; what the
// ledger knows of them is told in no time. Nobody waits for anybody.
type Heap struct {
	Store  string `json:"store"`
	Key    string `json:"key"` // prefix
	Pieces int    `json:"pieces"`
	Shard  int    `json:"shard"`
}

// heaps is where a store has heaps. A folder of one is gone once its run has ended.
const heaps = "heaps/"

// forgotten is how old a heap is whose run was killed, and never ended it.
const forgotten = 30 * 24 * time.Hour

// Pile puts cases onto a new heap for n shards, as many of which are at work at once as
// there are workers. Cases that cost nothing are dealt to the shards beforehand. The
// caller calls Heap.Clear when all is over, also after an error.
func Pile[T any](ctx context.Context, st *store.Store, list []T, costs []float64, workers, n int) (Heap, []Shard, error) {
	var free, dear []T
	var prices []float64
	for i, c := range list {
		if costs[i] > 0 {
			dear, prices = append(dear, c), append(prices, costs[i])
		} else {
			free = append(free, c)
		}
	}
	work := pieces(dear, prices, workers)
	h := Heap{Store: st.Root(), Key: heaps + rand.Text() + "/", Pieces: len(work)}
	shards := make([]Shard, n)
	copy(shards, Deal(free, make([]float64, len(free)), n))
	for k := range shards {
		own := h
		own.Shard = k
		shards[k].Heap = &own
	}
	data, err := json.Marshal(work)
	if err == nil {
		err = forget(ctx, st)
	}
	if err == nil {
		err = st.Write(ctx, h.pieces(), data)
	}
	if err != nil {
		return h, nil, fmt.Errorf("shard: pile up work: %w", err)
	}
	return h, shards, nil
}

// pieces divides cases, the most costly first: a piece is one case, or as many as cost
// half of what each worker has left (guided self-scheduling, Polychronopoulos and Kuck
// 1987).
func pieces[T any](list []T, costs []float64, workers int) (out [][]json.RawMessage) {
	order, left := byCost(costs)
	sum := 0.0
	for _, i := range order {
		if limit := left / float64(2*max(workers, 1)); len(out) == 0 || sum+costs[i] > limit {
			out, sum = append(out, nil), 0
		}
		sum += costs[i]
		last := len(out) - 1
		out[last] = append(out[last], encode(list[i]))
		left -= costs[i]
	}
	return out
}

func (h Heap) pieces() string         { return h.Key + "pieces" }
func (h Heap) taken(piece int) string { return h.Key + "taken/" + strconv.Itoa(piece) }
func (h Heap) begun() string          { return h.Key + "begun/" + strconv.Itoa(h.Shard) }

// each does the work of pieces until none is left.
func (h Heap) each(ctx context.Context, work func(json.RawMessage) error) error {
	st, err := store.Open(ctx, h.Store)
	if err != nil {
		return fmt.Errorf("shard: %w", err)
	}
	others, err := h.others(ctx, st)
	if err != nil || len(others) == h.Pieces {
		return err
	}
	list, err := h.begin(ctx, st)
	if err != nil {
		return err
	}
	for i, piece := range list {
		if others[h.taken(i)] {
			continue
		}
		mine, err := h.take(ctx, st, i)
		if err != nil {
			return fmt.Errorf("shard: take work: %w", err)
		}
		for k := 0; mine && k < len(piece); k++ {
			if err := work(piece[k]); err != nil {
				return err
			}
		}
	}
	return nil
}

// others are the pieces that other shards have taken, as far as that is plain: a shard
// that has been at work before has to look at each. It has written so before it took the
// first, and that is looked for after what is taken.
func (h Heap) others(ctx context.Context, st *store.Store) (map[string]bool, error) {
	infos, err := st.List(ctx, h.Key+"taken/")
	if err != nil {
		return nil, fmt.Errorf("shard: see what is taken: %w", err)
	}
	others := map[string]bool{}
	_, err = st.Stat(ctx, h.begun())
	if !errors.Is(err, fs.ErrNotExist) {
		return others, err
	}
	for _, i := range infos {
		others[i.Key] = true
	}
	return others, nil
}

// begin writes down that the shard is at work, and tells what there is to do.
func (h Heap) begin(ctx context.Context, st *store.Store) (list [][]json.RawMessage, err error) {
	if err := st.Write(ctx, h.begun(), nil); err != nil {
		return nil, fmt.Errorf("shard: begin: %w", err)
	}
	data, err := st.Read(ctx, h.pieces())
	if err == nil {
		err = json.Unmarshal(data, &list)
	}
	if err != nil {
		return nil, fmt.Errorf("shard: see what there is to do: %w; run the command again", err)
	}
	return list, nil
}

// take reports whether a piece is this shard's, from now on or already.
func (h Heap) take(ctx context.Context, st *store.Store, piece int) (bool, error) {
	me := strconv.Itoa(h.Shard)
	owner, err := st.Read(ctx, h.taken(piece))
	if errors.Is(err, fs.ErrNotExist) {
		if _, err = st.WriteIf(ctx, h.taken(piece), []byte(me), 0); err == nil {
			return true, nil
		}
		if errors.Is(err, store.ErrGeneration) {
			owner, err = st.Read(ctx, h.taken(piece))
		}
	}
	return err == nil && string(owner) == me, err
}

// Clear removes the heap.
func (h Heap) Clear(ctx context.Context, st *store.Store) error {
	return remove(ctx, st, h.Key, func(store.Info) bool { return true })
}

// forget removes what is left of runs that were killed.
func forget(ctx context.Context, st *store.Store) error {
	return remove(ctx, st, heaps, func(i store.Info) bool { return time.Since(i.ModTime) > forgotten })
}

// remove takes away what it can and reports what failed first.
func remove(ctx context.Context, st *store.Store, prefix string, these func(store.Info) bool) error {
	infos, err := st.List(ctx, prefix)
	for _, i := range infos {
		if !these(i) {
			continue
		}
		if gone := st.Remove(ctx, i.Key); gone != nil && !errors.Is(gone, fs.ErrNotExist) {
			err = cmp.Or(err, gone)
		}
	}
	return err
}
