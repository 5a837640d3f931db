package store

import (
	"context"
	"crypto/rand"
	"errors"
	"io/fs"
	"net/http"
	"sync/atomic"

	"cloud.google.com/go/storage"
	"google.golang.org/api/googleapi"
)

// writeMark is the metadata by which a writer knows its own object: a random text for each write. Where the answer to a
// write was lost and the write tried again, the second try is refused because of the first, and the mark tells.
const writeMark = "noisystudent-write"

// create begins an upload: one request for what is smaller than a chunk, and a resumable upload for what is larger or of
// unknown size, whose 16 MiB chunks are each tried again from where the service has got to. Parallel composite uploads
// are left: they need temporary objects, which a killed writer leaves behind and people pay for, and the library has them
// only as an experiment of its gRPC client; what is large here, shards, is written several at a time anyway.
//
// Every write is conditional, so that it can be tried again: one without a condition of its own replaces the generation
// that is there when it begins.
func (g *gs) create(ctx context.Context, key string, generation, size int64) (upload, error) {
	seen := generation
	if generation == anyGeneration {
		info, err := g.stat(ctx, key)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		seen = info.Generation
	}
	condition := storage.Conditions{GenerationMatch: seen, DoesNotExist: seen == 0}
	u := &gsUpload{gs: g, key: key, parent: ctx, seen: seen, conditional: generation != anyGeneration, mark: rand.Text()}
	ctx, u.cancel = context.WithCancel(ctx)
	u.w = g.object(key).If(condition).Retryer(storage.WithErrorFunc(u.again)).NewWriter(ctx)
	u.w.Metadata = map[string]string{writeMark: u.mark}
	u.w.ChunkRetryDeadline = patience.total
	u.w.ProgressFunc = func(int64) { u.failures.Store(0) }
	if size >= 0 && size < int64(u.w.ChunkSize) {
		u.w.ChunkSize = int(size) + 1 // a ledger row needs no buffer of 16 MiB, which is the default
	}
	return u, nil
}

// gsUpload is one upload; the bucket shows the object when its last request has ended well.
type gsUpload struct {
	gs          *gs
	key, mark   string
	w           *storage.Writer
	parent      context.Context // of the write without our cancel
	cancel      context.CancelFunc
	seen        int64 // the generation to be replaced
	conditional bool  // the caller named it
	started     bool
	failures    atomic.Int64 // in a row
}

// again decides about one more try; the library's limit does not hold for uploads.
func (u *gsUpload) again(err error) bool {
	return u.failures.Add(1) < int64(patience.tries) && storage.ShouldRetry(err)
}

func (u *gsUpload) Write(p []byte) (int, error) {
	u.started = true
	n, err := u.w.Write(p)
	return n, gsError(u.gs.name, err)
}

func (u *gsUpload) commit() (int64, error) {
	defer u.cancel()
	err := u.w.Close()
	if err == nil {
		return u.w.Attrs().Generation, nil
	}
	if generation, ok := u.done(err); ok {
		return generation, nil
	}
	return 0, gsError(u.gs.name, err)
}

// done tells whether a write that was refused has happened all the same: the answer to an earlier try of it was lost.
// A write without a condition has also happened where another writer's came between its beginning and its end, which is as if
// that other one had been the later.
func (u *gsUpload) done(refusal error) (generation int64, ok bool) {
	var api *googleapi.Error
	if !errors.As(refusal, &api) {
		return 0, false
	}
	switch api.Code {
	case http.StatusPreconditionFailed, http.StatusNotFound, http.StatusGone: // the last two: of an upload that has ended
	default:
		return 0, false
	}
	a, err := u.gs.object(u.key).Attrs(u.parent)
	if err != nil {
		return 0, false
	}
	if a.Metadata[writeMark] == u.mark {
		return a.Generation, true
	}
	return a.Generation, !u.conditional && api.Code == http.StatusPreconditionFailed && a.Generation != u.seen
}

// abort cancels before it closes: a close alone would commit, and of an upload not started yet would start it.
func (u *gsUpload) abort() {
	u.cancel()
	if u.started {
		u.w.Close()
	}
}
