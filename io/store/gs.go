package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path"
	"sync"

	"cloud.google.com/go/storage"
	"google.golang.org/api/googleapi"
	"google.golang.org/api/iterator"
)

// gs keeps objects in a bucket of Google Cloud Storage, below a prefix without closing slash.
type gs struct {
	bucket *storage.BucketHandle
	name   string
	prefix string
}

// gsClients are the clients of this process by emulator address (empty: the real service). A client is safe for
// concurrent use and holds the connections, so all stores share one; it lives as long as the process.
var gsClients struct {
	sync.Mutex
	byHost map[string]*storage.Client
}

func gsClient(ctx context.Context) (*storage.Client, error) {
	gsClients.Lock()
	defer gsClients.Unlock()
	host := os.Getenv("STORAGE_EMULATOR_HOST")
	if c := gsClients.byHost[host]; c != nil {
		return c, nil
	}
	// The client outlives the call that happens to be the first.
	c, err := storage.NewClient(context.WithoutCancel(ctx))
	if err != nil {
		return nil, err
	}
	if gsClients.byHost == nil {
		gsClients.byHost = map[string]*storage.Client{}
	}
	gsClients.byHost[host] = c
	return c, nil
}

func openGS(ctx context.Context, bucket, prefix string) (*gs, error) {
	c, err := gsClient(ctx)
	if err != nil {
		return nil, err
	}
	return &gs{bucket: c.Bucket(bucket), name: bucket, prefix: prefix}, nil
}

func (g *gs) address(key string) string { return "gs://" + path.Join(g.name, g.prefix, key) }

// object is the handle of a key, read as stored: an object marked Content-Encoding gzip is not unpacked on the way.
func (g *gs) object(key string) *storage.ObjectHandle {
	return g.bucket.Object(path.Join(g.prefix, key)).ReadCompressed(true)
}

func (g *gs) open(ctx context.Context, key string, off, n int64) (io.ReadCloser, int64, error) {
	if n == 0 {
		return g.openNothing(ctx, key, off)
	}
	r, err := g.object(key).NewRangeReader(ctx, off, n)
	if err != nil {
		return nil, 0, gsError(err)
	}
	n, err = checkRange(r.Attrs.Size, off, n)
	if err != nil {
		r.Close()
		return nil, 0, err
	}
	return r, n, nil
}

// openNothing answers an empty range, which HTTP cannot ask for.
func (g *gs) openNothing(ctx context.Context, key string, off int64) (io.ReadCloser, int64, error) {
	info, err := g.stat(ctx, key)
	if err != nil {
		return nil, 0, err
	}
	_, err = checkRange(info.Size, off, 0)
	return http.NoBody, 0, err
}

func (g *gs) stat(ctx context.Context, key string) (Info, error) {
	a, err := g.object(key).Attrs(ctx)
	if err != nil {
		return Info{}, gsError(err)
	}
	return gsInfo(key, a), nil
}

func gsInfo(key string, a *storage.ObjectAttrs) Info {
	return Info{Key: key, Size: a.Size, Generation: a.Generation, ModTime: a.Updated}
}

func (g *gs) list(ctx context.Context, prefix string) ([]Info, error) {
	folder := ""
	if g.prefix != "" {
		folder = g.prefix + "/"
	}
	it := g.bucket.Objects(ctx, &storage.Query{Prefix: folder + prefix})
	var infos []Info
	for {
		a, err := it.Next()
		if errors.Is(err, iterator.Done) {
			return infos, nil
		}
		if err != nil {
			return nil, gsError(err)
		}
		key := a.Name[len(folder):]
		if checkKey(key) == nil { // other tools leave "folder/" objects, which no call could open
			infos = append(infos, gsInfo(key, a))
		}
	}
}

func (g *gs) remove(ctx context.Context, key string) error {
	return gsError(g.object(key).Delete(ctx))
}

func (g *gs) create(ctx context.Context, key string, generation, size int64) (upload, error) {
	o := g.object(key)
	switch {
	case generation == 0:
		o = o.If(storage.Conditions{DoesNotExist: true})
	case generation != anyGeneration:
		o = o.If(storage.Conditions{GenerationMatch: generation})
	}
	ctx, cancel := context.WithCancel(ctx)
	w := o.NewWriter(ctx)
	if size >= 0 && size < int64(w.ChunkSize) {
		w.ChunkSize = int(size) + 1 // a ledger row needs no buffer of 16 MiB, which is the default
	}
	return &gsUpload{w: w, cancel: cancel}, nil
}

// gsUpload is one upload; the bucket shows the object when its last request has ended well.
type gsUpload struct {
	w       *storage.Writer
	cancel  context.CancelFunc
	started bool
}

func (u *gsUpload) Write(p []byte) (int, error) {
	u.started = true
	n, err := u.w.Write(p)
	return n, gsError(err)
}

func (u *gsUpload) commit() (int64, error) {
	defer u.cancel()
	if err := u.w.Close(); err != nil {
		return 0, gsError(err)
	}
	return u.w.Attrs().Generation, nil
}

// abort cancels before it closes: a close alone would commit, and of an upload not started yet would start it.
func (u *gsUpload) abort() {
	u.cancel()
	if u.started {
		u.w.Close()
	}
}

// gsError gives the errors that callers ask for their names.
func gsError(err error) error {
	var api *googleapi.Error
	switch {
	case errors.Is(err, storage.ErrObjectNotExist):
		return fs.ErrNotExist
	case errors.As(err, &api) && api.Code == http.StatusPreconditionFailed:
		return ErrGeneration
	case errors.As(err, &api) && api.Code == http.StatusRequestedRangeNotSatisfiable:
		return fmt.Errorf("%w: %w", io.ErrUnexpectedEOF, err)
	}
	return err
}
