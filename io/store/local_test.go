package store_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"noisystudent/io/store"
)

// entries are all names below a folder, temporary ones too.
func entries(t *testing.T, folder string) []string {
	t.Helper()
	var names []string
	err := filepath.WalkDir(folder, func(p string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			name, _ := filepath.Rel(folder, p)
			names = append(names, name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func keys(t *testing.T, s *store.Store, prefix string) []string {
	t.Helper()
	infos, err := s.List(t.Context(), prefix)
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, info := range infos {
		list = append(list, info.Key)
	}
	return list
}

func touch(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
}

func TestLocalLeavesNoTemporaries(t *testing.T) {
	root := t.TempDir()
	s := mustOpen(t, root)
	if err := s.Write(t.Context(), "d/x", []byte("old")); err != nil {
		t.Fatal(err)
	}
	w, err := s.Create(t.Context(), "d/x")
	if err != nil {
		t.Fatal(err)
	}
	if got := entries(t, root); len(got) != 2 || !strings.HasPrefix(filepath.Base(got[0]), ".store-") {
		t.Errorf("a write in progress has %q, want a temporary file beside its destination", got)
	}
	w.Abort()
	full := errors.New("disk full")
	for _, op := range []string{"write", "commit"} {
		faulty := store.WithFault(s, func(o, _ string) error {
			if o == op {
				return full
			}
			return nil
		})
		if err := faulty.Write(t.Context(), "d/x", []byte("new")); !errors.Is(err, full) {
			t.Error(err)
		}
	}
	if _, err := s.WriteIf(t.Context(), "d/x", []byte("new"), 0); !errors.Is(err, store.ErrGeneration) {
		t.Error(err)
	}
	if err := os.Mkdir(filepath.Join(root, "d", "folder"), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := s.Write(t.Context(), "d/folder", []byte("new")); !errors.Is(err, store.ErrKey) {
		t.Error(err)
	}
	if got := entries(t, root); !slices.Equal(got, []string{"d/x"}) {
		t.Errorf("left: %q", got)
	}
}

func TestLocalStaleTemporaries(t *testing.T) {
	root := t.TempDir()
	s := mustOpen(t, root)
	touch(t, root+"/d/.store-ABCDEF", "from a run that was killed")
	touch(t, root+"/d/.store-folder/x", "")
	touch(t, root+"/d/x", "object")
	if got := keys(t, s, ""); !slices.Equal(got, []string{"d/x"}) {
		t.Errorf("%q", got)
	}
	if err := s.Write(t.Context(), "d/x", []byte("new")); err != nil {
		t.Error(err)
	}
}

func TestLocalOddPlaces(t *testing.T) {
	root := t.TempDir()
	s := mustOpen(t, root)
	if got := keys(t, mustOpen(t, root+"/none"), ""); len(got) != 0 {
		t.Errorf("a folder that is not there has %q", got)
	}
	touch(t, root+"/file", "")
	if _, err := store.Open(t.Context(), root+"/file"); err == nil {
		t.Error("a file was opened as a store")
	}
	for _, key := range []string{"file/below", "file/far/below"} {
		if err := s.Write(t.Context(), key, nil); !errors.Is(err, store.ErrKey) {
			t.Errorf("an object was written below a file: %v", err)
		}
	}
	if err := syscall.Mkfifo(root+"/pipe", 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Read(t.Context(), "pipe"); err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a pipe was read: %v", err)
	}
	touch(t, root+"/odd\\name", "")
	touch(t, root+"/odd\nname", "")
	if got := keys(t, s, ""); !slices.Equal(got, []string{"file"}) {
		t.Errorf("%q", got)
	}
}

func TestLocalRootIsAbsolute(t *testing.T) {
	t.Chdir(t.TempDir())
	s := mustOpen(t, "out")
	if err := s.Write(t.Context(), "x", []byte("there")); err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir())
	if got, err := store.ReadAddress(t.Context(), s.Address("x")); err != nil || string(got) != "there" {
		t.Errorf("%q, %v", got, err)
	}
}

func TestLocalGenerations(t *testing.T) {
	root := t.TempDir()
	s := mustOpen(t, root)
	touch(t, root+"/x", "unpacked from an archive")
	if err := os.Chtimes(root+"/x", time.Unix(0, 0), time.Unix(0, 0)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.WriteIf(t.Context(), "x", nil, 0); !errors.Is(err, store.ErrGeneration) {
		t.Errorf("a file of 1970 is taken for missing: %v", err)
	}
	info, err := s.Stat(t.Context(), "x")
	if err != nil {
		t.Fatal(err)
	}
	seen, err := s.WriteIf(t.Context(), "x", []byte("1"), info.Generation)
	if err != nil {
		t.Fatal(err)
	}
	touch(t, root+"/x", "edited by hand")
	if _, err := s.WriteIf(t.Context(), "x", []byte("2"), seen); !errors.Is(err, store.ErrGeneration) {
		t.Errorf("an edit by hand was overwritten: %v", err)
	}
	future := time.Now().Add(time.Hour)
	if err := os.Chtimes(root+"/x", future, future); err != nil {
		t.Fatal(err)
	}
	next, err := s.WriteIf(t.Context(), "x", []byte("3"), future.UnixNano())
	if err != nil || next != future.UnixNano()+1 {
		t.Errorf("after a generation in the future: %d, %v", next-future.UnixNano(), err)
	}
}

func TestLocalLinks(t *testing.T) {
	root, outside := t.TempDir(), t.TempDir()
	s := mustOpen(t, root)
	touch(t, outside+"/scan", "scan")
	touch(t, outside+"/folder/deep", "deep")
	for name, target := range map[string]string{
		"linked": outside + "/scan", "images": outside + "/folder", "nowhere": outside + "/none", "loop": root, "self": "self",
	} {
		if err := os.Symlink(target, filepath.Join(root, name)); err != nil {
			t.Fatal(err)
		}
	}
	if got := keys(t, s, ""); !slices.Equal(got, []string{"images/deep", "linked", "nowhere", "self"}) {
		t.Errorf("listed %q", got)
	}
	if got := keys(t, s, "images/"); !slices.Equal(got, []string{"images/deep"}) {
		t.Errorf("listed %q", got)
	}
	for key, want := range map[string]string{"linked": "scan", "images/deep": "deep"} {
		if got, err := s.Read(t.Context(), key); err != nil || string(got) != want {
			t.Errorf("%s: %q, %v", key, got, err)
		}
	}
	if _, err := s.Stat(t.Context(), "nowhere"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a link to nothing: %v", err)
	}
	for _, key := range []string{"images/new", "images/deep", "images/sub/new"} {
		if err := s.Write(t.Context(), key, []byte("escaped")); err == nil {
			t.Errorf("%s was written outside the root", key)
		}
	}
	if err := s.Remove(t.Context(), "images/deep"); err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file outside the root was removed: %v", err)
	}
	info, err := s.Stat(t.Context(), "linked")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.WriteIf(t.Context(), "linked", []byte("new"), info.Generation); err != nil {
		t.Errorf("replace a link at its generation: %v", err)
	}
	if err := s.Write(t.Context(), "images", nil); !errors.Is(err, store.ErrKey) {
		t.Errorf("a link to a folder was replaced: %v", err)
	}
	for _, key := range []string{"linked", "nowhere"} {
		if err := s.Write(t.Context(), key, []byte("new")); err != nil {
			t.Error(err)
		}
	}
	if err := s.Remove(t.Context(), "self"); err != nil {
		t.Errorf("remove a link: %v", err)
	}
	if got := entries(t, outside); !slices.Equal(got, []string{"folder/deep", "scan"}) {
		t.Errorf("outside is now %q", got)
	}
	if got, _ := os.ReadFile(outside + "/scan"); string(got) != "scan" {
		t.Errorf("the target of a link was overwritten: %q", got)
	}
}

func TestRemoveTakesEmptyFoldersAlong(t *testing.T) {
	dir := t.TempDir()
	s, err := store.Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"models/fold_0/epoch_1/weights", "models/fold_0/latest"} {
		if err := s.Write(t.Context(), key, []byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Remove(t.Context(), "models/fold_0/epoch_1/weights"); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "models/fold_0/epoch_1")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("an empty folder stayed: %v", err)
	}
	if _, err := s.Read(t.Context(), "models/fold_0/latest"); err != nil {
		t.Errorf("a folder went with its content: %v", err)
	}
}

// A folder that is emptied by one writer while another begins in it is made again.
func TestWritesAndRemovesInOneFolder(t *testing.T) {
	s, err := store.Open(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	for _, name := range []string{"a", "b", "c"} {
		group.Go(func() {
			for range 200 {
				if err := s.Write(t.Context(), "deep/folder/"+name, []byte(name)); err != nil {
					t.Errorf("write: %v", err)
					return
				}
				if err := s.Remove(t.Context(), "deep/folder/"+name); err != nil {
					t.Errorf("remove: %v", err)
					return
				}
			}
		})
	}
	group.Wait()
}
