package store

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"
	"sync"
	"time"
)

// memBuckets are the mem:// buckets of this process by name. They live as long as the process.
var memBuckets struct {
	sync.Mutex
	byName map[string]*memBucket
}

type memBucket struct {
	sync.RWMutex
	objects    map[string]memObject
	generation int64
}

// memObject's data is never written to again, so that readers need no copy.
type memObject struct {
	data       []byte
	generation int64
	modTime    time.Time
}

type mem struct {
	bucket *memBucket
	name   string
	prefix string
}

func openMem(name, prefix string) *mem {
	memBuckets.Lock()
	defer memBuckets.Unlock()
	if memBuckets.byName == nil {
		memBuckets.byName = map[string]*memBucket{}
	}
	b := memBuckets.byName[name]
	if b == nil {
		b = &memBucket{objects: map[string]memObject{}}
		memBuckets.byName[name] = b
	}
	return &mem{bucket: b, name: name, prefix: prefix}
}

func (m *mem) address(key string) string { return "mem://" + path.Join(m.name, m.prefix, key) }

func (m *mem) get(key string) (memObject, error) {
	m.bucket.RLock()
	defer m.bucket.RUnlock()
	o, ok := m.bucket.objects[path.Join(m.prefix, key)]
	if !ok {
		return o, fs.ErrNotExist
	}
	return o, nil
}

func (m *mem) open(_ context.Context, key string, off, n int64) (io.ReadCloser, int64, error) {
	o, err := m.get(key)
	if err != nil {
		return nil, 0, err
	}
	n, err = checkRange(int64(len(o.data)), off, n)
	if err != nil {
		return nil, 0, err
	}
	return io.NopCloser(bytes.NewReader(o.data[off : off+n])), n, nil
}

// checkRange holds a range against the object's size and returns its length.
func checkRange(size, off, n int64) (int64, error) {
	if n < 0 {
		n = size - off
	}
	if off > size || n > size-off {
		return 0, fmt.Errorf("%d bytes at %d of an object of %d: %w", n, off, size, io.ErrUnexpectedEOF)
	}
	return n, nil
}

func (m *mem) stat(_ context.Context, key string) (Info, error) {
	o, err := m.get(key)
	return o.info(key), err
}

func (o memObject) info(key string) Info {
	return Info{Key: key, Size: int64(len(o.data)), Generation: o.generation, ModTime: o.modTime}
}

func (m *mem) list(_ context.Context, prefix string) ([]Info, error) {
	m.bucket.RLock()
	defer m.bucket.RUnlock()
	folder := ""
	if m.prefix != "" {
		folder = m.prefix + "/"
	}
	var infos []Info
	for name, o := range m.bucket.objects {
		if strings.HasPrefix(name, folder+prefix) {
			infos = append(infos, o.info(name[len(folder):]))
		}
	}
	return infos, nil
}

func (m *mem) remove(_ context.Context, key string) error {
	m.bucket.Lock()
	defer m.bucket.Unlock()
	name := path.Join(m.prefix, key)
	if _, ok := m.bucket.objects[name]; !ok {
		return fs.ErrNotExist
	}
	delete(m.bucket.objects, name)
	return nil
}

func (m *mem) create(_ context.Context, key string, generation, _ int64) (upload, error) {
	return &memUpload{bucket: m.bucket, name: path.Join(m.prefix, key), condition: generation}, nil
}

type memUpload struct {
	bytes.Buffer
	bucket    *memBucket
	name      string
	condition int64
}

func (u *memUpload) abort() {}

func (u *memUpload) commit() (int64, error) {
	b := u.bucket
	b.Lock()
	defer b.Unlock()
	if u.condition != anyGeneration && b.objects[u.name].generation != u.condition {
		return 0, ErrGeneration
	}
	if other, ok := b.clash(u.name); ok {
		return 0, fmt.Errorf("%w: %s is there", errFolder, other)
	}
	b.generation++
	b.objects[u.name] = memObject{data: u.Bytes(), generation: b.generation, modTime: time.Now()}
	return b.generation, nil
}

// clash finds an object that a folder could not hold beside name, so that tests in memory fail where a disk would.
func (b *memBucket) clash(name string) (string, bool) {
	for other := range b.objects {
		if strings.HasPrefix(other, name+"/") || strings.HasPrefix(name, other+"/") {
			return other, true
		}
	}
	return "", false
}
