package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path"
	"time"

	"cloud.google.com/go/storage"
	"google.golang.org/api/googleapi"
	"google.golang.org/api/iterator"
)

// gs keeps objects in a bucket of Google Cloud Storage, below a prefix without closing slash.
type gs struct {
	client *gsClient
	name   string
	prefix string
}

func openGS(ctx context.Context, bucket, prefix string) (*gs, error) {
	c, err := clientOfGS(ctx)
	if err != nil {
		return nil, err
	}
	return &gs{client: c, name: bucket, prefix: prefix}, nil
}

func (g *gs) address(key string) string { return "gs://" + path.Join(g.name, g.prefix, key) }

// object is the handle of a key, read as stored: an object marked Content-Encoding gzip is not unpacked on the way.
func (g *gs) object(key string) *storage.ObjectHandle {
	return g.client.Bucket(g.name).Object(path.Join(g.prefix, key)).ReadCompressed(true).Retryer(retries()...)
}

func (g *gs) open(ctx context.Context, key string, off, n int64) (io.ReadCloser, int64, error) {
	if n == 0 {
		return g.openNothing(ctx, key, off)
	}
	reading, cancel := context.WithCancel(ctx)
	r, err := g.object(key).NewRangeReader(reading, off, n)
	if err != nil {
		cancel()
		return nil, 0, g.fail(ctx, err)
	}
	n, err = checkRange(r.Attrs.Size, off, n)
	if err != nil {
		r.Close()
		cancel()
		return nil, 0, err
	}
	return &gsReader{r, ctx, cancel, g.name}, n, nil
}

// gsReader is an object, or a range of it, as it comes. The library goes on where a connection was cut or has stalled, with the
// same generation, and never gives up; the reader does so after patience.total without a byte.
type gsReader struct {
	*storage.Reader
	parent context.Context // of the read without our cancel
	cancel context.CancelFunc
	bucket string
}

func (r *gsReader) Read(p []byte) (int, error) {
	limit := time.AfterFunc(patience.total, r.cancel)
	n, err := r.Reader.Read(p)
	switch {
	case err == io.EOF:
		return n, err
	case !limit.Stop() && err != nil && r.parent.Err() == nil:
		err = fmt.Errorf("no byte came for %s: %w", patience.total, stalled{})
	case errors.Is(err, storage.ErrObjectNotExist):
		return n, fmt.Errorf("%w than when its reading began", ErrGeneration)
	}
	return n, gsError(r.bucket, err)
}

func (r *gsReader) Close() error {
	defer r.cancel()
	return r.Reader.Close()
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
		return Info{}, g.fail(ctx, err)
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
	q := &storage.Query{Prefix: folder + prefix}
	if err := q.SetAttrSelection([]string{"Name", "Size", "Generation", "Updated"}); err != nil {
		return nil, err
	}
	it := g.objects(ctx, q)
	var infos []Info
	for {
		a, err := it.Next()
		if errors.Is(err, iterator.Done) {
			return infos, nil
		}
		if err != nil {
			return nil, gsError(g.name, err)
		}
		key := a.Name[len(folder):]
		if checkKey(key) == nil { // other tools leave "folder/" objects, which no call could open
			infos = append(infos, gsInfo(key, a))
		}
	}
}

func (g *gs) objects(ctx context.Context, q *storage.Query) *storage.ObjectIterator {
	return g.client.Bucket(g.name).Retryer(retries()...).Objects(ctx, q)
}

// probe asks for the name of any object, which finds out whether the bucket exists.
func (g *gs) probe(ctx context.Context) error {
	it := g.objects(ctx, nil)
	it.PageInfo().MaxSize = 1
	_, err := it.Next()
	if errors.Is(err, iterator.Done) {
		return nil
	}
	return gsError(g.name, err)
}

// remove deletes the generation that is there now, so that it can be tried again. One that is gone by then, or has made
// room for another, was deleted by an earlier try or before somebody else's write.
func (g *gs) remove(ctx context.Context, key string) error {
	info, err := g.stat(ctx, key)
	if err != nil {
		return err
	}
	err = g.object(key).If(storage.Conditions{GenerationMatch: info.Generation}).Delete(ctx)
	var api *googleapi.Error
	if errors.Is(err, storage.ErrObjectNotExist) || errors.As(err, &api) && api.Code == http.StatusPreconditionFailed {
		return nil
	}
	return gsError(g.name, err)
}
