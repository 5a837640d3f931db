package storetest

import (
	"context"
	"errors"
	"io"
	"testing"

	"noisystudent/io/store"
)

func testCommit(t *testing.T, s *store.Store) {
	w, err := s.Create(t.Context(), "d/x")
	if err != nil {
		t.Fatal(err)
	}
	defer w.Abort()
	for _, piece := range []string{"in ", "three ", "pieces"} {
		if _, err := io.WriteString(w, piece); err != nil {
			t.Fatal(err)
		}
		wantKeys(t, s, "")
	}
	if err := w.Commit(); err != nil {
		t.Fatal(err)
	}
	w.Abort()
	wantKeys(t, s, "", "d/x")
	r, err := s.Open(t.Context(), "d/x")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if got, err := io.ReadAll(r); err != nil || string(got) != "in three pieces" {
		t.Fatalf("%q, %v", got, err)
	}
}

func testAbort(t *testing.T, s *store.Store) {
	mustWrite(t, s, "old", []byte("old"))
	for _, size := range []int{0, 1, 1 << 16} {
		for _, key := range []string{"old", "new"} {
			w, err := s.Create(t.Context(), key)
			if err != nil {
				t.Fatal(err)
			}
			if size > 0 {
				if _, err := w.Write(make([]byte, size)); err != nil {
					t.Fatal(err)
				}
			}
			w.Abort()
			w.Abort()
		}
	}
	wantKeys(t, s, "", "old")
	if got := mustRead(t, s, "old"); string(got) != "old" {
		t.Fatalf("an aborted write left %d bytes", len(got))
	}
}

func testFinished(t *testing.T, s *store.Store) {
	for _, finish := range []func(w *store.Writer) error{(*store.Writer).Commit, func(w *store.Writer) error { w.Abort(); return nil }} {
		w, err := s.Create(t.Context(), "x")
		if err != nil {
			t.Fatal(err)
		}
		if err := finish(w); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte("more")); err == nil {
			t.Error("a finished writer took bytes")
		}
		if err := w.Commit(); err == nil {
			t.Error("a finished writer committed")
		}
	}
	if got := mustRead(t, s, "x"); len(got) != 0 {
		t.Errorf("%q", got)
	}
}

func testFault(t *testing.T, s *store.Store) {
	full := errors.New("no space left on device")
	mustWrite(t, s, "x", []byte("old"))
	for _, op := range []string{"create", "write", "commit"} {
		faulty := store.WithFault(s, func(o, key string) error {
			if o == op {
				return full
			}
			return nil
		})
		for _, key := range []string{"x", "new"} {
			wantIs(t, op, faulty.Write(t.Context(), key, []byte("data")), full)
		}
		wantKeys(t, s, "", "x")
		if got := mustRead(t, faulty, "x"); string(got) != "old" {
			t.Fatalf("a failed %s left %q", op, got)
		}
	}
	faulty := store.WithFault(s, func(op, key string) error { return full })
	_, err := faulty.Read(t.Context(), "x")
	wantIs(t, "read", err, full)
	_, err = faulty.Stat(t.Context(), "x")
	wantIs(t, "stat", err, full)
	_, err = faulty.List(t.Context(), "")
	wantIs(t, "list", err, full)
	wantIs(t, "remove", faulty.Remove(t.Context(), "x"), full)
}

func testCancel(t *testing.T, s *store.Store) {
	mustWrite(t, s, "x", []byte("old"))
	ctx, cancel := context.WithCancel(t.Context())
	w, err := s.Create(ctx, "x")
	if err != nil {
		t.Fatal(err)
	}
	defer w.Abort()
	if _, err := w.Write([]byte("new")); err != nil {
		t.Fatal(err)
	}
	cancel()
	wantIs(t, "commit", w.Commit(), context.Canceled)
	_, err = s.Read(ctx, "x")
	wantIs(t, "read", err, context.Canceled)
	_, err = s.List(ctx, "")
	wantIs(t, "list", err, context.Canceled)
	wantKeys(t, s, "", "x")
	if got := mustRead(t, s, "x"); string(got) != "old" {
		t.Errorf("%q", got)
	}
}
