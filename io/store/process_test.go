package store_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"noisystudent/io/store"
)

// TestMain lets the test binary play the other process.
func TestMain(m *testing.M) {
	play := map[string]func(*store.Store) error{"count": count, "hang": hang, "fill": fill}[os.Getenv("STORE_TEST_PLAY")]
	if play == nil {
		os.Exit(m.Run())
	}
	s, err := store.Open(context.Background(), os.Getenv("STORE_TEST_ROOT"))
	if err == nil {
		err = play(s)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func process(t *testing.T, play, root string) *exec.Cmd {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program)
	cmd.Env = append(os.Environ(), "STORE_TEST_PLAY="+play, "STORE_TEST_ROOT="+root)
	cmd.Stderr = os.Stderr
	return cmd
}

const counts = 10

// count adds to a counter by conditional writes.
func count(s *store.Store) error {
	ctx := context.Background()
	for done := 0; done < counts; {
		info, err := s.Stat(ctx, "counter")
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		var data []byte
		if err == nil {
			if data, err = s.Read(ctx, "counter"); err != nil {
				return err
			}
		}
		_, err = s.WriteIf(ctx, "counter", append(data, '.'), info.Generation)
		if err == nil {
			done++
		} else if !errors.Is(err, store.ErrGeneration) {
			return err
		}
	}
	return nil
}

func TestProcessesShareAFolder(t *testing.T) {
	root := t.TempDir()
	var wg sync.WaitGroup
	for range 3 {
		cmd := process(t, "count", root)
		wg.Go(func() {
			if err := cmd.Run(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	data, err := mustOpen(t, root).Read(t.Context(), "counter")
	if err != nil || len(data) != 3*counts {
		t.Errorf("%d of %d counts kept, %v", len(data), 3*counts, err)
	}
}

// hang begins to replace an object, says so, and waits to be killed.
func hang(s *store.Store) error {
	w, err := s.Create(context.Background(), "d/x")
	if err != nil {
		return err
	}
	if _, err := w.Write(make([]byte, 1<<16)); err != nil {
		return err
	}
	fmt.Println("half")
	select {}
}

// hanging is a process that has half-written d/x.
func hanging(t *testing.T, root string) *exec.Cmd {
	t.Helper()
	cmd := process(t, "hang", root)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	if _, err := io.ReadFull(out, make([]byte, 4)); err != nil {
		t.Fatal(err)
	}
	return cmd
}

func killed(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	cmd.Wait()
}

// prune prunes and counts the temporary files that are left.
func prune(t *testing.T, s *store.Store, age time.Duration) (removed, left int) {
	t.Helper()
	removed, err := s.Prune(t.Context(), age)
	if err != nil {
		t.Error(err)
	}
	files, err := filepath.Glob(filepath.Join(s.Root(), "d", ".store-*"))
	if err != nil {
		t.Error(err)
	}
	return removed, len(files)
}

// TestPrune looks at temporary files of a writer that was killed, of one that lives, and
// of one that is stopped, and at a file of a user's.
func TestPrune(t *testing.T) {
	root := t.TempDir()
	s := mustOpen(t, root)
	if err := s.Write(t.Context(), "d/x", []byte("old")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "d", ".store-of-mine"), nil, 0o666); err != nil {
		t.Fatal(err)
	}
	dead, stopped := hanging(t, root), hanging(t, root)
	killed(t, dead)
	if err := stopped.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	mine, err := s.Create(t.Context(), "d/mine")
	if err != nil {
		t.Fatal(err)
	}
	if removed, left := prune(t, s, time.Hour); removed != 0 || left != 4 {
		t.Errorf("%d young files were removed, %d are left", removed, left)
	}
	files, _ := filepath.Glob(filepath.Join(root, "d", ".store-*"))
	for _, file := range files {
		if err := os.Chtimes(file, time.Time{}, time.Now().Add(-2*time.Hour)); err != nil {
			t.Fatal(err)
		}
	}
	if removed, left := prune(t, s, time.Hour); removed != 1 || left != 3 {
		t.Errorf("%d files were removed, %d are left, want that of the dead writer gone", removed, left)
	}
	if err := mine.Commit(); err != nil {
		t.Error(err)
	}
	killed(t, stopped)
	if removed, left := prune(t, s, time.Hour); removed != 1 || left != 1 {
		t.Errorf("%d files were removed, %d are left", removed, left)
	}
	if got := keys(t, s, ""); !slices.Equal(got, []string{"d/mine", "d/x"}) {
		t.Errorf("listed %q", got)
	}
	if removed, err := mustOpen(t, filepath.Join(root, "none")).Prune(t.Context(), 0); removed != 0 || err != nil {
		t.Errorf("a store that is not there: %d, %v", removed, err)
	}
}

func TestKilledWriter(t *testing.T) {
	root := t.TempDir()
	s := mustOpen(t, root)
	if err := s.Write(t.Context(), "d/x", []byte("old")); err != nil {
		t.Fatal(err)
	}
	killed(t, hanging(t, root))
	if n := len(entries(t, root)); n != 2 {
		t.Errorf("%d files, want the object and what the dead writer left", n)
	}
	if got := keys(t, s, ""); !slices.Equal(got, []string{"d/x"}) {
		t.Errorf("listed %q", got)
	}
	if got, err := s.Read(t.Context(), "d/x"); err != nil || string(got) != "old" {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	if err := s.Write(t.Context(), "d/x", []byte("new")); err != nil {
		t.Error(err)
	}
}

// fill writes more than the process may.
func fill(s *store.Store) error {
	signal.Ignore(syscall.SIGXFSZ)
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: 1 << 12, Max: 1 << 12}); err != nil {
		return err
	}
	for _, key := range []string{"d/x", "d/new"} {
		if err := s.Write(context.Background(), key, make([]byte, 1<<16)); !errors.Is(err, syscall.EFBIG) {
			return fmt.Errorf("a write beyond the limit: %v", err)
		}
	}
	return nil
}

func TestFailedWriteLeavesNothing(t *testing.T) {
	root := t.TempDir()
	s := mustOpen(t, root)
	if err := s.Write(t.Context(), "d/x", []byte("old")); err != nil {
		t.Fatal(err)
	}
	if err := process(t, "fill", root).Run(); err != nil {
		t.Error(err)
	}
	if got := entries(t, root); !slices.Equal(got, []string{"d/x"}) {
		t.Errorf("left %q", got)
	}
	if got, err := s.Read(t.Context(), "d/x"); err != nil || string(got) != "old" {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}
