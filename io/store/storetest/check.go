package storetest

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"noisystudent/io/store"
)

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
