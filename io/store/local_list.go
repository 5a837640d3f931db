package store

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"syscall"
)

// list walks the folder that the prefix names and keeps the files below it that begin with the prefix.
func (l *local) list(ctx context.Context, prefix string) ([]Info, error) {
	folder := path.Dir(prefix)
	if strings.HasSuffix(prefix, "/") {
		folder = strings.TrimSuffix(prefix, "/")
	}
	w := walk{local: l, ctx: ctx, prefix: prefix}
	err := w.folder(folder, nil)
	return w.infos, err
}

type walk struct {
	local  *local
	ctx    context.Context
	prefix string
	infos  []Info
}

// folder adds the objects below a folder. The parents are real paths, by which a link to one of them is seen
// and not followed round for ever.
func (w *walk) folder(key string, parents []string) error {
	if err := w.ctx.Err(); err != nil {
		return err
	}
	real, err := filepath.EvalSymlinks(w.local.address(key))
	if err != nil {
		return ignoreMissing(cause(err))
	}
	for _, p := range parents {
		if p == real {
			return nil
		}
	}
	entries, err := os.ReadDir(real)
	if err != nil {
		return ignoreMissing(cause(err))
	}
	parents = append(parents, real)
	for _, e := range entries {
		if err := w.entry(path.Join(key, e.Name()), e, parents); err != nil {
			return err
		}
	}
	return nil
}

func (w *walk) entry(key string, e fs.DirEntry, parents []string) error {
	if checkKey(key) != nil {
		return nil // a temporary file, or a name that no call could open
	}
	inside := strings.HasPrefix(key, w.prefix)
	if !inside && !strings.HasPrefix(w.prefix, key+"/") {
		return nil
	}
	info, err := os.Stat(w.local.address(key))
	switch {
	case err != nil && inside && e.Type() == fs.ModeSymlink && lost(cause(err)):
		// A link that leads nowhere is listed, so that who asked for its object is told that it is missing.
		if info, err = e.Info(); err == nil {
			w.infos = append(w.infos, localInfo(key, info))
		}
		return ignoreMissing(cause(err))
	case err != nil:
		return ignoreMissing(cause(err))
	case info.IsDir():
		return w.folder(key, parents)
	case inside && info.Mode().IsRegular():
		w.infos = append(w.infos, localInfo(key, info))
	}
	return nil
}

// lost tells that a link leads nowhere or to itself.
func lost(err error) bool { return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ELOOP) }

// ignoreMissing passes over what was removed meanwhile, and over a root that is a link to nothing.
func ignoreMissing(err error) error {
	if lost(err) {
		return nil
	}
	return err
}
