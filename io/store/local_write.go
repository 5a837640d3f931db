package store

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"syscall"
	"time"
)

var errFolder = fmt.Errorf("%w: a key cannot be a folder of another", ErrKey)

// vanishing is how often a folder may go, with the last object of a Remove elsewhere, while a write begins in it.
const vanishing = 100

func (l *local) create(_ context.Context, key string, generation, _ int64) (upload, error) {
	if err := os.MkdirAll(l.root, 0o777); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(l.root)
	if err != nil {
		return nil, err
	}
	u := &localUpload{root: root, key: key, condition: generation, durable: true}
	u.temporary = path.Join(path.Dir(key), reserved+rand.Text())
	for try := 0; ; try++ {
		if err = makeFolders(root, path.Dir(key)); err == nil {
			u.file, err = root.OpenFile(u.temporary, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
		}
		if !errors.Is(err, fs.ErrNotExist) || try == vanishing {
			break
		}
	}
	if err != nil {
		root.Close()
		if errors.Is(err, syscall.ENOTDIR) {
			err = errFolder
		}
		return nil, err
	}
	tryLock(u.file) // tells prune that the writer lives; without locks prune removes nothing
	return u, nil
}

// makeFolders is MkdirAll that makes each new folder durable in its parent.
func makeFolders(root *os.Root, folder string) error {
	if folder == "." {
		return nil
	}
	if info, err := root.Stat(folder); err == nil && info.IsDir() {
		return nil
	}
	if err := makeFolders(root, path.Dir(folder)); err != nil {
		return err
	}
	if err := root.Mkdir(folder, 0o777); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return syncFolder(root, path.Dir(folder))
}

// syncFolder makes the names in a folder durable, where the file system has an operation for that.
func syncFolder(root *os.Root, folder string) error {
	d, err := root.Open(folder)
	if err != nil {
		return err
	}
	defer d.Close()
	return syncOpen(d)
}

func syncOpen(folder *os.File) error {
	err := folder.Sync()
	if errors.Is(err, syscall.EINVAL) || errors.Is(err, errors.ErrUnsupported) {
		return nil // some network file systems
	}
	return err
}

// localUpload is a temporary file beside its destination. The root handle keeps every step inside the store's folder,
// whatever links someone puts there meanwhile.
type localUpload struct {
	root      *os.Root
	file      *os.File
	key       string
	temporary string
	condition int64
	durable   bool // through a power cut
}

func (u *localUpload) Write(p []byte) (int, error) { return u.file.Write(p) }

func (u *localUpload) abort() {
	u.file.Close()
	u.root.Remove(u.temporary)
	u.root.Close()
}

// commit makes the bytes durable before the name, where they have to be.
func (u *localUpload) commit() (int64, error) {
	generation, err := u.publish()
	if err != nil {
		u.abort()
		return 0, err
	}
	return generation, u.root.Close()
}

func (u *localUpload) publish() (int64, error) {
	if u.durable {
		if err := u.file.Sync(); err != nil {
			return 0, err
		}
	}
	folder, err := u.root.Open(path.Dir(u.key))
	if err != nil {
		return 0, err
	}
	defer folder.Close()
	generation, err := u.rename(folder)
	if err != nil || !u.durable {
		return generation, err
	}
	return generation, syncOpen(folder)
}

// rename does the check of the generation and the renaming under one lock. A file system without locks is good enough
// for a write without condition.
func (u *localUpload) rename(folder *os.File) (int64, error) {
	unlock, err := lockFolder(folder)
	if err == nil {
		defer unlock()
	} else if u.condition != anyGeneration {
		return 0, fmt.Errorf("lock the folder: %w", err)
	}
	if err := u.file.Close(); err != nil { // not before the folder is locked: see prune
		return 0, err
	}
	current, err := u.current()
	if err != nil {
		return 0, err
	}
	generation, err := u.stamp(current)
	if err != nil {
		return 0, err
	}
	return generation, u.root.Rename(u.temporary, u.key)
}

// current returns the generation that the commit replaces, 0 for none, if the condition allows it. Like stat it follows
// a link, which the rename will replace.
func (u *localUpload) current() (int64, error) {
	var current int64
	info, err := os.Stat(filepath.Join(u.root.Name(), filepath.FromSlash(u.key)))
	switch {
	case err == nil && info.IsDir():
		return 0, errFolder
	case err == nil:
		current = generationOf(info)
	case !errors.Is(err, fs.ErrNotExist):
		return 0, err
	}
	if u.condition != anyGeneration && u.condition != current {
		return 0, ErrGeneration
	}
	return current, nil
}

// stamp dates the temporary file later than the generation it replaces. A file system that counts whole seconds or two
// rounds a nanosecond away, hence the second try.
func (u *localUpload) stamp(current int64) (int64, error) {
	now := max(time.Now().UnixNano(), current+1)
	for _, t := range []int64{now, current + 3e9} {
		when := time.Unix(0, t)
		if err := u.root.Chtimes(u.temporary, when, when); err != nil {
			return 0, err
		}
		info, err := u.root.Lstat(u.temporary)
		if err != nil {
			return 0, err
		}
		if generationOf(info) > current {
			return generationOf(info), nil
		}
	}
	return 0, errors.New("the file system keeps no modification times")
}
