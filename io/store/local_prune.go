package store

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path"
	"regexp"
	"time"
)

// temporaryName is that of a file that a writer has begun.
var temporaryName = regexp.MustCompile(`^\.store-[A-Z2-7]{26}$`)

// prune removes temporary files that were last written before a time and that nobody holds. It passes over folders that
// it may not read, and follows no links.
func (l *local) prune(ctx context.Context, before time.Time) (removed int, err error) {
	root, err := os.OpenRoot(l.root)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, cause(err)
	}
	defer root.Close()
	err = fs.WalkDir(root.FS(), ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil && d != nil && d.IsDir():
			return fs.SkipDir
		case err == nil && d.Type().IsRegular() && temporaryName.MatchString(d.Name()) && abandoned(root, name, before):
			if err := root.Remove(name); err != nil {
				return cause(err)
			}
			removed++
		}
		return nil
	})
	return removed, err
}

// abandoned reports whether the writer of a temporary file is dead. A living one has locked the file, from its first byte
// until it holds the lock of the folder to rename it. Where there are no locks nothing is abandoned; the age is for what
// locks do not tell: a writer that has just begun, or one on another machine that shares the folder and not its locks.
func abandoned(root *os.Root, name string, before time.Time) bool {
	folder, err := root.Open(path.Dir(name))
	if err != nil {
		return false
	}
	defer folder.Close()
	unlock, err := lockFolder(folder)
	if err != nil {
		return false
	}
	defer unlock()
	f, err := root.OpenFile(name, os.O_WRONLY, 0)
	if err != nil {
		return false
	}
	defer f.Close()
	info, err := f.Stat()
	return err == nil && info.ModTime().Before(before) && tryLock(f)
}
