// Package store keeps named bytes in one of three places: a local folder, the memory of this process (mem://name, for
// tests) or Google Cloud Storage (gs://bucket/prefix).
//
// The one idea: an object is there completely or not at all. A write goes to a place nobody reads, and one atomic step
// makes it visible: a rename in a folder, the closing request in a bucket. A run that is killed anywhere leaves whole objects and
// temporary names that List never shows, no reader ever opens, and Prune removes.
//
// Keys are slash paths that fs.ValidPath accepts, without backslashes, control characters or the reserved element prefix
// ".store-"; anything else is ErrKey. A key may not be a folder of another key: a bucket would allow it, a folder cannot.
//
// Every object has a generation, a number that grows with each write of its key and is never 0; WriteIf writes only over
// the generation that the caller has seen. In a bucket it is the object's generation. In a folder it is the file's
// modification time in nanoseconds, which a write sets to now or to one more than the generation it replaces, whichever
// is later: it survives the process, moves together with the bytes in the same rename, and also changes when a
// person edits the file by hand. Writers of one folder exclude each other by a lock on the directory (flock), so the
// check and the rename are one step for all processes of one machine; machines that share a folder over a network file
// system are not excluded from each other and should use gs://.
//
// Reading follows symbolic links, because datasets are often folders of links; one that leads nowhere is listed and is
// missing to its reader. Writing and removing do not leave the root through a link.
//
// A Store may be used from several goroutines.
package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"
)

// ErrKey is the error for a key or prefix that could name something outside the store or that not every backend can hold.
var ErrKey = errors.New("invalid key")

// ErrGeneration is the error of WriteIf when the object is not at the generation that the caller named, and of a stream
// whose object was replaced when it had to go on after a lost connection.
var ErrGeneration = errors.New("the object is at another generation")

// ErrUnsupported is the error for an address whose scheme no backend knows.
var ErrUnsupported = errors.New("unsupported address")

// Info describes one object.
type Info struct {
	Key        string
	Size       int64 // bytes
	Generation int64 // never 0
	ModTime    time.Time
}

// Store is a root under which objects are kept by key.
type Store struct {
	root    string
	backend backend
	fault   func(op, key string) error // nil but in tests
}

// backend is what a place must be able to do; keys and prefixes arrive checked.
// A missing object is fs.ErrNotExist from every method.
type backend interface {
	// open reads n bytes from off and also returns the number of bytes that will come; n < 0 is everything from off on.
	// A range that the object does not cover is io.ErrUnexpectedEOF.
	open(ctx context.Context, key string, off, n int64) (io.ReadCloser, int64, error)
	// create starts a write that becomes visible at commit if the object is then at the generation, or at any.
	// The size is what will come, or -1.
	create(ctx context.Context, key string, generation, size int64) (upload, error)
	stat(ctx context.Context, key string) (Info, error)
	list(ctx context.Context, prefix string) ([]Info, error) // in any order
	remove(ctx context.Context, key string) error
	address(key string) string
}

// anyGeneration is the condition of an unconditional write.
const anyGeneration = -1

// upload is a write in progress. Exactly one of commit and abort is called, once.
type upload interface {
	io.Writer
	commit() (generation int64, err error)
	abort()
}

// Open returns the store at root: a folder, mem://name or gs://bucket/prefix. A folder need not exist, the first write
// makes it. For gs:// the application default credentials are used, or the emulator that STORAGE_EMULATOR_HOST names.
func Open(ctx context.Context, root string) (*Store, error) {
	b, err := openBackend(ctx, root)
	if err != nil {
		return nil, fmt.Errorf("store: open %s: %w", root, err)
	}
	s := &Store{root: b.address(""), backend: b}
	if f := plantedFault(s.root); f != nil {
		s.fault = func(op, key string) error { return f(op, s.Address(key)) }
	}
	return s, nil
}

func openBackend(ctx context.Context, root string) (backend, error) {
	scheme, bucket, prefix, err := parseRoot(root)
	if err != nil {
		return nil, err
	}
	switch scheme {
	case "mem":
		return openMem(bucket, prefix), nil
	case "gs":
		return openGS(ctx, bucket, prefix)
	}
	return openLocal(root)
}

