package storetest

import (
	"context"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"noisystudent/io/store"
)

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

func mustWrite(t *testing.T, s *store.Store, key string, data []byte) {
	t.Helper()
	if err := s.Write(t.Context(), key, data); err != nil {
		t.Fatal(err)
	}
}

func mustRead(t *testing.T, s *store.Store, key string) []byte {
	t.Helper()
	data, err := s.Read(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func wantKeys(t *testing.T, s *store.Store, prefix string, want ...string) {
	t.Helper()
	infos, err := s.List(t.Context(), prefix)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, info := range infos {
		got = append(got, info.Key)
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("list %q: %s", prefix, diff)
	}
}

func wantIs(t *testing.T, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: error %v, want %v", what, err, want)
	}
}