// Root returns the address that Open would take for this store; a folder's is absolute.
func (s *Store) Root() string { return s.root }

// Address returns the full address of a key, for messages and for OpenAddress.
func (s *Store) Address(key string) string { return s.backend.address(key) }

// Read returns the whole object.
func (s *Store) Read(ctx context.Context, key string) ([]byte, error) {
	return s.read(ctx, key, 0, -1)
}

// ReadRange returns the n bytes from off on. A range that the object does not cover is io.ErrUnexpectedEOF, found before
// memory is taken.
func (s *Store) ReadRange(ctx context.Context, key string, off, n int64) ([]byte, error) {
	if off < 0 || n < 0 || off+n < off {
		return nil, fmt.Errorf("store: read %s: invalid range of %d bytes at %d", s.Address(key), n, off)
	}
	return s.read(ctx, key, off, n)
}

// read begins again where the object was replaced between two requests for its bytes.
func (s *Store) read(ctx context.Context, key string, off, n int64) (data []byte, err error) {
	for range replacements {
		if data, err = s.readOnce(ctx, key, off, n); !errors.Is(err, ErrGeneration) {
			break
		}
	}
	return data, err
}

// replacements is how often an object may be replaced while it is being read.
const replacements = 10

func (s *Store) readOnce(ctx context.Context, key string, off, n int64) ([]byte, error) {
	r, size, err := s.open(ctx, key, off, n)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	data := make([]byte, size)
	if _, err := io.ReadFull(r, data); err != nil {
		return nil, fmt.Errorf("store: read %s: %w", s.Address(key), unexpected(err))
	}
	return data, nil
}

// Open returns the object as a stream, which the caller closes.
func (s *Store) Open(ctx context.Context, key string) (io.ReadCloser, error) {
	r, _, err := s.open(ctx, key, 0, -1)
	return r, err
}

func (s *Store) open(ctx context.Context, key string, off, n int64) (io.ReadCloser, int64, error) {
	if err := s.check(ctx, "read", key); err != nil {
		return nil, 0, err
	}
	r, size, err := s.backend.open(ctx, key, off, n)
	if err != nil {
		return nil, 0, fmt.Errorf("store: read %s: %w", s.Address(key), err)
	}
	return r, size, nil
}

// Stat describes the object without reading it.
func (s *Store) Stat(ctx context.Context, key string) (Info, error) {
	if err := s.check(ctx, "stat", key); err != nil {
		return Info{}, err
	}
	info, err := s.backend.stat(ctx, key)
	if err != nil {
		return Info{}, fmt.Errorf("store: stat %s: %w", s.Address(key), err)
	}
	return info, nil
}

// Remove deletes the object; one that is missing is fs.ErrNotExist.
func (s *Store) Remove(ctx context.Context, key string) error {
	if err := s.check(ctx, "remove", key); err != nil {
		return err
	}
	if err := s.backend.remove(ctx, key); err != nil {
		return fmt.Errorf("store: remove %s: %w", s.Address(key), err)
	}
	return nil
}

// Prune removes what writers have left that were killed longer ago than an age, and returns how many files that were. The
// temporary file of a writer that lives stays, however old it is. Only folders keep such files.
func (s *Store) Prune(ctx context.Context, age time.Duration) (removed int, err error) {
	l, ok := s.backend.(*local)
	if !ok {
		return 0, nil
	}
	if err = s.ready(ctx, "remove", ""); err == nil {
		removed, err = l.prune(ctx, time.Now().Add(-age))
	}
	if err != nil {
		return removed, fmt.Errorf("store: prune %s: %w", s.root, err)
	}
	return removed, nil
}

// check refuses a bad key and a context that has ended, and lets a test inject its fault.
func (s *Store) check(ctx context.Context, op, key string) error {
	err := checkKey(key)
	if err == nil {
		err = s.ready(ctx, op, key)
	}
	if err != nil {
		return fmt.Errorf("store: %s %s in %s: %w", op, key, s.root, err)
	}
	return nil
}

func (s *Store) ready(ctx context.Context, op, key string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if s.fault != nil {
		return s.fault(op, key)
	}
	return nil
}

// unexpected turns the end of a stream into the error that says it came too early.
func unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
